"""The work that is compared: a dense pass, lorap's compression and the plain procedure; and what each leaves behind."""

import math
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorap.artifacts.specs import CompressSpec
from lorap.compression.run import compress
from lorap.data.corpora import pydoc_rows, read_text
from lorap.data.windows import cut_windows, draw_windows
from lorap.evaluation.perplexity import window_losses
from lorap.machine.meter import peak_memory
from lorap.model.folder import load_model
from lorap.model.tokenizer import load_tokenizer
from lorap.settings.method import Method
from tests.plain import compress_plain

CPU = torch.device("cpu")
METHOD: dict[str, Any] = {"attention": "awsvd", "ffn": "prune", "allocation": 3.0, "keep_least": 0.01}
KINDS = ("dense pass", "lorap", "plain procedure")
HELD_OUT_WINDOWS = 64


def compressing_options(description: str | None, repeats: int) -> ArgumentParser:
    """The options of a benchmark that compresses a model: which one, with what windows, how often, and where to."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="calibrate with this text instead of the Python reference")
    parser.add_argument("--nsamples", type=int, default=128)
    parser.add_argument("--seqlen", type=int, default=128)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=16, help="windows a pass of lorap and of the dense decoder")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, required=True)
    return parser


def calibration_windows(args: Namespace) -> Tensor:
    """(nsamples, seqlen)."""
    rows = pydoc_rows("calibration") if args.text is None else [read_text(args.text)]
    return draw_windows(load_tokenizer(args.model), rows, args.nsamples, args.seqlen, seed=0)


def dense_model(args: Namespace) -> PreTrainedModel:
    """The whole model in float32, as transformers loads it."""
    return AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()


def spec_of(args: Namespace) -> CompressSpec:
    """The method of the paper, computed in float32."""
    method = Method.model_validate(METHOD)
    run = {"form": "factored", "dtype": "float32", "batch": args.batch, "offload": False}
    return CompressSpec(method=method, sparsity=args.sparsity, **run)


@torch.no_grad()
def dense_pass(model: PreTrainedModel, windows: Tensor, batch: int) -> None:
    """The calibration set through the decoder, without the head."""
    for start in range(0, len(windows), batch):
        model.model(input_ids=windows[start : start + batch], use_cache=False)


def plain_procedure(model: PreTrainedModel, windows: Tensor, sparsity: float) -> None:
    """The published procedure in its plainest form, on a model that is given up to it."""
    compress_plain(model, windows, **METHOD, sparsity=sparsity)


def footprint(kind: str, args: Namespace) -> dict[str, float]:
    """Peak memory of one kind of work in a process that does nothing else first, and the result's perplexity."""
    imports, windows = peak_memory(CPU), calibration_windows(args)
    if kind == "lorap":
        model, peak = _compressed(args, windows)
    else:
        model = dense_model(args)
        if kind == "plain procedure":
            plain_procedure(model, windows, args.sparsity)
        else:
            dense_pass(model, windows, args.batch)
        peak = peak_memory(CPU)
    return {"imports_bytes": imports, "peak_bytes": peak, "perplexity": _perplexity(model, args)}


def _compressed(args: Namespace, windows: Tensor) -> tuple[PreTrainedModel, int]:
    """lorap's result as it is loaded again, and the peak memory before that."""
    with tempfile.TemporaryDirectory() as folder:
        compress(spec_of(args), args.model, windows, Path(folder), CPU, quiet=True)
        peak = peak_memory(CPU)
        return load_model(Path(folder)), peak


def _perplexity(model: PreTrainedModel, args: Namespace) -> float:
    """On text of the Python reference that no calibration set of it holds."""
    text = "\n\n".join(pydoc_rows("evaluation"))
    held_out = cut_windows(load_tokenizer(args.model), text, args.seqlen, HELD_OUT_WINDOWS, True)
    losses = window_losses(model, held_out, args.batch)
    return math.exp(sum(losses) / (held_out.numel() - len(held_out)))
