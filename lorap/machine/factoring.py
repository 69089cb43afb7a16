"""Seconds that a factorisation takes, as ``core.factorise`` does it; no torch here."""

from collections.abc import Sequence

from lorap.core.blocks import FILTERED_FROM, filtered_block
from lorap.core.budget import Shape
from lorap.machine.passes import Amount
from lorap.machine.speeds import Machine

BLURRED = 58 / 120  # of SmolLM2-135M's weights at 0.5: float32 cannot tell their subspaces
LOOKS = 41  # times that is_blurred reads a weight for its largest eigenvalue
DEGREES, ROUNDS = 16, 4  # of a filtered subspace, on random weights whose singular values fall: 10 to 13, and 3 to 4
BASES = 3  # times that an orthonormal basis is repaired in each round: a Gram matrix, its Cholesky factor, a solution
FACTORING = 0.04  # of the rate of products, for Cholesky factors: 2 ms at 2048, github.com/pytorch/pytorch/pull/173515
EIGENVALUES = 0.4  # of the time of an eigendecomposition, where no vectors are asked for


def factorising(machine: Machine, size: Shape, rank: int, full: bool) -> float:
    """Seconds of ``factorise`` for one weight.

    Args:
        machine: The machine.
        size: (out, in) of the weight.
        rank: Of the factors.
        full: Whether the metric is a whole second moment.
    """
    double = _solving(machine, size, rank, "float64", full)
    if full or machine.full_rate:
        return double
    single = _solving(machine, size, rank, "float32", full)
    return _looking(machine, size) + (1 - BLURRED) * single + BLURRED * double


def joining(machine: Machine, sizes: Sequence[Shape]) -> float:
    """Seconds of ``core.joint.joint_factors`` for projections of one input: a root of its moment, and a Gram matrix."""
    outputs, inp = sum(out for out, _ in sizes), sizes[0][1]
    least = min(outputs, inp)
    roots = machine.solve("eigenvectors float64", inp) if outputs > inp else 0
    products = outputs * inp**2 + outputs * inp * least
    return machine.multiply(products, "float64", least) + roots + machine.solve("eigenvectors float64", least)


def _looking(machine: Machine, size: Shape) -> float:
    """Seconds of ``is_blurred``: the largest eigenvalue, a Gram matrix, and the count of its eigenvalues."""
    out, inp = size
    least = min(size)
    looks = machine.take(4 * LOOKS * out * inp, "move")
    return looks + machine.multiply(out * inp * least, "float32", least) + machine.solve("inertia float32", least)


def _solving(machine: Machine, size: Shape, rank: int, dtype: str, full: bool) -> float:
    """Seconds of the Gram matrix of the smaller side, its eigenvectors, and the factors."""
    out, inp = size
    least = min(size)
    products, solves = out * inp * least + out * inp * rank, _subspace(machine, least, rank, dtype)
    if full:
        products += out * inp * inp
    if out > inp:  # the vectors are carried to the other side, and made orthonormal there
        products += out * inp * rank + 2 * out * rank**2
        solves += machine.solve(f"eigenvectors {dtype}", inp) if full else 0
    return machine.multiply(products, dtype, least) + solves


def _subspace(machine: Machine, size: int, rank: int, dtype: str) -> float:
    """Seconds of ``top_eigenvectors``: by the solver, or by products of a block and a solver for the block."""
    block = filtered_block(size, rank)
    if machine.device == "cpu" or dtype != "float64" or size < FILTERED_FROM or block is None:
        return machine.solve(f"eigenvectors {dtype}", size)
    products = (DEGREES + 1) * size**2 * block + (1.5 * BASES * ROUNDS + 3) * size * block**2
    triangles = BASES * ROUNDS * block**3 / 6 / FACTORING
    drawn = size * block / machine.constants["random"].at(1)
    return machine.multiply(products + triangles, dtype, block) + drawn + machine.solve(f"eigenvectors {dtype}", block)


def truncating(machine: Machine, size: Shape, rank: int, wider: int) -> float:
    """Seconds of ``truncate``: factors of the rank ``wider`` to ``rank``, in float64."""
    products = 2 * sum(size) * wider**2 + 2 * wider**3 + rank * (size[0] * wider + wider**2 + wider * size[1])
    return machine.multiply(products, "float64", wider) + machine.solve("eigenvectors float64", wider)


def spectrum(machine: Machine, size: Shape, full: bool = False) -> float:
    """Seconds of ``core.factorise.spectrum``: the eigenvalues of a Gram matrix in float64; ``full`` as above."""
    (out, inp), least = size, min(size)
    solve = EIGENVALUES * machine.solve("eigenvectors float64", least)
    root = machine.solve("eigenvectors float64", inp) if full and out > inp else 0
    products = out * inp * least + (out * inp * inp if full else 0)
    return machine.multiply(products, "float64", least) + solve + root


def comparing(size: Shape, rank: int | None, full: bool) -> Amount:
    """What ``compression.loss`` takes for one changed weight: factors multiplied out, and norms in float32."""
    products = rank * size[0] * size[1] if rank else 0
    return Amount(products + (2 * size[0] * size[1] ** 2 if full else 0), 80 * size[0] * size[1])
