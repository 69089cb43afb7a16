"""Reads params.yaml: the package's defaults, overridden by a file, checked as a whole."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lorap.errors import LorapError
from lorap.schema import Params

SpecT = TypeVar("SpecT", bound=BaseModel)
Entry = TypeVar("Entry")

LOCAL = Path("params.yaml")
DEFAULTS = Path(__file__).with_name("params.yaml")  # a link to the checkout's own params.yaml
NAMED = ("models", "corpora", "methods", "calibrate", "grids")  # sections of named entries: an entry overrides whole


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
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise LorapError("\n".join(describe_faults(error, name))) from error
    if faults := [f"{name}: {fault}" for fault in _dangling(params)]:
        raise LorapError("\n".join(faults))
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
        field = ".".join(str(part) for part in fault["loc"]) or "(the whole)"
        value = fault["input"]
        if fault["type"] == "missing":
            yield f"{name}: {field}: missing, it is required"
        elif fault["type"] == "extra_forbidden":
            yield f"{name}: {field}: unknown key, remove it or correct its spelling"
        elif isinstance(value, str) and _is_number(value):
            yield f"{name}: {field}: {value!r} is text to YAML; write the number with a point, as in 1.0e-4"
        else:
            yield f"{name}: {field}: got {_short(value)}; {fault['msg'].removeprefix('Input ')}"


def lookup(entries: Mapping[str, Entry], name: str, kind: str) -> Entry:
    """An entry of a section by name.

    Raises:
        LorapError: There is none; the message lists those that there are.
    """
    if name not in entries:
        raise LorapError(f"{kind}: unknown name {name!r}, expected one of {', '.join(sorted(entries))}")
    return entries[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LorapError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise LorapError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise LorapError(f"{path}: expected a mapping of sections, got {_short(raw)}")
    return raw


def _merge(defaults: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for section, value in override.items():
        known = merged.get(section)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[section] = {**known, **value} if section in NAMED else _merge(known, value)
        else:
            merged[section] = value
    return merged


def _dangling(params: Params) -> Iterator[str]:
    """Names that are used but not defined."""
    uses: list[tuple[str, Iterable[str], Mapping[str, Any], str]] = [
        ("active", params.active, params.grids, "grids"),
    ]
    for name, calibrate in params.calibrate.items():
        uses.append((f"calibrate.{name}.corpus", [calibrate.corpus], params.corpora, "corpora"))
    for name, protocol in params.evaluate.perplexity.items():
        uses.append((f"evaluate.perplexity.{name}.corpus", [protocol.corpus], params.corpora, "corpora"))
    for name, grid in params.grids.items():
        at = f"grids.{name}"
        uses.append((f"{at}.models", grid.models, params.models, "models"))
        uses.append((f"{at}.calibration", [grid.calibration], params.calibrate, "calibrate"))
        uses.append((f"{at}.perplexity", grid.perplexity, params.evaluate.perplexity, "evaluate.perplexity"))
        for index, block in enumerate(grid.cells):
            uses.append((f"{at}.cells.{index}.methods", block.methods, params.methods, "methods"))
            uses.append((f"{at}.cells.{index}.calibrations", block.calibrations or [], params.calibrate, "calibrate"))
    for field, names, entries, section in uses:
        for name in names:
            if name not in entries:
                yield f"{field}: got {name!r}; expected a name from {section}: {', '.join(sorted(entries))}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
