"""Every part of a method by its name: whatever a file of this package defines is found; no torch here."""

import functools
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args

from pydantic import Field
from pydantic.fields import FieldInfo

from lorap import methods
from lorap.errors import LorapError
from lorap.methods.part import Part, Slot

SLOTS: dict[Slot, str] = {
    "attention": "what happens to q, k, v and o",
    "ffn": "what happens to gate, up and down",
    "repair": "what makes up for part of the loss",
    "share": "how the budget is spread over the layers",
}
NONE = "none"
# What the commands that take a method call other things.
RESERVED = {"model", "calibration", "method", "sparsity", "form", "dtype", "batch", "offload", "device", "spec", "out",
            "params", "quiet", "json", "tokens", *SLOTS}  # fmt: skip


@dataclass(frozen=True)
class MethodOption:
    """An option of the command line: a part by its name (with ``choices``), or a setting of some parts."""

    name: str
    type: type
    help: str
    choices: tuple[str, ...] = ()


@functools.cache
def registered(slot: Slot) -> dict[str, type[Part]]:
    """The parts of a slot by name, ``none`` last."""
    for module in pkgutil.iter_modules(methods.__path__):
        importlib.import_module(f"{methods.__name__}.{module.name}")
    parts = [part for part in _subclasses(Part) if getattr(part, "slot", None) == slot]
    named: dict[str, type[Part]] = {}
    for part in parts:
        field = part.model_fields["name"]
        if not field.is_required() and named.setdefault(field.default, part) is not part:
            both = " and ".join(found.__module__ for found in (named[field.default], part))
            raise ValueError(f"{slot} {field.default}: {both} have a part of this name; rename one")
    return {name: named[name] for name in sorted(named, key=lambda name: (name == NONE, name))}


def union(slot: Slot) -> Any:
    """The type of a slot's settings: those of any of its parts, told apart by ``name``; None where there is no part."""
    parts = tuple(registered(slot).values())
    if len(parts) < 2:
        return parts[0] if parts else None
    return Annotated[Union[parts], Field(discriminator="name")]  # noqa: UP007  # made of a tuple


def settings(part: type[Part]) -> dict[str, FieldInfo]:
    """The settings of a part, its name aside."""
    return {name: field for name, field in part.model_fields.items() if name != "name"}


def options() -> list[MethodOption]:
    """Every choice of a part where there is one, and every setting that some part has."""
    found: dict[str, MethodOption] = {}
    for slot, what in SLOTS.items():
        names = tuple(registered(slot))
        choices = (*names, NONE) if slot == "repair" else names
        if len(choices) > 1:
            found[slot] = MethodOption(slot, str, what, choices)
    for slot in SLOTS:
        for part in registered(slot).values():
            for name, field in settings(part).items():
                option = found.setdefault(name, MethodOption(name, _kind(field), field.description or ""))
                if name in RESERVED or option.type is not _kind(field):
                    raise LorapError(f"{part.__module__}: setting {name!r}: the name is taken, choose another one")
    return list(found.values())


def _kind(field: FieldInfo) -> type:
    """The type of a setting as a command line has it."""
    kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if kind in (float, int, bool)]
    return kinds[0] if kinds else str


def _subclasses(part: type[Part]) -> Iterator[type[Part]]:
    for child in part.__subclasses__():
        yield child
        yield from _subclasses(child)
