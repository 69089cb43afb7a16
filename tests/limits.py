"""Commands under limits of time and memory, which no damaged file may make them exceed."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import call, fault

SECONDS = 120  # after which a command hangs
GIB = 2**30


class Hang(BaseException):
    """A command that does not end; no library catches it."""


@contextmanager
def bounded() -> Iterator[None]:
    """A process that can ask for no more than a few GiB, in which nothing takes for ever and nobody takes a GiB."""
    limits, peak = resource.getrlimit(resource.RLIMIT_AS), _peak()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    handler = signal.signal(signal.SIGALRM, _hang)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4 * GIB, limits[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert _peak() - peak < GIB


def assert_accepted_or_refused(*argv: object) -> None:
    """Runs a command, which may make ``out`` in the working folder, or end with a line and leave nothing."""
    before = set(Path().rglob("*"))
    signal.alarm(SECONDS)
    done = call(*argv)
    signal.alarm(0)
    made = set(Path().rglob("*")) - before
    if done.code == 0:
        assert done.err == ""
        assert {path.parts[0] for path in made} <= {"out", "out.meta.json"}
    else:
        assert done.code == 1
        assert "memory" not in fault(done)
        assert made == set()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _hang(*_: object) -> None:
    raise Hang(f"more than {SECONDS} seconds")
