"""What ``lorap evaluate`` runs: each function writes a number with its protocol."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import CostSpec, PerplexitySpec, Spec, SpectraSpec, SuiteSpec, ZeroshotSpec
from lorap.cli.output import announce, print_json
from lorap.cli.work import checked, corpus_of, model_inputs, on_device, spec_from
from lorap.files import write_json
from lorap.settings.config import load_params, parse_spec
from lorap.settings.schema import Zeroshot

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def perplexity(arguments: Namespace) -> None:
    """``lorap evaluate perplexity``."""
    from lorap.evaluation.perplexity import measure_perplexity
    from lorap.model.folder import load_tokenizer

    params = load_params(arguments.params)
    corpus = corpus_of(arguments, params.corpora)
    spec = spec_from(
        PerplexitySpec,
        **corpus,
        seqlen=arguments.seqlen,
        windows=arguments.windows,
        batch=params.evaluate.batch if arguments.batch is None else arguments.batch,
        special_tokens=arguments.special_tokens or getattr(corpus["source"], "special_tokens", "text"),
        dtype=arguments.dtype or "auto",
    )
    inputs = {"text": arguments.text} if arguments.text else {}

    def work(device: "torch.device") -> dict[str, Any]:
        model = _load(arguments, spec.dtype, device)
        return measure_perplexity(spec, model, load_tokenizer(arguments.model), arguments.text, arguments.quiet)

    _measure(arguments, spec, inputs, work, "--batch (evaluate.batch)")


def zeroshot(arguments: Namespace) -> None:
    """``lorap evaluate zeroshot``."""
    from lorap.evaluation.tasks import TASKS
    from lorap.evaluation.zeroshot import measure_zeroshot
    from lorap.model.folder import load_tokenizer

    tasks = arguments.tasks.split(",") if arguments.tasks else list(TASKS)
    protocol = checked(Zeroshot, tasks=tasks, documents=arguments.documents)
    seed = load_params(arguments.params).seed if arguments.seed is None else arguments.seed
    spec = spec_from(ZeroshotSpec, zeroshot=protocol, seed=seed, dtype=arguments.dtype or "auto")

    def work(device: "torch.device") -> dict[str, Any]:
        model = _load(arguments, spec.dtype, device)
        return measure_zeroshot(spec, model, load_tokenizer(arguments.model), arguments.data, arguments.quiet)

    _measure(arguments, spec, {}, work, "the precision (--dtype bfloat16)")


def cost(arguments: Namespace) -> None:
    """``lorap evaluate cost``."""
    from lorap.evaluation.cost import measure_cost

    cost = load_params(arguments.params).evaluate.cost
    spec = spec_from(CostSpec, cost=cost, dtype=arguments.dtype or "auto")

    def work(device: "torch.device") -> dict[str, Any]:
        model = _load(arguments, spec.dtype, device)
        return measure_cost(spec.cost, model)

    _measure(arguments, spec, {}, work, "evaluate.cost.batches")


def spectra(arguments: Namespace) -> None:
    """``lorap evaluate spectra``."""
    from lorap.data.calibration import read_calibration
    from lorap.evaluation.spectra import measure_spectra
    from lorap.model.folder import find_tokenizer

    if arguments.spec:
        spec = parse_spec(SpectraSpec, arguments.spec)
    else:
        batch = load_params(arguments.params).compress.batch if arguments.batch is None else arguments.batch
        spec = spec_from(SpectraSpec, batch=batch)
    input_ids = read_calibration(arguments.calibration, find_tokenizer(arguments.model))

    def work(device: "torch.device") -> dict[str, Any]:
        return measure_spectra(arguments.model, input_ids, device, spec.batch, arguments.quiet)

    _measure(arguments, spec, {"calibration": arguments.calibration}, work, "--batch (compress.batch)")


def suite(arguments: Namespace) -> None:
    """``lorap evaluate suite``."""
    from lorap.evaluation.suite import run_suite

    spec = parse_spec(SuiteSpec, arguments.spec)
    with on_device(arguments.device, "evaluate.batch or evaluate.cost.batches") as device:
        run_suite(spec, arguments.model, arguments.adapter, arguments.out, device, arguments.quiet)
    announce(arguments.out)


def _load(arguments: Namespace, dtype: str, device: "torch.device") -> "PreTrainedModel":
    """The model that was asked for, with its adapter where one is given."""
    from lorap.model.folder import DTYPES
    from lorap.tuning.loading import load_tuned

    return load_tuned(arguments.model, arguments.adapter, DTYPES.get(dtype), device)


def _measure(
    arguments: Namespace,
    spec: Spec,
    inputs: dict[str, Path],
    work: "Callable[[torch.device], dict[str, Any]]",
    knob: str,
) -> None:
    """Does the work on the device that was asked for, writes what it returns, and shows its numbers.

    ``knob`` names the setting to lower when memory runs out.
    """

    with (
        on_device(arguments.device, knob) as device,
        new_artifact(arguments.out, spec, model_inputs(arguments) | inputs, str(device)) as file,
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
