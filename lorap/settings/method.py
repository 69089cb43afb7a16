"""A method: a treatment of each sub-layer, how the budget is spread, and perhaps a repair."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, TypeAlias, cast

from pydantic import model_validator

from lorap.errors import LorapError
from lorap.methods.part import Part, Repair, Share, Slot, Treatment, Worker
from lorap.methods.registry import NONE, SLOTS, registered, settings, union
from lorap.methods.uniform import Uniform
from lorap.strict import Strict

Scores = Sequence[Mapping[str, "Tensor"]]  # of every layer's units, by the field of a plan that counts them

if TYPE_CHECKING:
    from torch import Tensor

    AnyAttention: TypeAlias = Treatment
    AnyFfn: TypeAlias = Treatment
    AnyRepair: TypeAlias = Repair
    AnyShare: TypeAlias = Share
else:
    AnyAttention, AnyFfn, AnyRepair, AnyShare = (union(slot) for slot in SLOTS)

OF_OLD = ("allocation", "keep_least")  # every method had them before 0.2, whether its treatments did or not


class Method(Strict):
    """What happens to the two sub-layers.

    Each part is a section with the part's ``name`` and its settings. A flat form is read too: parts by their names
    alone, and settings of any of them beside these names.
    """

    attention: AnyAttention
    ffn: AnyFfn
    repair: Optional[AnyRepair] = None  # noqa: UP045  # there may be no repair at all
    share: AnyShare = Uniform()

    @model_validator(mode="before")
    @classmethod
    def _read_flat(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        sections: dict[str, dict[str, Any]] = {slot: _section(raw[slot]) for slot in SLOTS if raw.get(slot) is not None}
        rest = {name: value for name, value in raw.items() if name not in SLOTS}
        left = _deal(sections, rest)
        flat = any(isinstance(raw.get(slot), str) for slot in SLOTS)
        if flat:
            left = {name: value for name, value in left.items() if not _is_of_old(name, value, sections)}
        if sections.get("repair") == {"name": NONE}:
            del sections["repair"]
        return sections | left

    @property
    def treatments(self) -> tuple[Treatment, Treatment]:
        """Those of the attention and of the FFN, as they work beside each other."""
        return self.attention, self.ffn.beside(self.attention)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """All parts that change layers, in their order."""
        return (*self.treatments, self.repair) if self.repair else self.treatments

    @property
    def swept(self) -> tuple[Worker, ...]:
        """Those that score the dense model in a sweep of its own."""
        all_of_them = self.treatments if self.share.scored else ()
        return tuple(worker for worker in self.workers if worker.swept or worker in all_of_them)

    @property
    def gradients(self) -> int:
        """Windows whose loss these scores want the gradients of."""
        return max((worker.gradients for worker in self.swept), default=0)

    @property
    def squared_gradients(self) -> bool:
        """Whether they want the squares of the gradients too."""
        return any(worker.squared_gradients for worker in self.swept)

    def modules(self) -> set[str]:
        """The modules whose code this method runs."""
        return {module for part in (*self.workers, self.share) for module in part.modules()}

    def columns(self) -> dict[str, Any]:
        """A flat view: the name of every part and its settings; a repair and a share only where they are not usual."""
        found: dict[str, Any] = {}
        for slot in SLOTS:
            part: Part | None = getattr(self, slot)
            if slot in ("attention", "ffn") or part != type(self).model_fields[slot].default:
                found |= {slot: part.name if part else NONE}
                found |= part.model_dump(exclude={"name"}, exclude_none=True) if part else {}
        return found

    def options_of(self, slot: str) -> tuple[str, ...]:
        """Names of the settings of a part."""
        part: Part | None = getattr(self, slot)
        return tuple(settings(type(part))) if part else ()

    def overridden(self, options: Mapping[str, Any]) -> "Method":
        """The method with other parts, by their names, and with other settings; a setting stays where its part has it.

        Raises:
            LorapError: No chosen part has such a setting.
            ValidationError: A value is not allowed.
        """
        sections: dict[str, dict[str, Any]] = {slot: section for slot, section in self.model_dump().items() if section}
        for slot in (slot for slot in SLOTS if slot in options):
            chosen = _section(options[slot])
            part = _part(slot, chosen)
            if part is None and chosen != {"name": NONE}:
                return type(self).model_validate(sections | {slot: chosen})  # which says what there is
            kept = {name: value for name, value in sections.get(slot, {}).items() if name in _fields(part)}
            sections[slot] = kept | chosen
        left = _deal(sections, {name: value for name, value in options.items() if name not in SLOTS}, over=True)
        if left:
            parts = ", ".join(f"{slot} {section.get('name')}" for slot, section in sections.items())
            option = next(iter(left)).replace("_", "-")
            raise LorapError(f"--{option}: none of {parts} has such a setting; leave it out")
        return type(self).model_validate(sections)


def _section(value: Any) -> dict[str, Any]:
    if isinstance(value, Part):
        return value.model_dump()
    return dict(value) if isinstance(value, Mapping) else {"name": value}


def _is_of_old(name: str, value: Any, sections: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a setting is one that every method used to have, and that no part of this one has."""
    return name in OF_OLD and isinstance(value, int | float) and not any(name in part for part in sections.values())


def _part(slot: str, section: Mapping[str, Any]) -> type[Part] | None:
    """The part that a section names, if there is one."""
    name = section.get("name")
    return registered(cast("Slot", slot)).get(name) if isinstance(name, str) else None


def _fields(part: type[Part] | None) -> tuple[str, ...]:
    return tuple(settings(part)) if part else ()


def _deal(sections: dict[str, dict[str, Any]], values: Mapping[str, Any], over: bool = False) -> dict[str, Any]:
    """Puts settings into the sections whose part has them, ``over`` those that are there; returns those of none."""
    left = dict(values)
    for slot, section in sections.items():
        for setting in _fields(_part(slot, section)):
            if setting in values and (over or setting not in section):
                section[setting] = values[setting]
                left.pop(setting, None)
    return left
