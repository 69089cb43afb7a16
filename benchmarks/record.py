"""What benchmarks share: timing a piece of work, and writing down the options that they were called with."""

import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any


def seconds(work: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """How long a piece of work takes."""
    started = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - started


def settings_of(args: Namespace) -> dict[str, Any]:
    """The options, as JSON has them; of paths their names."""
    return {name: value.name if isinstance(value, Path) else value for name, value in vars(args).items()}
