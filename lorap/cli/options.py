"""The options of every command."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

TUNE_OVERRIDES: tuple[tuple[str, Callable[[str], object], str], ...] = (
    ("--rows", int, "rows of the data to use"),
    ("--held-out", float, "rows of them that are not trained on, or their share (of a file of yours: 0.1)"),
    ("--cutoff", int, "tokens a row"),
    ("--rank", int, "of the adapter"),
    ("--alpha", int, "scaling of the adapter, times its rank"),
    ("--learning-rate", float, "at the end of the warm-up"),
    ("--warmup-steps", int, "steps until then"),
    ("--epochs", float, "passes over the rows"),
    ("--max-steps", int, "end after so many steps"),
    ("--batch", int, "rows a step"),
    ("--micro-batch", int, "rows at once; lower it when out of memory"),
    ("--evaluate-every", int, "steps between held-out losses, and between checkpoints"),
)


def _out(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def _spec(parser: ArgumentParser) -> None:
    parser.add_argument("--spec", metavar="JSON", help="all settings at once, as the workflow gives them")


def _model(parser: ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder, see 'lorap fetch'")


def _adapter(parser: ArgumentParser) -> None:
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="measure with an adapter, see 'lorap tune'")


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


def fetch(parser: ArgumentParser) -> None:
    """Options of ``lorap fetch``."""
    parser.add_argument("name", metavar="NAME", help="model of params.yaml, hub id, GGUF file or folder")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id (default: main)")
    parser.add_argument("--dtype", help="of a GGUF file's unpacked weights (default: bfloat16)")
    _spec(parser)
    _out(parser, "the folder to make")


def calibrate(parser: ArgumentParser) -> None:
    """Options of ``lorap calibrate``."""
    _model(parser)
    _corpus(parser)
    parser.add_argument("--nsamples", type=int, default=128, metavar="N", help="windows (default: 128)")
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    _spec(parser)
    _out(parser, "the safetensors file to make")


def plan(parser: ArgumentParser) -> None:
    """Options of ``lorap plan``."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR_OR_CONFIG", help="folder or config.json")
    _method(parser)
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="length that MACs are for (default: 64)")
    _json(parser)


def compress(parser: ArgumentParser) -> None:
    """Options of ``lorap compress``."""
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


def tune(parser: ArgumentParser) -> None:
    """Options of ``lorap tune``."""
    _model(parser)
    parser.add_argument("--data", metavar="NAME_OR_FILE", help="corpus of params.yaml, instructions or a text of yours")
    parser.add_argument("--tuning", default="alpaca", metavar="NAME", help="tuning of params.yaml (default: alpaca)")
    override = parser.add_argument_group("in place of the tuning's own settings")
    override.add_argument("--form", metavar="factored|dense", help="beside the factors, or on their product")
    for name, kind, what in TUNE_OVERRIDES:
        override.add_argument(name, type=kind, metavar="N", help=what)
    override.add_argument("--dtype", help="float32, float16, bfloat16 or auto, the model's own")
    override.add_argument("--gradient-checkpointing", action="store_true", default=None, help="less memory, more time")
    parser.add_argument("--seed", type=int, metavar="N", help="of adapter and shuffles (default: that of params.yaml)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda; several GPUs: torchrun -m lorap tune ...")
    _spec(parser)
    _out(parser, "the folder to make")


def redecompose(parser: ArgumentParser) -> None:
    """Options of ``lorap redecompose``."""
    _model(parser)
    parser.add_argument("--adapter", type=Path, required=True, metavar="DIR", help="of this model, see 'lorap tune'")
    parser.add_argument("--rank", default="k+r", metavar="k+r|k|N", help="k+r is exact, k or a number truncates")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="activations that weigh a truncation")
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    _device(parser)
    _spec(parser)
    _out(parser, "the folder to make")


def export(parser: ArgumentParser) -> None:
    """Options of ``lorap export``."""
    _model(parser)
    parser.add_argument("--form", choices=["dense"], default="dense", help="multiplied out (default and only one)")
    _out(parser, "the folder to make")


def report(parser: ArgumentParser) -> None:
    """Options of ``lorap report``."""
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")
    _spec(parser)


def perplexity(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate perplexity``."""
    _model(parser)
    _corpus(parser)
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--windows", type=int, metavar="N", help="only the first so many (default: all)")
    _adapter(parser)
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    parser.add_argument("--special-tokens", choices=["text", "token"], help="how '<unk>' is read (default: text)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    _device(parser)
    _json(parser)
    _out(parser, "the JSON file to make")


def zeroshot(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate zeroshot``."""
    _model(parser)
    _adapter(parser)
    parser.add_argument("--tasks", metavar="A,B", help="tasks of lm-eval (default: the seven of the paper)")
    parser.add_argument("--documents", type=int, metavar="N", help="of each task, drawn at random (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="local files, DIR/TASK/SPLIT.parquet, not the hub's")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    _device(parser)
    _json(parser)
    _out(parser, "the JSON file to make")


def cost(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate cost``."""
    _model(parser)
    _adapter(parser)
    parser.add_argument("--dtype", help="to compute in (default: the folder's)")
    _device(parser)
    _json(parser)
    _out(parser, "the JSON file to make")


def spectra(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate spectra``."""
    _model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")
    _device(parser)
    _spec(parser)
    _out(parser, "the JSON file to make")


def suite(parser: ArgumentParser) -> None:
    """Options of ``lorap evaluate suite``."""
    _model(parser)
    _adapter(parser)
    _device(parser)
    parser.add_argument("--spec", metavar="JSON", required=True, help="the measurements, as the workflow gives them")
    _out(parser, "the folder to write into")
