"""The table of commands and their options; nothing heavy is imported here."""

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COMMANDS = "lorap.cli.commands"
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
    evaluate = commands.add_parser("evaluate", help="measure a model: perplexity, cost, spectra")
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


def _out(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def _spec(parser: ArgumentParser) -> None:
    parser.add_argument("--spec", metavar="JSON", help="all settings at once, as the workflow gives them")


def _model(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder, see 'lorap fetch'")


def _device(parser: ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda, cuda:1, ...")


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def _corpus(parser: ArgumentParser) -> None:
    parser.add_argument("--corpus", metavar="NAME", help="corpus of params.yaml; with --text only a label")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a text file of your own, plain or .gz")


def _method(parser: ArgumentParser) -> None:
    parser.add_argument("--method", default="lorap", metavar="NAME", help="method of params.yaml (default: lorap)")
    parser.add_argument("--sparsity", type=float, metavar="S", help="fraction of the weights to remove, in [0, 1)")
    override = parser.add_argument_group("in place of the method's own settings")
    override.add_argument("--attention", metavar="svd|awsvd|afm|none", help="what happens to q, k, v and o")
    override.add_argument("--ffn", metavar="prune|decompose|none", help="what happens to gate, up and down")
    override.add_argument("--allocation", type=float, metavar="A", help="parameters of v, o for each of q, k")
    override.add_argument("--keep-least", type=float, metavar="F", help="least important channels that stay")


def _fetch(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="model of params.yaml, hub id, GGUF file or folder")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id (default: main)")
    parser.add_argument("--dtype", help="of a GGUF file's unpacked weights (default: bfloat16)")
    _spec(parser)
    _out(parser, "the folder to make")


def _calibrate(parser: ArgumentParser) -> None:
    _model(parser)
    _corpus(parser)
    parser.add_argument("--nsamples", type=int, default=128, metavar="N", help="windows (default: 128)")
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    _spec(parser)
    _out(parser, "the safetensors file to make")


def _plan(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR_OR_CONFIG", help="folder or config.json")
    _method(parser)
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="length that MACs are for (default: 64)")
    _json(parser)


def _compress(parser: ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    _method(parser)
    parser.add_argument("--form", metavar="factored|dense", help="factors, or multiplied out (default: factored)")
    parser.add_argument("--dtype", help="float32, float16, bfloat16 or auto, the model's own (default: auto)")
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    parser.add_argument("--offload", action="store_true", default=None, help="keep activations in the CPU's memory")
    _device(parser)
    _spec(parser)
    _out(parser, "the folder to make")


def _export(parser: ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--form", choices=["dense"], default="dense", help="multiplied out (default and only one)")
    _out(parser, "the folder to make")


def _report(parser: ArgumentParser) -> None:
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")
    _spec(parser)


def _perplexity(parser: ArgumentParser) -> None:
    _model(parser)
    _corpus(parser)
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--windows", type=int, metavar="N", help="only the first so many (default: all)")
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    parser.add_argument("--special-tokens", choices=["text", "token"], help="how '<unk>' is read (default: text)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    _device(parser)
    _json(parser)
    _out(parser, "the JSON file to make")


def _cost(parser: ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    _device(parser)
    _json(parser)
    _out(parser, "the JSON file to make")


def _spectra(parser: ArgumentParser) -> None:
    _model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    _device(parser)
    _spec(parser)
    _out(parser, "the JSON file to make")


def _suite(parser: ArgumentParser) -> None:
    _model(parser)
    _device(parser)
    parser.add_argument("--spec", metavar="JSON", required=True, help="the measurements, as the workflow gives them")
    _out(parser, "the folder to write into")


TABLE = (
    Command("fetch", COMMANDS, "fetch", "get a model as a plain Hugging Face folder",
            "lorap fetch smollm2-135m-instruct --out models/smol", _fetch),
    Command("calibrate", COMMANDS, "calibrate", "draw calibration windows from a text",
            "lorap calibrate --model models/smol --text book.txt --out calibration.safetensors", _calibrate),
    Command("plan", COMMANDS, "plan", "show ranks, channels, parameters and MACs; needs no weights",
            "lorap plan --model models/smol --method lorap --sparsity 0.5", _plan),
    Command("compress", COMMANDS, "compress", "compress a model",
            "lorap compress --model models/smol --calibration calibration.safetensors --sparsity 0.2 --out small",
            _compress),
    Command("export", COMMANDS, "export", "make a stock checkpoint of a factored model, for any runtime",
            "lorap export --model small --out small-dense", _export),
    Command("report", COMMANDS, "report", "make the tables and figures of a grid from its result files",
            "lorap report --grid demo", _report),
)  # fmt: skip

EVALUATE = (
    Command("perplexity", MEASURES, "perplexity", "measure perplexity on a text or a corpus",
            "lorap evaluate perplexity --model small --text book.txt --out perplexity.json", _perplexity),
    Command("cost", MEASURES, "cost", "count parameters and MACs, measure memory, latency and throughput",
            "lorap evaluate cost --model small --out cost.json", _cost),
    Command("spectra", MEASURES, "spectra", "measure how low-rank a dense model's weights are, by depth",
            "lorap evaluate spectra --model models/smol --calibration calibration.safetensors --out spectra.json",
            _spectra),
    Command("suite", MEASURES, "suite", "take several measurements with one loading of the model",
            "lorap evaluate suite --model small --spec JSON --out results", _suite),
)  # fmt: skip
