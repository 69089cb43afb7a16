"""``lorap evaluate``: measure a model."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lorap.api.devices import on_device
from lorap.api.measuring import Measure, measure, measure_spec
from lorap.artifacts.specs import CostSpec, SpectraSpec, SuiteSpec
from lorap.cli import options
from lorap.cli.output import announce, print_json
from lorap.settings.config import parse_spec

# The options that are no settings of a measure.
COMMON = {"command", "measure", "run", "model", "adapter", "device", "out", "json", "params", "quiet", "spec"}


def add_options(parser: ArgumentParser) -> None:
    """A command for every measure, with its options."""
    commands = parser.add_subparsers(dest="measure", required=True, metavar="MEASURE")
    for name, (purpose, add) in MEASURES.items():
        add(options.add_command(commands, name, purpose))


def _perplexity_options(parser: ArgumentParser) -> None:
    """The options of ``lorap evaluate perplexity``."""
    options.add_model(parser)
    options.add_corpus(parser)
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--windows", type=int, metavar="N", help="only the first so many (default: all)")
    _add_adapter(parser)
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    parser.add_argument("--special-tokens", choices=["text", "token"], help="how '<unk>' is read (default: text)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    options.add_device(parser)
    options.add_json(parser)
    options.add_out(parser, "the JSON file to make")
    options.add_common(parser, run, "lorap evaluate perplexity --model small --text book.txt --out perplexity.json")


def _zeroshot_options(parser: ArgumentParser) -> None:
    """The options of ``lorap evaluate zeroshot``."""
    options.add_model(parser)
    _add_adapter(parser)
    parser.add_argument("--tasks", metavar="A,B", help="tasks of lm-eval (default: the seven of the paper)")
    parser.add_argument("--documents", type=int, metavar="N", help="of each task, drawn at random (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="local files, DIR/TASK/SPLIT.parquet, not the hub's")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    options.add_device(parser)
    options.add_json(parser)
    options.add_out(parser, "the JSON file to make")
    options.add_common(
        parser,
        run,
        "lorap evaluate zeroshot --model small --tasks piqa,arc_easy --documents 200 --out zeroshot.json",
    )


def _cost_options(parser: ArgumentParser) -> None:
    """The options of ``lorap evaluate cost``."""
    options.add_model(parser)
    _add_adapter(parser)
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    options.add_device(parser)
    options.add_json(parser)
    options.add_spec(parser)
    options.add_out(parser, "the JSON file to make")
    options.add_common(parser, run, "lorap evaluate cost --model small --out cost.json")


def _spectra_options(parser: ArgumentParser) -> None:
    """The options of ``lorap evaluate spectra``."""
    options.add_model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    options.add_batch(parser)
    options.add_device(parser)
    options.add_spec(parser)
    options.add_out(parser, "the JSON file to make")
    options.add_common(
        parser,
        run,
        "lorap evaluate spectra --model models/smol --calibration calibration.safetensors --out spectra.json",
    )


def _suite_options(parser: ArgumentParser) -> None:
    """The options of ``lorap evaluate suite``."""
    options.add_model(parser)
    _add_adapter(parser)
    options.add_device(parser)
    parser.add_argument("--spec", metavar="JSON", required=True, help="the measurements, as the workflow gives them")
    options.add_out(parser, "the folder to write into")
    options.add_common(parser, run_all, "lorap evaluate suite --model small --spec JSON --out results")


def _add_adapter(parser: ArgumentParser) -> None:
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="measure with an adapter, see 'lorap tune'")


MEASURES = {
    "perplexity": ("measure perplexity on a text or a corpus", _perplexity_options),
    "zeroshot": ("answer multiple-choice tasks of lm-eval without examples", _zeroshot_options),
    "cost": ("count parameters and MACs, measure memory, latency and throughput", _cost_options),
    "spectra": ("measure how low-rank a dense model's weights are, by depth", _spectra_options),
    "suite": ("measure perplexities and zero-shot tasks with one loading of the model", _suite_options),
}
STEPS: dict[str, type[CostSpec | SpectraSpec]] = {"cost": CostSpec, "spectra": SpectraSpec}  # also of the workflow


def run(arguments: Namespace) -> None:
    """Writes what was measured, and shows its numbers."""
    wanted = {name: value for name, value in vars(arguments).items() if name not in COMMON and value is not None}
    if isinstance(wanted.get("tasks"), str):
        wanted["tasks"] = wanted["tasks"].split(",")
    if getattr(arguments, "spec", None):
        spec: Measure = parse_spec(STEPS[arguments.measure], arguments.spec)
    else:
        spec = measure_spec(arguments.measure, arguments.params, **wanted)
    files = {name: value for name, value in wanted.items() if isinstance(value, Path)}
    adapter = getattr(arguments, "adapter", None)
    result = measure(spec, arguments.model, adapter, files, arguments.out, arguments.device, arguments.quiet)
    if getattr(arguments, "json", False):
        print_json(result)
        return
    for name, value in [*result.items(), *_scores(result.get("tasks", {}))]:
        if isinstance(value, int | float):
            print(f"{name}: {value:,.4f}" if isinstance(value, float) else f"{name}: {value:,}")
    announce(arguments.out)


def _scores(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The accuracies of every task, and of how many documents."""
    return ((f"{task} {name}", value) for task, scores in tasks.items() for name, value in scores.items())


def run_all(arguments: Namespace) -> None:
    """Measures how good a model is, as the workflow wants it."""
    from lorap.evaluation.suite import run_suite

    spec = parse_spec(SuiteSpec, arguments.spec)
    with on_device(arguments.device, "evaluate.batch") as device:
        run_suite(spec, arguments.model, arguments.adapter, arguments.out, device, arguments.quiet)
    announce(arguments.out)
