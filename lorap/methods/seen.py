"""What is wanted of a pass over the calibration windows, and what it has seen of a layer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lorap.model.layer_plan import SUBLAYER_OF

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lorap.core.statistics import Kind, Moments

Stream = Literal["compressed", "dense"]
Behind = Literal["nothing", "attention", "layer"]
Key = tuple[str, Stream, Behind, bool]
KEPT: Mapping[str, Stream] = {"before": "compressed", "counterpart": "dense"}  # by kind: whose inputs are kept whole


@dataclass(frozen=True)
class Want:
    """A statistic of one of the inputs of a layer's projections (``model.layer_plan.READERS``).

    Attributes:
        input: Name of the input.
        kind: ``squares``, ``mean``, or ``moment``, the whole second moment with the mean. In float32: ``gram``, the
            second moment; ``before``, its moment with what the same input was before anything was compressed;
            ``counterpart``, with what it is on the dense stream, for a first pass of its own; ``gap``, with what the
            layer lacks of the dense model's output on the stream behind the attention.
        stream: The activations as the compressed layers before this one left them, or those of the dense model.
        behind: How much of the layer itself is compressed when they pass: nothing, its attention, or all of it.
        weighted: A kind in float32 in which an error counts relative to the dense residual stream behind the
            sub-layer, as the next norm sees it.
        blocks: How many diagonal blocks of a ``gram`` are wanted, alone; 1 means all of it.
    """

    input: str
    kind: "Kind"
    stream: Stream = "compressed"
    behind: Behind = "nothing"
    weighted: bool = False
    blocks: int = 1

    @property
    def key(self) -> Key:
        """What wants of one set of sums have in common."""
        return self.input, self.stream, self.behind, self.weighted

    @property
    def needs_dense_outputs(self) -> bool:
        """Whether the dense stream has to pass the layer first."""
        return self.weighted or self.kind == "gap"

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that have to reach the layer for it."""
        both = self.needs_dense_outputs or KEPT.get(self.kind) == "dense"
        return ("compressed", "dense") if both else (self.stream,)

    @property
    def sweep(self) -> tuple[Stream, Behind, str]:
        """What wants have in common that one pass over all windows serves."""
        place = SUBLAYER_OF[self.input] if self.behind == "attention" else ""
        return self.stream, self.behind, self.kind if self.kind == "counterpart" else place

    @property
    def settles_attention(self) -> bool:
        """Whether the attention changes no more once this is asked for, so that the layer goes on from behind it."""
        return self.behind == "attention" and SUBLAYER_OF[self.input] == "ffn"

    def __post_init__(self) -> None:
        if self.stream == "dense" and self.behind != "nothing":
            raise ValueError(f"{self.input}: the dense stream passes the layer before anything of it is compressed")


@dataclass(frozen=True)
class Gradient:
    """Of the loss with respect to a weight: its mean over some windows, and that of its squares, both in float32.

    Where nobody wants squares, there are none: (0,).
    """

    mean: "Tensor"
    squares: "Tensor"


@dataclass
class Seen:
    """Statistics of a layer's inputs; where they were asked for, gradients by projection and metrics of q and k.

    Attributes:
        moments: By what their wants have in common.
        gradients: By projection.
        metrics: Of q_proj and k_proj, a block for each head: (heads, d, d), see ``core.attention_metric``.
        dense: The weights of the projections as they were: (out, in).
        kept: Indices of the units that stayed, where units were removed, by the field of a plan that counts them.
        scores: What a sweep over the dense model, or a survey, has said of the layer.
        floored: The ridge that was not enough to solve again behind an input, by the input's name.
    """

    moments: dict[Key, "Moments"] = field(default_factory=dict)
    gradients: dict[str, Gradient] = field(default_factory=dict)
    metrics: dict[str, "Tensor"] = field(default_factory=dict)
    dense: dict[str, "Tensor"] = field(default_factory=dict)
    kept: dict[str, "Tensor"] = field(default_factory=dict)
    scores: Mapping[str, "Tensor"] = field(default_factory=dict)
    floored: dict[str, float] = field(default_factory=dict)

    def of(
        self, name: str, stream: Stream = "compressed", behind: Behind = "nothing", weighted: bool = False
    ) -> "Moments":
        """The statistics of one input."""
        return self.moments[name, stream, behind, weighted]

    def expect(
        self, wants: Iterable[Want], features: Mapping[str, int], device: "torch.device"
    ) -> dict[Key, "Moments"]:
        """New sums for wants; ``features`` are the widths of the inputs."""
        from lorap.core.statistics import Moments

        wants = list(wants)
        for key in dict.fromkeys(want.key for want in wants):
            same = [want for want in wants if want.key == key]
            kinds = {want.kind for want in same}
            self.moments[key] = Moments(features[key[0]], kinds, device, min(want.blocks for want in same))
        return {want.key: self.moments[want.key] for want in wants}
