"""What one decoder layer becomes; no torch here."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Form = Literal["factored", "dense"]  # how a compressed model is stored


@dataclass(frozen=True)
class LayerPlan:
    """What one decoder layer becomes: ``ranks`` of all seven projections (None = dense) and the FFN's ``channels``."""

    ranks: dict[str, int | None]
    channels: int

    def as_dict(self) -> dict[str, Any]:
        """The form of the plan in JSON and in a factored folder's config.json."""
        return asdict(self)
