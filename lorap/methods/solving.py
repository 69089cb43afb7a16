"""Systems of equations made of second moments: where one is singular, the fault names the input and a way out."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def solving(name: str, setting: str, value: float) -> Iterator[None]:
    """Names what a system is made of where it cannot be solved; the layer is added by whoever knows its number.

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
