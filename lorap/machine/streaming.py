"""A model that passes through a machine layer by layer, and the seconds of it, term by term; no torch here."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lorap.machine.passes import Amount, Tokens, layer_pass, statistics, stored_bytes
from lorap.machine.speeds import Machine
from lorap.model.layer_plan import READERS, LayerPlan, LayerShape
from lorap.model.sizes import Sizes, dense_shape, read_raw_config, read_sizes
from lorap.settings.method import Method
from lorap.settings.schema import Calibrate

Terms = dict[str, float]  # seconds by what takes them; what runs beside other work is taken off again as "overlap"


@dataclass(frozen=True)
class Model:
    """A dense model as its config.json has it."""

    sizes: Sizes
    shape: LayerShape

    @cached_property
    def dense(self) -> LayerPlan:
        """The plan of a layer that nothing happens to."""
        return LayerPlan.dense(self.shape)

    def plan(self, method: Method, sparsity: float) -> LayerPlan:
        """What a layer becomes; where a share spreads the budget over the layers, on average."""
        plan = self.dense
        for treatment in method.treatments:
            plan = treatment.shrunk(plan, self.shape, sparsity)
        return method.repair.planned(plan, self.shape) if method.repair else plan

    def dtype(self, chosen: str = "auto") -> str:
        """What is computed in; ``auto`` is the model's own."""
        return self.sizes.dtype if chosen == "auto" else chosen

    def stored(self, plan: LayerPlan, width: int) -> int:
        """Bytes of the model when all layers have a plan."""
        return stored_bytes([plan] * self.sizes.layers, self.shape, self.sizes, width)


def read_model(file: Path) -> Model:
    """A model by its config.json.

    Raises:
        FileNotFoundError: It is not there yet.
        LorapError: As ``read_sizes``.
    """
    return Model(read_sizes(file), dense_shape(read_raw_config(file)))


def multiplied_out(plan: LayerPlan) -> LayerPlan:
    """The plan of a layer whose factors have been multiplied out."""
    return replace(plan, ranks=dict.fromkeys(plan.ranks), shared=(), pivots={})


def seconds_of(amount: Amount, machine: Machine, model: Model, dtype: str) -> float:
    """Seconds of an amount of work on a model."""
    return machine.multiply(amount.macs, dtype, model.sizes.hidden) + machine.take(amount.moved, "move")


@dataclass(frozen=True)
class Stream:
    """A model that passes through a machine layer by layer, with windows of tokens, computed in a dtype."""

    machine: Machine
    model: Model
    dtype: str
    windows: Calibrate

    @property
    def tokens(self) -> Tokens:
        """Those of all windows."""
        return Tokens(self.windows.nsamples * self.windows.seqlen, self.windows.seqlen)

    def seconds(self, amount: Amount, dtype: str | None = None) -> float:
        """Seconds of an amount of work, in the stream's dtype or another one."""
        return seconds_of(amount, self.machine, self.model, dtype or self.dtype)

    def passing(self, plan: LayerPlan, until: str | None = None) -> float:
        """Seconds of all windows through a layer."""
        width = self.model.sizes.width(self.dtype)
        return self.seconds(layer_pass(plan, self.model.shape, self.tokens, width, until))

    def advancing(self, plan: LayerPlan) -> float:
        """The same for the inputs of the next layer, which the last one has not; on average."""
        return self.passing(plan) * (1 - 1 / self.model.sizes.layers)

    def gathering(self, plan: LayerPlan) -> Terms:
        """Seconds of the sizes of all inputs."""
        sizes = plan.sizes(self.model.shape)
        sums = [statistics(sizes[readers[0]][1], self.tokens.count) for readers in READERS.values()]
        return {
            "passes": self.passing(plan, list(READERS)[-1]),
            "statistics": sum(self.seconds(amount) for amount in sums),
        }

    def whole(self, layer: Terms, before: LayerPlan, after: LayerPlan | None) -> Terms:
        """Seconds of a job, from those of one layer's work.

        Reading overlaps with the work on the layer before on a GPU alone, writing with that on the layer after.

        Args:
            layer: The work on a layer, by its terms.
            before: The layers as they are read.
            after: As they are written; None where none are.
        """
        take, sizes, gpu = self.machine.take, self.model.sizes, self.machine.gpu
        read, count = sizes.width() * before.stored(self.model.shape), sizes.layers
        written = 0 if after is None else sizes.width(self.dtype) * after.stored(self.model.shape)
        outside = 0 if after is None else sizes.width(self.dtype) * (sizes.parameters - count * sizes.layer)
        reading, writing = take(read, "read"), take(written, "write")
        moving = {"transfer": take(read + written, "transfer")} if gpu else {}
        work = sum((layer | moving).values()) + (0 if gpu else reading)
        hidden = min(work, reading if gpu else 0) + min(work, writing)
        return {
            "start": self.machine.start(),
            "reading": count * reading + take(outside, "read"),
            **{name: count * seconds for name, seconds in (moving | layer).items()},
            "writing": count * writing + take(outside, "write"),
            "overlap": -(count - 1) * hidden,
            "hashing": take(count * written + outside, "hash"),
        }
