"""What the settings of a grid say of its methods and corpora; which treatments there are is not known here."""

from typing import Any

from lorap.artifacts.specs import ReportSpec
from lorap.methods.registry import NONE, SLOTS
from lorap.settings.method import Method

PARTS = ("attention", "ffn")  # the sub-layers, and the columns that name their treatment
Setting = str | float | int | bool


def setting_columns(spec: ReportSpec) -> list[str]:
    """The settings that any method of the grid has, in the order of their first use; without methods the treatments."""
    return list(dict.fromkeys(name for method in spec.methods.values() for name in method.columns())) or [*PARTS]


def options_of(spec: ReportSpec, part: str) -> list[str]:
    """The settings that any treatment of a sub-layer has in the grid."""
    return list(dict.fromkeys(name for method in spec.methods.values() for name in _options(method, part)))


def part_of(method: Method, part: str) -> tuple[Setting, ...]:
    """What a method does to a sub-layer: the treatment and its options."""
    columns = method.columns()
    return tuple(columns[name] for name in (part, *_options(method, part)))


def parts_of(spec: ReportSpec, method: Method) -> dict[str, str]:
    """The parts of a method in words: their names, named halves, and numbers that set them apart from others' parts."""
    found: dict[str, str] = {}
    for slot in SLOTS:
        settings = _section(method, slot)
        others = [_section(other, slot) for other in spec.methods.values()]
        alike = [other for other in others if other["name"] == settings["name"]]
        told = [f"{name} {_shown(value)}" for name, value in settings.items() if name != "name" and _tells(name, alike)]
        found[slot] = ", ".join([settings["name"], *told])
    return found


def needs_gradients(method: Method) -> bool:
    """Whether some part of a method scores by gradients of the loss."""
    return any(worker.gradients for worker in method.workers)


def domain_of(spec: ReportSpec, corpus: str) -> str:
    """What corpora have in common that are parts of one: the repository, or else the name."""
    return getattr(spec.corpora[corpus], "repo", None) or corpus


def _options(method: Method, part: str) -> tuple[str, ...]:
    return tuple(name for name in method.options_of(part) if name in method.columns())


def _section(method: Method, slot: str) -> dict[str, Any]:
    part = getattr(method, slot)
    return part.model_dump() if part else {"name": NONE}


def _tells(name: str, sections: list[dict[str, Any]]) -> bool:
    values = {section[name] for section in sections}
    return len(values) > 1 or any(isinstance(value, str) for value in values)


def _shown(value: Setting) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
