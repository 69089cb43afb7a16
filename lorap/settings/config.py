"""Reads params.yaml: the package's defaults, overridden by a file, checked as a whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lorap.errors import LorapError
from lorap.methods.registry import SLOTS
from lorap.settings.schema import Params

SpecT = TypeVar("SpecT", bound=BaseModel)
Entry = TypeVar("Entry")

LOCAL = Path("params.yaml")
DEFAULTS = Path(__file__).with_name("params.yaml")  # a link to the checkout's own params.yaml
# Sections of named entries: an entry overrides whole.
NAMED = ("models", "corpora", "methods", "calibrate", "tune", "evaluate.perplexity", "evaluate.zeroshot", "grids")
REFERENCES = {  # fields that hold a name, and the section that it must be defined in
    "active.*": "grids",
    "calibrate.*.corpus": "corpora",
    "evaluate.perplexity.*.corpus": "corpora",
    "tune.*.corpus": "corpora",
    "grids.*.models.*": "models",
    "grids.*.calibration": "calibrate",
    "grids.*.perplexity.*": "evaluate.perplexity",
    "grids.*.zeroshot": "evaluate.zeroshot",
    "grids.*.cells.*.methods.*": "methods",
    "grids.*.cells.*.calibrations.*": "calibrate",
    "grids.*.cells.*.tune.*": "tune",
}


def load_params(path: Path | None = None) -> Params:
    """The settings: the package's own, overridden by ``path``, or by ./params.yaml where there is one.

    Raises:
        LorapError: The file is missing or faulty; the message has a line for every fault.
    """
    if path is None and LOCAL.is_file():
        path = LOCAL
    defaults = _read(DEFAULTS)
    if path is None or (path.is_file() and path.samefile(DEFAULTS)):
        return parse_params(defaults, str(path or DEFAULTS))
    return parse_params(_merge(defaults, _read(path)), str(path))


def parse_params(raw: Mapping[str, Any], name: str) -> Params:
    """Checks settings as read from YAML; ``name`` is the file's, for the messages.

    Raises:
        LorapError: One line for every fault: field, value, what is allowed.
    """
    dangling = [f"{name}: {fault}" for fault in _dangling(raw)]
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise LorapError("\n".join([*describe_faults(error, name), *dangling])) from error
    if dangling:
        raise LorapError("\n".join(dangling))
    return params


def parse_spec(kind: type[SpecT], text: str) -> SpecT:
    """Checks the settings of one step given as JSON (``--spec``).

    Raises:
        LorapError: Not JSON, or not the settings of this step.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise LorapError("\n".join(describe_faults(error, "--spec"))) from error


def describe_faults(error: ValidationError, name: str) -> Iterator[str]:
    """A line for every fault: file, field path, value, what is allowed."""
    for fault in error.errors():
        field = ".".join(printable(part) for part in _place(fault["loc"])) or "(the whole)"
        value = fault["input"]
        if fault["type"] == "missing":
            yield f"{name}: {field}: missing, it is required"
        elif fault["type"] == "extra_forbidden":
            yield f"{name}: {field}: unknown key, remove it or correct its spelling"
        elif fault["type"] == "union_tag_invalid":
            *others, last = fault["ctx"]["expected_tags"].split(", ")
            yield f"{name}: {field}: got {fault['ctx']['tag']!r}; should be {', '.join(others)} or {last}"
        elif isinstance(value, str) and _is_number(value):
            yield f"{name}: {field}: {value!r} is text to YAML; write the number with a point, as in 1.0e-4"
        else:
            expected = fault["msg"].removeprefix("Input ").removeprefix("Value error, ")
            yield f"{name}: {field}: got {_short(value)}; {expected}"


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where a fault is; a setting of a part is that of its method, as in the flat form, which names no sections."""
    slots = [index for index, part in enumerate(loc[:-2]) if part in SLOTS]
    return loc[: slots[0]] + loc[slots[0] + 2 :] if slots else loc


def lookup(entries: Mapping[str, Entry], name: str, kind: str) -> Entry:
    """An entry of a section by name.

    Raises:
        LorapError: There is none; the message lists those that there are.
    """
    if name not in entries:
        raise LorapError(f"{kind}: unknown name {name!r}, expected one of {', '.join(sorted(entries))}")
    return entries[name]


def printable(name: Any) -> str:
    """A text of a file's own choosing, on one line and without what a terminal would obey."""
    text = str(name)
    return text if text.isprintable() else repr(text)[1:-1]


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LorapError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LorapError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise LorapError(f"{path}: expected a mapping of sections, got {_short(raw)}")
    return raw


def _merge(defaults: dict[str, Any], override: dict[str, Any], at: str = "") -> dict[str, Any]:
    merged = dict(defaults)
    for section, value in override.items():
        known = merged.get(section)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[section] = {**known, **value} if at + section in NAMED else _merge(known, value, f"{at}{section}.")
        else:
            merged[section] = value
    return merged


def _dangling(raw: Mapping[str, Any]) -> Iterator[str]:
    """Names that are used but not defined; what has not even the right form is left to the schema."""
    for path, section in REFERENCES.items():
        for _, entries in _find(raw, section):
            for field, name in _find(raw, path):
                if isinstance(entries, dict) and isinstance(name, str) and name not in entries:
                    known = ", ".join(sorted(map(str, entries)))
                    yield f"{field}: got {name!r}; expected a name from {section}: {known}"


def _find(value: Any, path: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """(field, value) of everything below ``value`` that a dotted path with wildcards stands for."""
    if not path:
        yield at.removeprefix("."), value
        return
    key, _, rest = path.partition(".")
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        if key in ("*", name):
            yield from _find(child, rest, f"{at}.{printable(name)}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
