"""The rivals of params.yaml, and a model compressed by one of its methods."""

from pathlib import Path

from torch import Tensor

from lorap.artifacts.specs import CompressSpec
from lorap.compression.planning import Plan
from lorap.compression.run import compress
from lorap.settings.config import load_params
from lorap.settings.method import Method
from tests.compare import CPU, RUN, survey_for
from tests.workflow import ROOT

METHODS = load_params(ROOT / "params.yaml").methods
RIVALS = tuple(
    name
    for name in METHODS
    if name.startswith(("magnitude", "wanda", "flap", "llm-pruner", "svd-llm", "olica", "slimllm"))
)


def by(method: str | Method, folder: Path, out: Path, windows: Tensor, sparsity: float, **run: object) -> Plan:
    """Compresses a model by a method, or the one of that name, into a new folder; after a survey if it wants one."""
    chosen = METHODS[method] if isinstance(method, str) else method
    out.mkdir()
    spec = CompressSpec(method=chosen, sparsity=sparsity, **RUN).model_copy(update=run)
    return compress(spec, folder, windows, out, CPU, quiet=True, survey=survey_for(chosen, folder, windows))
