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
    """Writes ``cost.json`` and ``perplexity-NAME.json`` for every protocol into a folder, each with its meta."""
    model = load_model(folder, device=device)
    tokenizer = load_tokenizer(folder)
    inputs = {"model": folder}
    with new_artifact(out / "cost.json", spec.cost, inputs, str(device)) as partial:
        write_json(partial, measure_cost(spec.cost.cost, model))
    for name, protocol in spec.perplexity.items():
        with new_artifact(out / f"perplexity-{name}.json", protocol, inputs, str(device)) as partial:
            write_json(partial, measure_perplexity(protocol, model, tokenizer, None, quiet))
