"""What is wanted of a pass over the calibration windows, and what it has seen of a layer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorap.core.statistics import Kind, Moments

Stream = Literal["compressed", "dense"]
Behind = Literal["nothing", "attention", "layer"]
Key = tuple[str, Stream, Behind]


@dataclass(frozen=True)
class Want:
    """A statistic of one of the inputs of a layer's projections (``model.layer_plan.READERS``).

    Attributes:
        input: Name of the input.
        kind: ``squares``, ``mean``, or ``moment``, the whole second moment with the mean.
        stream: The activations as the compressed layers before this one left them, or those of the dense model.
        behind: How much of the layer itself is compressed when they pass: nothing, its attention, or all of it.
    """

    input: str
    kind: "Kind"
    stream: Stream = "compressed"
    behind: Behind = "nothing"

    def __post_init__(self) -> None:
        if self.stream == "dense" and self.behind != "nothing":
            raise ValueError(f"{self.input}: the dense stream passes the layer before anything of it is compressed")


@dataclass(frozen=True)
class Gradient:
    """Of the loss with respect to a weight: its mean over the calibration windows, and the mean of its squares."""

    mean: "Tensor"
    squares: "Tensor"


@dataclass
class Seen:
    """Statistics of a layer's inputs, and gradients by projection where they were asked for."""

    moments: dict[Key, "Moments"] = field(default_factory=dict)
    gradients: dict[str, Gradient] = field(default_factory=dict)

    def of(self, name: str, stream: Stream = "compressed", behind: Behind = "nothing") -> "Moments":
        """The statistics of one input."""
        return self.moments[name, stream, behind]

    def expect(
        self, wants: Iterable[Want], features: Mapping[str, int], device: "torch.device"
    ) -> dict[str, "Moments"]:
        """New sums for statistics of one stream at one time, by input; ``features`` are the widths of the inputs."""
        from lorap.core.statistics import Moments

        wants = list(wants)
        for name in dict.fromkeys(want.input for want in wants):
            same = [want for want in wants if want.input == name]
            key = (name, same[0].stream, same[0].behind)
            self.moments[key] = Moments(features[name], {want.kind for want in same}, device)
        return {want.input: self.of(want.input, want.stream, want.behind) for want in wants}
