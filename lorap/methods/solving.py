"""Systems of equations made of second moments: where one is singular, the fault names layer, input and a way out."""

from collections.abc import Iterator
from contextlib import contextmanager

from lorap.errors import LorapError, first_line


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
