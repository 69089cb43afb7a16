"""What libraries raise over a file that they cannot use, as one line that names the file."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import StrictDataclassError

from lorap.errors import LorapError, first_line

UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError,
            ImportError, StrictDataclassError, struct.error)  # fmt: skip


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Runs what a library does with a file; ``what`` names the file and says what is wrong with it.

    Raises:
        LorapError: The library cannot use the file.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, UNUSABLE) and type(error) is not Exception:  # tokenizers raises the bare class
            raise
        raise LorapError(f"{what} ({first_line(error)})") from error
