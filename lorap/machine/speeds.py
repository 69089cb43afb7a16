"""How fast a machine is: the constants of the time model, each with its source; no torch here."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from lorap.errors import LorapError
from lorap.files import read_json
from lorap.settings.config import describe_faults
from lorap.strict import Strict

RATES = ("multiply float16", "multiply bfloat16", "multiply float32", "multiply float64")
SOLVERS = ("eigenvectors float32", "eigenvectors float64", "inertia float32")
CONSTANTS = {
    **dict.fromkeys(RATES, "multiply-accumulates a second, by the width of the model"),
    **dict.fromkeys(SOLVERS, "seconds, by the width of the matrix"),
    "move": "bytes a second that elementwise work reads and writes where it computes",
    "transfer": "bytes a second from the host to the device",
    "read": "bytes a second from the disk",
    "write": "bytes a second to the disk, until it holds them",
    "hash": "bytes a second by sha256",
    "random": "normal numbers a second, drawn by the host",
    "network": "bytes a second from the hub or PyPI",
    "start": "seconds until a process can compute",
    "start harness": "seconds that lm-eval, datasets and peft take beside",
}
TIMES = (*SOLVERS, "start", "start harness")  # that are seconds, not rates
COMPUTING = (*RATES, *SOLVERS, "move")  # that more cores of a CPU raise
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Constant(Strict):
    """One constant: a number, or one for each of some widths, and where it comes from."""

    value: Positive | dict[Annotated[str, Field(pattern=r"^[1-9]\d*$")], Positive]
    source: str

    def at(self, width: float, beyond: float = 0) -> float:
        """The value at a width, on straight lines between logarithms.

        Below and above the widths that there are it goes with the power ``beyond`` of the width.
        """
        if not isinstance(self.value, Mapping):
            return self.value
        points = sorted((int(name), value) for name, value in self.value.items())
        for (low, first), (high, second) in pairwise(points):
            if low <= width <= high:
                share = math.log(width / low) / math.log(high / low)
                return first * (second / first) ** share
        nearest, value = points[0] if width < points[0][0] else points[-1]
        return value * (width / nearest) ** beyond

    def times(self, factor: float, how: str) -> Self:
        """The constant multiplied."""
        value = {name: one * factor for name, one in self.value.items()} if isinstance(self.value, dict) else None
        return self.model_copy(update={"value": value or self.at(1) * factor, "source": f"{self.source}; {how}"})


def _all_there(constants: dict[str, Constant]) -> dict[str, Constant]:
    if missing := [name for name in CONSTANTS if name not in constants]:
        raise ValueError(f"{missing[0]!r} is missing; measure again with 'lorap estimate --measure'")
    if unknown := [name for name in constants if name not in CONSTANTS]:
        raise ValueError(f"{unknown[0]!r} is no constant, expected {', '.join(CONSTANTS)}")
    return constants


class Machine(Strict):
    """A machine: what computes there, with how many cores, and how fast.

    ``full_rate`` says that float64 is about half as fast as float32, where factorisations go straight to it.
    """

    name: str
    device: Literal["cpu", "gpu"]
    cores: Annotated[int, Field(ge=1)]
    full_rate: bool
    constants: Annotated[dict[str, Constant], AfterValidator(_all_there)]

    @property
    def gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.device == "gpu"

    def multiply(self, macs: float, dtype: str, width: int) -> float:
        """Seconds of products in a model of a width."""
        return macs / self.constants[f"multiply {dtype}"].at(width)

    def solve(self, what: str, width: int) -> float:
        """Seconds of one of SOLVERS for a symmetric matrix."""
        return self.constants[what].at(width, beyond=3)

    def take(self, size: float, rate: str) -> float:
        """Seconds that bytes take at one of the rates: move, transfer, read, write, hash or network."""
        return size / self.constants[rate].at(1)

    def start(self, harness: bool = False) -> float:
        """Seconds before a job's work begins."""
        names = ("start", "start harness") if harness else ("start",)
        return sum(self.constants[name].at(1) for name in names)

    def with_cores(self, cores: int) -> Self:
        """The machine with another number of cores; a CPU's speed goes with it, which is an assumption."""
        constants, factor = dict(self.constants), cores / self.cores
        if not self.gpu and cores != self.cores:
            how = f"taken to go with the cores, from {self.cores} to {cores}"
            for name in COMPUTING:
                constants[name] = constants[name].times(1 / factor if name in TIMES else factor, how)
        return self.model_copy(update={"cores": cores, "constants": constants})


def read_machine(file: Path) -> Machine:
    """The constants that ``lorap estimate --measure`` has written.

    Raises:
        LorapError: There is no such file, or it holds something else.
    """
    try:
        return Machine.model_validate(read_json(file))
    except ValidationError as error:
        raise LorapError("\n".join(describe_faults(error, str(file)))) from error
