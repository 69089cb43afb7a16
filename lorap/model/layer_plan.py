"""What one decoder layer is, and what it becomes; no torch here."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from lorap.core.budget import QK, Shape
from lorap.errors import LorapError

Form = Literal["factored", "dense"]  # how a compressed model is stored


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FFN = ("gate_proj", "up_proj", "down_proj")
PROJECTIONS = ATTENTION + FFN

# The four distinct inputs of a layer's linears, in the order of the forward pass, and who reads them.
READERS = {
    "attention_in": ("q_proj", "k_proj", "v_proj"),
    "attention_out": ("o_proj",),
    "ffn_in": ("gate_proj", "up_proj"),
    "ffn_hidden": ("down_proj",),
}
INPUT_OF = {reader: name for name, readers in READERS.items() for reader in readers}
# The projection that has a sub-layer's units among its inputs, by the field of a plan that counts them.
LAST = {"kv_heads": "o_proj", "channels": "down_proj"}
SUBLAYER_OF = {name: "attention" if readers[0] in ATTENTION else "ffn" for name, readers in READERS.items()}


UNUSED: tuple[str, object] = ("storage", {})  # stood in every plan of the second format


@dataclass(frozen=True)
class LayerShape:
    """The sizes of a dense decoder layer: (out, in) of its projections, its heads, and which have a bias."""

    sizes: Mapping[str, Shape]
    heads: int
    kv_heads: int
    head_dim: int
    biased: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Width of the FFN."""
        return self.sizes["gate_proj"][0]

    @property
    def stacked(self) -> Shape:
        """(out, in) of q and k, one below the other."""
        return sum(self.sizes[name][0] for name in QK), self.sizes["q_proj"][1]

    @property
    def parameters(self) -> int:
        """Weights of the seven projections."""
        return self.parameters_of(self.sizes)

    def parameters_of(self, names: Iterable[str]) -> int:
        """Weights of some projections."""
        return sum(out * inp for out, inp in (self.sizes[name] for name in names))


@dataclass(frozen=True)
class LayerPlan:
    """What one decoder layer becomes: the only authority on its shapes.

    Attributes:
        ranks: Of all seven projections; None where one is dense.
        channels: Width of the FFN; 0 where it is gone.
        heads: Query heads, a whole number for each key-value head.
        kv_heads: Key-value heads; 0 where the attention is gone.
        value_dim: Head dimension of v and o, or one for each key-value head.
        shared: Groups of low-rank projections with the same input and one right factor, that of the first.
        pivots: How many outputs of a low-rank projection are rows of its right factor, where they are stored but once.
        biases: Projections that gain a bias.
    """

    ranks: dict[str, int | None]
    channels: int
    heads: int
    kv_heads: int
    value_dim: int | tuple[int, ...]
    shared: tuple[tuple[str, ...], ...] = ()
    pivots: dict[str, int] = field(default_factory=dict)
    biases: tuple[str, ...] = ()

    @classmethod
    def dense(cls, shape: LayerShape) -> Self:
        """The plan that leaves a layer as it is."""
        return cls(dict.fromkeys(PROJECTIONS), shape.channels, shape.heads, shape.kv_heads, shape.head_dim)

    @classmethod
    def from_dict(cls, raw: Any, shape: LayerShape, index: int) -> Self:
        """A plan as it stands in JSON; what the first format did not say is as in the dense layer.

        Raises:
            LorapError: It is no plan of such a layer.
        """
        try:
            fields = asdict(cls.dense(shape)) | {key: value for key, value in raw.items() if (key, value) != UNUSED}
            fields["ranks"] = {name: fields["ranks"].get(name) for name in PROJECTIONS}
            fields["value_dim"] = _frozen(fields["value_dim"])
            fields["shared"] = tuple(tuple(group) for group in fields["shared"])
            plan = cls(**(fields | {"biases": tuple(fields["biases"])}))
            plan.require(shape, index)
        except (TypeError, KeyError, AttributeError) as error:
            raise LorapError(f"layer {index}: its plan is damaged ({error})") from error
        return plan

    def as_dict(self) -> dict[str, Any]:
        """The form of the plan in JSON and in a factored folder's config.json."""
        fields = asdict(self)
        lists = {"shared": [list(group) for group in self.shared], "biases": list(self.biases)}
        width = {} if isinstance(self.value_dim, int) else {"value_dim": list(self.value_dim)}
        return fields | lists | width

    def words(self, shape: LayerShape) -> str:
        """The plan on one line; what is as in the dense layer is left out, but for ranks and channels."""
        parts = [*(f"{name} {rank or 'dense'}" for name, rank in self.ranks.items()), f"channels {self.channels}"]
        dense = LayerPlan.dense(shape).as_dict()
        others = {name: value for name, value in self.as_dict().items() if value != dense[name]}
        parts += [f"{name} {value}" for name, value in others.items() if name not in ("ranks", "channels")]
        return "  ".join(parts)

    def sizes(self, shape: LayerShape) -> dict[str, Shape]:
        """(out, in) of every projection."""
        hidden = shape.sizes["gate_proj"][1]
        ratio = shape.heads // shape.kv_heads
        values = sum(self.value_dims())
        attention = {
            "q_proj": (self.heads * shape.head_dim, hidden),
            "k_proj": (self.kv_heads * shape.head_dim, hidden),
            "v_proj": (values, hidden),
            "o_proj": (hidden, values * ratio),
        }
        ffn = {"gate_proj": (self.channels, hidden), "up_proj": (self.channels, hidden)}
        return attention | ffn | {"down_proj": (hidden, self.channels)}

    def value_dims(self) -> tuple[int, ...]:
        """The head dimension of v and o in each key-value head."""
        return (self.value_dim,) * self.kv_heads if isinstance(self.value_dim, int) else self.value_dim

    def stored(self, shape: LayerShape) -> int:
        """Numbers that the linears of the layer store: weights or factors, a shared one once, and added biases."""
        sizes = self.sizes(shape)
        borrowed = {name for group in self.shared for name in group[1:]}
        total = sum(sizes[name][0] for name in self.biases)
        for name, (out, inp) in sizes.items():
            rank = self.ranks[name]
            if rank is None:
                total += out * inp
            else:
                total += rank * (out - self.pivots.get(name, 0) + (0 if name in borrowed else inp))
        return total

    def _sharing(self, name: str) -> tuple[str, ...]:
        """The projections that have one right factor with this one, itself included."""
        return next((group for group in self.shared if name in group), (name,))

    def require(self, shape: LayerShape, index: int) -> None:
        """Raises a LorapError, which names the layer by its number, where the plan is none of this shape."""
        counts = (self.channels, self.heads, self.kv_heads)
        if not all(type(count) is int and count >= 0 for count in counts):
            raise LorapError(f"layer {index}: {counts} are not counts of channels and heads")
        if self.channels > shape.channels or self.heads > shape.heads or self.kv_heads > shape.kv_heads:
            raise LorapError(f"layer {index}: its plan is larger than the layer that config.json describes")
        dims = self.value_dims()
        if not all(type(dim) is int and 0 <= dim <= shape.head_dim for dim in dims) or (dims and not any(dims)):
            raise LorapError(f"layer {index}: {dims} are no dimensions of heads of {shape.head_dim}")
        if self.heads * shape.kv_heads != self.kv_heads * shape.heads or len(dims) != self.kv_heads:
            raise LorapError(f"layer {index}: {self.heads} heads do not fit {self.kv_heads} key-value heads")
        named = {name for group in (*self.shared, self.biases, self.pivots) for name in group}
        if unknown := sorted({str(name) for name in named} - set(PROJECTIONS)):
            raise LorapError(f"layer {index}: {unknown[0]!r} is no projection")
        sizes = self.sizes(shape)
        for name, rank in self.ranks.items():
            outputs = sum(sizes[other][0] for other in self._sharing(name) if other in sizes)
            if rank is not None and (type(rank) is not int or not 1 <= rank <= min(outputs, sizes[name][1])):
                raise LorapError(f"layer {index}: rank {rank} of {name} does not fit {sizes[name]}")
        self._require_pivots(sizes, index)
        for group in self.shared:
            ranks = {self.ranks[name] for name in group}
            alone = all(sum(name in other for other in self.shared) == 1 for name in group)
            if len(ranks) != 1 or None in ranks or len({INPUT_OF[name] for name in group}) != 1 or not alone:
                raise LorapError(f"layer {index}: {', '.join(group)} cannot share a right factor")
            if "v_proj" in group:
                raise LorapError(f"layer {index}: {', '.join(group)}: v_proj may be narrow, and shares no factor")

    def _require_pivots(self, sizes: Mapping[str, Shape], index: int) -> None:
        """Raises a LorapError where right factors would not consist of the outputs that are called their rows."""
        for name, count in self.pivots.items():
            rank, group = self.ranks[name], self._sharing(name)
            together = [self.pivots.get(other, 0) for other in group]
            if type(count) is not int or not 1 <= count <= sizes[name][0] or sum(together) != rank:
                raise LorapError(f"layer {index}: {together} outputs of {', '.join(group)} for a rank of {rank}")


def _frozen(value_dim: Any) -> int | tuple[int, ...]:
    return value_dim if isinstance(value_dim, int) else tuple(value_dim)
