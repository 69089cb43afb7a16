"""A budget spread by what the loss of the next parameter costs: water filling over convex hulls (plus.md, 6)."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Point = tuple[float, float]  # parameters, and the error with no more of them
Key = TypeVar("Key", bound=Hashable)


def lower_hull(points: Sequence[Point]) -> list[Point]:
    """The lower convex hull of an error curve, from the most parameters to the least."""
    hull: list[Point] = []
    for size, error in sorted(points, key=lambda point: (-point[0], point[1])):
        if hull and size == hull[-1][0]:
            continue
        while len(hull) > 1 and _steepness(hull[-2], hull[-1]) >= _steepness(hull[-1], (size, error)):
            hull.pop()
        hull.append((size, error))
    return hull


def _steepness(larger: Point, smaller: Point) -> float:
    """What a parameter less costs between two points."""
    return (smaller[1] - larger[1]) / (larger[0] - smaller[0])


def at_least(share: float, points: Sequence[Point]) -> list[Point]:
    """Those with no less than a share of the dense size, which is the first."""
    return [point for point in points if point[0] >= share * points[0][0]]


def fill(curves: Mapping[Key, Sequence[Point]], budget: float) -> dict[Key, float]:
    """Sizes whose sum is the budget and whose errors have the least sum, on the curves' lower hulls.

    Args:
        curves: By what they are of; each goes from its dense size to the least that it may become.
        budget: Parameters for all of them.

    Returns:
        The parameters of each; the dense sizes where the budget is enough for them, the least where it is not.
    """
    hulls = {key: lower_hull(points) for key, points in curves.items()}
    sizes = {key: hull[0][0] for key, hull in hulls.items()}
    excess = sum(sizes.values()) - budget
    pieces = [
        (_steepness(larger, smaller), order, key, larger[0] - smaller[0])
        for order, (key, hull) in enumerate(hulls.items())
        for larger, smaller in itertools.pairwise(hull)
    ]
    for _, _, key, size in sorted(pieces, key=lambda piece: piece[:2]):
        taken = min(size, excess)
        if taken <= 0:
            break
        sizes[key] -= taken
        excess -= taken
    return sizes
