"""The options of the commands that make things, and those that commands share."""

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


def add_out(parser: ArgumentParser, what: str) -> None:
    """Where the result goes."""
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=what)


def add_spec(parser: ArgumentParser) -> None:
    """All settings at once, as the workflow gives them."""
    parser.add_argument("--spec", metavar="JSON", help="all settings at once, as the workflow gives them")


def add_model(parser: ArgumentParser) -> None:
    """The model folder."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model folder, see 'lorap fetch'")


def add_adapter(parser: ArgumentParser) -> None:
    """An adapter beside it."""
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="measure with an adapter, see 'lorap tune'")


def add_device(parser: ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda, cuda:1, ...")


def add_batch(parser: ArgumentParser) -> None:
    """How much is computed at once."""
    parser.add_argument("--batch", type=int, metavar="N", help="windows a forward pass; lower it when out of memory")


def add_json(parser: ArgumentParser) -> None:
    """JSON in place of words."""
    parser.add_argument("--json", action="store_true", help="print JSON alone")


def add_corpus(parser: ArgumentParser) -> None:
    """A corpus by name, or a text file."""
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


def _form(parser: ArgumentParser) -> None:
    parser.add_argument("--form", metavar="factored|dense", help="factors, or multiplied out (default: factored)")


def fetch(parser: ArgumentParser) -> None:
    """Options of ``lorap fetch``."""
    parser.add_argument("name", metavar="NAME", help="model of params.yaml, hub id, GGUF file, folder or manifest")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id (default: main)")
    parser.add_argument("--dtype", help="of a GGUF file's unpacked weights (default: bfloat16)")
    add_spec(parser)
    add_out(parser, "the folder to make")


def calibrate(parser: ArgumentParser) -> None:
    """Options of ``lorap calibrate``."""
    add_model(parser)
    add_corpus(parser)
    parser.add_argument("--nsamples", type=int, default=128, metavar="N", help="windows (default: 128)")
    parser.add_argument("--seqlen", type=int, default=128, metavar="N", help="tokens a window (default: 128)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draws (default: that of params.yaml)")
    add_spec(parser)
    add_out(parser, "the safetensors file to make")


def plan(parser: ArgumentParser) -> None:
    """Options of ``lorap plan``."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR_OR_CONFIG", help="folder or config.json")
    _method(parser)
    _form(parser)
    parser.add_argument("--tokens", type=int, default=64, metavar="N", help="length that MACs are for (default: 64)")
    add_json(parser)


def compress(parser: ArgumentParser) -> None:
    """Options of ``lorap compress``."""
    add_model(parser)
    parser.add_argument("--calibration", type=Path, required=True, metavar="FILE", help="see 'lorap calibrate'")
    _method(parser)
    _form(parser)
    parser.add_argument("--dtype", help="float32, float16, bfloat16 or auto, the model's own (default: auto)")
    add_batch(parser)
    parser.add_argument("--offload", action="store_true", default=None, help="keep activations in the CPU's memory")
    add_device(parser)
    add_spec(parser)
    add_out(parser, "the folder to make")


def tune(parser: ArgumentParser) -> None:
    """Options of ``lorap tune``."""
    add_model(parser)
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
    add_spec(parser)
    add_out(parser, "the folder to make")


def redecompose(parser: ArgumentParser) -> None:
    """Options of ``lorap redecompose``."""
    add_model(parser)
    parser.add_argument("--adapter", type=Path, required=True, metavar="DIR", help="of this model, see 'lorap tune'")
    parser.add_argument("--rank", default="k+r", metavar="k+r|k|N", help="k+r is exact, k or a number truncates")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="activations that weigh a truncation")
    add_batch(parser)
    add_device(parser)
    add_spec(parser)
    add_out(parser, "the folder to make")


def export(parser: ArgumentParser) -> None:
    """Options of ``lorap export``."""
    add_model(parser)
    parser.add_argument("--form", choices=["dense"], default="dense", help="multiplied out (default and only one)")
    add_out(parser, "the folder to make")


def report(parser: ArgumentParser) -> None:
    """Options of ``lorap report``."""
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")
    add_spec(parser)


def _grid(parser: ArgumentParser) -> None:
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml (default: the active ones)")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")


def verify(parser: ArgumentParser) -> None:
    """Options of ``lorap verify``."""
    _grid(parser)
    parser.add_argument("--until", metavar="STEP", help="leave out what comes after a step, such as compress")
    _bytes(parser)


def _bytes(parser: ArgumentParser) -> None:
    parser.add_argument("--bytes", action="store_true", help="hash every file again")


def adopt(parser: ArgumentParser) -> None:
    """Options of ``lorap adopt``."""
    parser.add_argument("--grid", metavar="NAME", help="grid of params.yaml (default: the active ones)")
    parser.set_defaults(results=Path("results"))  # where the workflow has them
    _bytes(parser)
    why = "keep what other code made; the reason is recorded with each artifact"
    parser.add_argument("--accept-code", metavar="WHY", help=why)


def compare(parser: ArgumentParser) -> None:
    """Options of ``lorap compare``."""
    _grid(parser)
    where = "git revision, whose results/ is read, or a folder such as results (default: HEAD)"
    parser.add_argument("--with", dest="reference", default="HEAD", metavar="REV_OR_FOLDER", help=where)
    share = "largest relative difference of two numbers that agree (default: 0.01)"
    parser.add_argument("--tolerance", type=float, default=0.01, metavar="SHARE", help=share)
    add_json(parser)


def prune(parser: ArgumentParser) -> None:
    """Options of ``lorap prune``."""
    _grid(parser)
    parser.add_argument("--remove", action="store_true", help="remove them, not only list them")
