"""The options of ``lorap evaluate``."""

from argparse import ArgumentParser
from pathlib import Path

from lorap.cli.options import add_adapter, add_batch, add_corpus, add_device, add_json, add_model, add_out, add_spec


def perplexity(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate perplexity``."""
    add_model(parser)
    add_corpus(parser)
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--windows", type=int, metavar="N", help="only the first so many (default: all)")
    add_adapter(parser)
    add_batch(parser)
    parser.add_argument("--special-tokens", choices=["text", "token"], help="how '<unk>' is read (default: text)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    add_device(parser)
    add_json(parser)
    add_out(parser, "the JSON file to make")


def zeroshot(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate zeroshot``."""
    add_model(parser)
    add_adapter(parser)
    parser.add_argument("--tasks", metavar="A,B", help="tasks of lm-eval (default: the seven of the paper)")
    parser.add_argument("--documents", type=int, metavar="N", help="of each task, drawn at random (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="local files, DIR/TASK/SPLIT.parquet, not the hub's")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    add_device(parser)
    add_json(parser)
    add_out(parser, "the JSON file to make")


def cost(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate cost``."""
    add_model(parser)
    add_adapter(parser)
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    add_device(parser)
    add_json(parser)
    add_out(parser, "the JSON file to make")


def spectra(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate spectra``."""
    add_model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    add_batch(parser)
    add_device(parser)
    add_spec(parser)
    add_out(parser, "the JSON file to make")


def suite(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate suite``."""
    add_model(parser)
    add_adapter(parser)
    add_device(parser)
    parser.add_argument("--spec", metavar="JSON", required=True, help="the measurements, as the workflow gives them")
    add_out(parser, "the folder to write into")
