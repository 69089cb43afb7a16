"""What the settings of a grid say of its methods and corpora; which treatments there are is not known here."""

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


def parts_of(method: Method) -> dict[str, str]:
    """The parts of a method in words: their names, and where halves of a part are named, these too."""
    found: dict[str, str] = {}
    for slot in SLOTS:
        settings = getattr(method, slot).model_dump() if getattr(method, slot) else {"name": NONE}
        halves = [f"{name} {value}" for name, value in settings.items() if name != "name" and isinstance(value, str)]
        found[slot] = ", ".join([settings["name"], *halves])
    return found


def needs_gradients(method: Method) -> bool:
    """Whether some part of a method scores by gradients of the loss."""
    return any(worker.gradients for worker in method.workers)


def domain_of(spec: ReportSpec, corpus: str) -> str:
    """What corpora have in common that are parts of one: the repository, or else the name."""
    return getattr(spec.corpora[corpus], "repo", None) or corpus


def _options(method: Method, part: str) -> tuple[str, ...]:
    return tuple(name for name in method.options_of(part) if name in method.columns())
