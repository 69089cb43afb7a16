"""The commands of ``lorap evaluate``: each writes a number with its protocol."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.cli.commands import corpus_of
from lorap.cli.work import announce, on_device, print_json, spec_from
from lorap.config import load_params, parse_spec
from lorap.errors import LorapError
from lorap.specs import CostSpec, PerplexitySpec, Spec, SpectraSpec, SuiteSpec

if TYPE_CHECKING:
    import torch

KNOB = "--batch (evaluate.batch, evaluate.cost.batches)"


def perplexity(arguments: Namespace) -> None:
    """``lorap evaluate perplexity``."""
    from lorap.evaluate.perplexity import measure_perplexity
    from lorap.models.folder import load_model, load_tokenizer

    params = load_params(arguments.params)
    corpus = corpus_of(arguments, params.corpora)
    spec = spec_from(
        PerplexitySpec,
        **corpus,
        seqlen=arguments.seqlen,
        windows=arguments.windows,
        batch=params.evaluate.batch if arguments.batch is None else arguments.batch,
        special_tokens=arguments.special_tokens or getattr(corpus["source"], "special_tokens", "text"),
    )
    inputs = {"text": arguments.text} if arguments.text else {}

    def work(device: "torch.device") -> dict[str, Any]:
        model = load_model(arguments.model, _dtype(arguments), device)
        return measure_perplexity(spec, model, load_tokenizer(arguments.model), arguments.text, arguments.quiet)

    _measure(arguments, spec, inputs, work)


def cost(arguments: Namespace) -> None:
    """``lorap evaluate cost``."""
    from lorap.evaluate.cost import measure_cost
    from lorap.models.folder import load_model

    spec = spec_from(CostSpec, cost=load_params(arguments.params).evaluate.cost)
    _measure(
        arguments, spec, {}, lambda on: measure_cost(spec.cost, load_model(arguments.model, _dtype(arguments), on))
    )


def spectra(arguments: Namespace) -> None:
    """``lorap evaluate spectra``."""
    from lorap.data.calibration import read_calibration
    from lorap.evaluate.spectra import measure_spectra
    from lorap.models.folder import find_tokenizer

    if arguments.spec:
        spec = parse_spec(SpectraSpec, arguments.spec)
    else:
        batch = load_params(arguments.params).compress.batch if arguments.batch is None else arguments.batch
        spec = spec_from(SpectraSpec, batch=batch)
    input_ids = read_calibration(arguments.calibration, find_tokenizer(arguments.model))
    _measure(
        arguments,
        spec,
        {"calibration": arguments.calibration},
        lambda on: measure_spectra(arguments.model, input_ids, on, spec.batch, arguments.quiet),
    )


def suite(arguments: Namespace) -> None:
    """``lorap evaluate suite``."""
    from lorap.evaluate.suite import run_suite

    spec = parse_spec(SuiteSpec, arguments.spec)
    with on_device(arguments.device, KNOB) as device:
        run_suite(spec, arguments.model, arguments.out, device, arguments.quiet)
    announce(arguments.out)


def _measure(
    arguments: Namespace, spec: Spec, inputs: dict[str, Path], work: "Callable[[torch.device], dict[str, Any]]"
) -> None:
    """Does the work on the device that was asked for, writes what it returns, and shows its numbers."""
    from lorap.files import write_json
    from lorap.provenance import new_artifact

    with (
        on_device(arguments.device, KNOB) as device,
        new_artifact(arguments.out, spec, {"model": arguments.model, **inputs}, str(device)) as file,
    ):
        result = work(device)
        write_json(file, result)
    if getattr(arguments, "json", False):
        print_json(result)
        return
    for name, value in result.items():
        if isinstance(value, int | float):
            print(f"{name}: {value:,.4f}" if isinstance(value, float) else f"{name}: {value:,}")
    announce(arguments.out)


def _dtype(arguments: Namespace) -> Any:
    from lorap.models.folder import DTYPES

    if arguments.dtype in (None, "auto"):
        return None
    if arguments.dtype not in DTYPES:
        raise LorapError(f"--dtype: unknown dtype {arguments.dtype!r}, expected one of auto, {', '.join(DTYPES)}")
    return DTYPES[arguments.dtype]
