"""The settings of a grid's methods as columns; which treatments there are is not known here."""

from lorap.artifacts.specs import ReportSpec
from lorap.settings.schema import Method

PARTS = ("attention", "ffn")  # the sub-layers, and the columns that name their treatment
Setting = str | float | int | bool
# What Method.columns() and Method.options_of() will say.
OPTIONS = {"attention": ("allocation",), "ffn": ("keep_least",)}
SETTING_NAMES = ("attention", "allocation", "ffn", "keep_least")


def columns_of(method: Method) -> dict[str, Setting]:
    """The settings of a method by column; one that the chosen treatment lacks is absent."""
    flat = method.model_dump()
    lacking = {"allocation"} if method.attention == "none" else set()
    lacking |= {"keep_least"} if method.ffn != "prune" else set()
    return {name: flat[name] for name in SETTING_NAMES if name not in lacking}


def setting_columns(spec: ReportSpec) -> list[str]:
    """The settings that any method of the grid has, in the order of their first use; without methods the treatments."""
    return list(dict.fromkeys(name for method in spec.methods.values() for name in columns_of(method))) or [*PARTS]


def options_of(spec: ReportSpec, part: str) -> list[str]:
    """The settings that any treatment of a sub-layer has in the grid."""
    return list(dict.fromkeys(name for method in spec.methods.values() for name in _options(method, part)))


def part_of(method: Method, part: str) -> tuple[Setting, ...]:
    """What a method does to a sub-layer: the treatment and its options."""
    columns = columns_of(method)
    return tuple(columns[name] for name in (part, *_options(method, part)))


def _options(method: Method, part: str) -> tuple[str, ...]:
    return tuple(name for name in OPTIONS[part] if name in columns_of(method))
