"""Downloads from the model hub, whose many faults become one."""

from collections.abc import Iterator
from contextlib import contextmanager

from lorap.errors import LorapError


@contextmanager
def downloading(repo: str, what: str) -> Iterator[None]:
    """Runs a download.

    Raises:
        LorapError: The repository or file is not there, not open to us, or the hub cannot be reached.
    """
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, HTTPError, RevisionResolutionError

    try:
        yield
    except (HTTPError, EntryNotFoundError, HFValidationError, RevisionResolutionError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise LorapError(f"{repo}: {what} cannot be downloaded ({reason})") from error
