"""What passes through a model take, counted from the plans of its layers: products, and bytes that are moved; no torch.

Multiply-accumulates are counted as ``lorap plan`` counts them. What is moved beside products is counted from the
operations of a LLaMA layer: two norms (8 values an input feature each, in float32), rotation of queries and keys (10),
residual sums (3), the activation and the product of gate and up (5 values a channel).
"""

from dataclasses import dataclass
from typing import Self

from lorap.core.budget import Shape
from lorap.methods.seen import Want
from lorap.model.layer_plan import READERS, LayerPlan, LayerShape
from lorap.model.sizes import Sizes
from lorap.settings.schema import Calibrate

NORMS, ROTATION, RESIDUALS, ACTIVATION = 16, 10, 6, 5
SYMMETRIC = 9 / 16  # of a Gram matrix's products that are computed, in strips from the diagonal on
LOGITS = 5  # values moved for each logit of a loss: cast, maximum, exponentials, sum, and its own


@dataclass(frozen=True)
class Amount:
    """Multiply-accumulates, and bytes that elementwise work reads and writes."""

    macs: float = 0
    moved: float = 0

    def __add__(self, other: Self) -> "Amount":
        return Amount(self.macs + other.macs, self.moved + other.moved)

    def __mul__(self, factor: float) -> "Amount":
        return Amount(self.macs * factor, self.moved * factor)


@dataclass(frozen=True)
class Tokens:
    """Tokens in sequences of a length."""

    count: float
    length: float


def layer_pass(plan: LayerPlan, shape: LayerShape, tokens: Tokens, width: int, until: str | None = None) -> Amount:
    """One layer's pass.

    Args:
        plan: What the layer is: the dense plan, or what it becomes.
        shape: The dense layer.
        tokens: What passes.
        width: Bytes of a value.
        until: Stop at this input of the layer (``model.layer_plan.READERS``), as gathering statistics does.
    """
    inputs = list(READERS) if until is None else list(READERS)[: list(READERS).index(until)]
    sizes, hidden = plan.sizes(shape), shape.sizes["gate_proj"][1]
    products = sum(_product(plan, sizes[name], name) for key in inputs for name in READERS[key])
    queries, keys, values = sizes["q_proj"][0], sizes["k_proj"][0], sizes["o_proj"][1]
    pairs = tokens.length * (queries + values) if "attention_in" in inputs else 0
    values_moved = ROTATION * (queries + keys) + RESIDUALS * hidden + ACTIVATION * plan.channels
    return Amount(products + pairs, 4 * NORMS * hidden + width * values_moved) * tokens.count


def _product(plan: LayerPlan, size: Shape, name: str) -> int:
    """Multiply-accumulates of a projection for one token."""
    rank = plan.ranks[name]
    if rank is None:
        return size[0] * size[1]
    return rank * (sum(size) - plan.pivots.get(name, 0))


def head_pass(sizes: Sizes, tokens: float, width: int) -> Amount:
    """Logits, and a loss in float32."""
    return Amount(sizes.vocabulary * sizes.hidden, sizes.vocabulary * (width + 4 * LOGITS)) * tokens


def others(want: Want, features: int, shape: LayerShape) -> float:
    """With how many features each of an input's is multiplied for a statistic; ``features`` is how many it has."""
    products = {
        "moment": features,
        "gram": SYMMETRIC * features if want.blocks == 1 else features / want.blocks,
        "before": shape.sizes["o_proj"][1],
        "counterpart": features,
        "gap": shape.sizes["gate_proj"][1],
    }
    return products.get(want.kind, 0)


def some_of(windows: Calibrate, count: int | None) -> Calibrate:
    """So many of the windows, or all."""
    return windows if count is None else windows.model_copy(update={"nsamples": min(count, windows.nsamples)})


def attention_metric(shape: LayerShape, windows: Calibrate, count: int) -> Amount:
    """What the metrics of queries and keys take in a layer."""
    tokens, width = some_of(windows, count).nsamples * windows.seqlen, shape.head_dim
    pairs = 2 * windows.seqlen * width**2  # mixed values of queries, and squares of keys
    return Amount(tokens * shape.heads * (pairs + 3 * width**3), 4 * tokens * shape.heads * 6 * width**2)


def statistics(features: int, tokens: float, others: float = 0) -> Amount:
    """Sums of one input's squares, or of its products with so many other features."""
    return Amount(features * others, 12 * features) * tokens


def inputs_bytes(sizes: Sizes, windows: Calibrate, width: int) -> int:
    """Bytes of the inputs of a layer, of all windows."""
    return windows.nsamples * windows.seqlen * sizes.hidden * width


def pass_bytes(sizes: Sizes, tokens: int, width: int) -> int:
    """One layer's activations, and their squares in float32 for the statistics."""
    return tokens * ((8 * sizes.hidden + 3 * sizes.channels) * width + 8 * sizes.channels)


def backward_bytes(sizes: Sizes, tokens: int, width: int, squared: bool) -> int:
    """What gradients of a layer take, window by window, behind the head: the head and its logits, or the layer's.

    The latter are the sums of all weights' in float32, also of their squares where they are wanted, and in the model's
    dtype that of one window and weight, whose square is in float32.
    """
    logits = sizes.vocabulary * (sizes.hidden * width + tokens * (width + 12))
    kept = tokens * (14 * sizes.hidden + 6 * sizes.channels) * width
    largest = max(sizes.attention // 2, sizes.ffn // 3)
    sums = 4 * (1 + squared) * sizes.layer + (width + 8 * squared) * largest
    return max(logits, sums + kept) + pass_bytes(sizes, tokens, width)


def stored_bytes(plans: list[LayerPlan], shape: LayerShape, sizes: Sizes, width: int) -> int:
    """Bytes of a model whose layers have these plans."""
    outside = sizes.parameters - sizes.layers * sizes.layer
    return width * (outside + sum(plan.stored(shape) for plan in plans))
