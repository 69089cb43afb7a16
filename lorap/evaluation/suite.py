"""How good a model is, as the workflow wants it: all with one loading, or layer by layer where it has no room."""

from pathlib import Path

import torch

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.names import PERPLEXITY, ZEROSHOT
from lorap.artifacts.specs import SuiteSpec
from lorap.evaluation.perplexity import measure_perplexity
from lorap.evaluation.streamed import open_model
from lorap.evaluation.zeroshot import measure_zeroshot
from lorap.files import write_json
from lorap.model.tokenizer import load_tokenizer


def run_suite(
    spec: SuiteSpec, folder: Path, adapter: Path | None, out: Path, device: torch.device, quiet: bool
) -> None:
    """Writes ``perplexity.json`` with every protocol by name, and ``zeroshot.json``, each with its meta.

    A model for which no zero-shot task is asked gets a ``zeroshot.json`` without tasks.
    """
    model = open_model(folder, adapter, None, device, quiet)
    tokenizer = load_tokenizer(folder)
    inputs = {"model": folder} | ({"adapter": adapter} if adapter else {})
    with new_artifact(out / PERPLEXITY, spec, inputs, str(device)) as partial:
        protocols = spec.perplexity.items()
        write_json(partial, {name: measure_perplexity(p, model, tokenizer, None, quiet) for name, p in protocols})
    with new_artifact(out / ZEROSHOT, spec, inputs, str(device)) as partial:
        asked = spec.zeroshot
        write_json(partial, measure_zeroshot(asked, model, tokenizer, None, quiet) if asked else {"tasks": {}})
