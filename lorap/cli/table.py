"""The table of commands; nothing heavy is imported here."""

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lorap.cli import measure_options, options

COMMANDS = "lorap.cli.commands"
RECOVERY = "lorap.cli.recovery"
INTEGRITY = "lorap.cli.integrity"
COMPARING = "lorap.cli.comparing"
MEASURES = "lorap.cli.measures"


@dataclass(frozen=True)
class Command:
    """A command: its name, where its function is, what it does, an example, and its options."""

    name: str
    module: str
    function: str
    help: str
    example: str
    options: Callable[[ArgumentParser], None]


def add_commands(parser: ArgumentParser) -> None:
    """Adds every command of the two tables to the parser."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in TABLE:
        _add(commands, command)
    evaluate = commands.add_parser("evaluate", help="measure a model: perplexity, zero-shot tasks, cost, spectra")
    measures = evaluate.add_subparsers(dest="measure", required=True, metavar="MEASURE")
    for command in EVALUATE:
        _add(measures, command)


def _add(commands: "_SubParsersAction[ArgumentParser]", command: Command) -> None:
    parser = commands.add_parser(
        command.name,
        help=command.help,
        description=f"{command.help[0].upper()}{command.help[1:]}.",
        epilog=f"example:\n  {command.example}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.options(parser)
    parser.add_argument("--params", type=Path, metavar="FILE", help="settings (default: ./params.yaml, if there)")
    quiet = not sys.stderr.isatty() or bool(os.environ.get("CI"))
    parser.add_argument("--quiet", action="store_true", default=quiet, help="no progress bars (default off a terminal)")
    parser.set_defaults(module=command.module, function=command.function)


TABLE = (
    Command("fetch", COMMANDS, "fetch", "get a model as a plain Hugging Face folder",
            "lorap fetch smollm2-135m-instruct --out models/smol", options.fetch),
    Command("calibrate", COMMANDS, "calibrate", "draw calibration windows from a text",
            "lorap calibrate --model models/smol --text book.txt --out calibration.safetensors", options.calibrate),
    Command("plan", COMMANDS, "plan", "show ranks, channels, parameters and MACs; needs no weights",
            "lorap plan --model models/smol --method lorap --sparsity 0.5", options.plan),
    Command("compress", COMMANDS, "compress", "compress a model",
            "lorap compress --model models/smol --calibration calibration.safetensors --sparsity 0.2 --out small",
            options.compress),
    Command("tune", RECOVERY, "tune", "tune a LoRA adapter for a compressed model",
            "lorap tune --model small --data instructions.jsonl --form factored --out adapter",
            options.tune),
    Command("redecompose", RECOVERY, "redecompose", "join an adapter to the factors of its model",
            "lorap redecompose --model small --adapter adapter --out tuned", options.redecompose),
    Command("export", COMMANDS, "export", "make a stock checkpoint of a factored model, for any runtime",
            "lorap export --model small --out small-dense", options.export),
    Command("report", COMMANDS, "report", "make the tables and figures of a grid from its result files",
            "lorap report --grid demo", options.report),
    Command("verify", INTEGRITY, "verify", "is every artifact what params.yaml says, made of what is there",
            "lorap verify --grid demo --bytes", options.verify),
    Command("adopt", INTEGRITY, "adopt", "take over results that were pulled or copied; the workflow makes the others",
            "lorap adopt --grid demo", options.adopt),
    Command("compare", COMPARING, "compare_results", "are the tables of a run those of git, but for rounding",
            "lorap compare --grid demo --with HEAD --tolerance 0.01", options.compare),
    Command("prune", INTEGRITY, "prune", "list or remove artifacts that belong to no cell of a grid",
            "lorap prune --grid demo --remove", options.prune),
)  # fmt: skip

EVALUATE = (
    Command("perplexity", MEASURES, "perplexity", "measure perplexity on a text or a corpus",
            "lorap evaluate perplexity --model small --text book.txt --out perplexity.json",
            measure_options.perplexity),
    Command("zeroshot", MEASURES, "zeroshot", "answer multiple-choice tasks of lm-eval without examples",
            "lorap evaluate zeroshot --model small --tasks piqa,arc_easy --documents 200 --out zeroshot.json",
            measure_options.zeroshot),
    Command("cost", MEASURES, "cost", "count parameters and MACs, measure memory, latency and throughput",
            "lorap evaluate cost --model small --out cost.json", measure_options.cost),
    Command("spectra", MEASURES, "spectra", "measure how low-rank a dense model's weights are, by depth",
            "lorap evaluate spectra --model models/smol --calibration calibration.safetensors --out spectra.json",
            measure_options.spectra),
    Command("suite", MEASURES, "suite", "take several measurements with one loading of the model",
            "lorap evaluate suite --model small --spec JSON --out results", measure_options.suite),
)  # fmt: skip
