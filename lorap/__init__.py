"""LoRAP: structured compression of LLaMA-family language models, as a library, a command and a reproducible workflow.

    >>> import lorap
    >>> lorap.compress("model", "calibration.safetensors", "small", sparsity=0.2)  # doctest: +SKIP

``lorap.api`` has the functions; they are imported when one of them is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lorap.errors import LorapError

if TYPE_CHECKING:
    from lorap.api import calibrate, compress, evaluate, export, fetch, load, plan, redecompose, survey, tune

__version__ = "0.2.0"
__all__ = [
    "LorapError",
    "calibrate",
    "compress",
    "evaluate",
    "export",
    "fetch",
    "load",
    "plan",
    "redecompose",
    "survey",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("lorap.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
