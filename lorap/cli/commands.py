"""The table of commands: a name, and what it does; the module of that name holds its options and its function."""

from argparse import ArgumentParser
from importlib import import_module

from lorap.cli.options import add_command

COMMANDS = {
    "fetch": "get a model as a plain Hugging Face folder",
    "calibrate": "draw calibration windows from a text",
    "plan": "show ranks, channels, parameters and MACs before anything is compressed",
    "survey": "measure what each part of a model's layers loses when it gets smaller",
    "compress": "compress a model",
    "tune": "tune a LoRA adapter for a compressed model",
    "redecompose": "join an adapter to the factors of its model",
    "export": "make a stock checkpoint of a factored model, for any runtime",
    "report": "make the tables and figures of a grid from its result files",
    "verify": "check every artifact against params.yaml and what it is made of",
    "adopt": "take over results that were pulled or copied; the workflow makes the others",
    "compare": "compare the tables of a run with those in git",
    "prune": "list or remove leftover results that belong to no cell of a grid",
    "evaluate": "measure a model: perplexity, zero-shot tasks, cost, spectra",
    "estimate": "say what a grid takes on a machine: hours, memory, disk",
    "show": "say what a folder or a file is: base, method, plan by layer, sizes, provenance",
}


def add_commands(parser: ArgumentParser, asked: str | None) -> None:
    """Adds every command to the parser, and the options of the one that was asked for.

    Only that command's module is imported, which is why ``lorap --help`` is fast.
    """
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = add_command(commands, name, purpose)
        if name == asked:
            import_module(f"lorap.cli.{name}").add_options(command)
