"""All measurements of one model with one loading of it, as the workflow wants them."""

from pathlib import Path

import torch

from lorap.evaluate.cost import measure_cost
from lorap.evaluate.perplexity import measure_perplexity
from lorap.files import write_json
from lorap.models.folder import load_model, load_tokenizer
from lorap.provenance import new_artifact
from lorap.specs import SuiteSpec


def run_suite(spec: SuiteSpec, folder: Path, out: Path, device: torch.device, quiet: bool) -> None:
    """Writes ``cost.json``, and ``perplexity.json`` with every protocol by name, each with its meta."""
    model = load_model(folder, device=device)
    tokenizer = load_tokenizer(folder)
    inputs = {"model": folder}
    with new_artifact(out / "cost.json", spec, inputs, str(device)) as partial:
        write_json(partial, measure_cost(spec.cost, model))
    with new_artifact(out / "perplexity.json", spec, inputs, str(device)) as partial:
        protocols = spec.perplexity.items()
        write_json(partial, {name: measure_perplexity(p, model, tokenizer, None, quiet) for name, p in protocols})
