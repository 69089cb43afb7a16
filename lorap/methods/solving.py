"""Systems of equations made of second moments: where one is singular, lorap names layer, input and a way out."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lorap.errors import LorapError, first_line

FLOOR = 1e-6  # of the largest eigenvalue of a moment: below it a solution whose ridge is not enough changes nothing


@contextmanager
def solving(name: str, setting: str, value: float) -> Iterator[None]:
    """Names what a system is made of where it cannot be solved; ``in_layer`` adds the layer.

    Args:
        name: Of the input whose second moment it is (``model.layer_plan.READERS``).
        setting: What would make the moment positive definite, if it were larger.
        value: Its value.

    Raises:
        torch.linalg.LinAlgError: It cannot be solved.
    """
    import torch

    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise torch.linalg.LinAlgError(  # type: ignore[attr-defined]
            f"the second moment of {name} is not positive definite with {setting} {value:g}; "
            f"raise {setting}, or calibrate on more windows"
        ) from error


@contextmanager
def in_layer(index: int) -> Iterator[None]:
    """Names the layer in which a system cannot be solved.

    Raises:
        LorapError: It cannot be solved.
    """
    import torch

    try:
        yield
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise LorapError(f"layer {index}: {first_line(error)}") from error


def tell_of_floors(index: int, floored: Mapping[str, float]) -> None:
    """Says on stderr, once a layer, whose moments a solution has given a floor (``methods.seen.Seen.floored``)."""
    if floored:
        names, ridges = ", ".join(floored), ", ".join(f"{ridge:g}" for ridge in sorted(set(floored.values())))
        print(
            f"lorap: warning: layer {index}: not positive definite with ridge {ridges}: the second moment of {names}; "
            f"solved above {FLOOR:g} of its largest eigenvalue; raise ridge, or calibrate on more windows",
            file=sys.stderr,
            flush=True,
        )
