"""How far the attention's output has moved since q and k were factorised: as their metrics predict it, and measured."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lorap.compression.attention_metrics import chosen_windows
from lorap.compression.loop import LayerLoop
from lorap.compression.passing import passing
from lorap.core.budget import QK
from lorap.core.factorise import in_float64, numbers
from lorap.model.family import parent
from lorap.model.layer_plan import ATTENTION


def attention_modules(layer: nn.Module) -> dict[str, nn.Module]:
    """The projections of a layer's attention as they stand there."""
    return {name: getattr(parent(layer, name), name) for name in ATTENTION}


@torch.no_grad()
def joint_errors(
    loop: LayerLoop,
    index: int,
    layer: nn.Module,
    dense: Mapping[str, nn.Module],
    metrics: Mapping[str, Tensor],
    windows: int,
) -> dict[str, float]:
    """Relative errors of the attention's output on the windows of the metrics, with v and o as they were.

    Args:
        loop: At the layer, whose stream is what passes.
        index: Number of the layer.
        layer: The layer, its attention compressed.
        dense: The projections of its attention as they were.
        metrics: A of q_proj and k_proj (``attention_metrics``).
        windows: That these were measured on.

    Returns:
        ``predicted``, by the changes of queries and keys in their metrics, and ``measured``; roots of the mean squares
        over that of the output.
    """
    small = attention_modules(layer)
    sums = dict.fromkeys(("predicted", "measured", "output"), torch.zeros((), dtype=torch.float64))
    try:
        for window in chosen_windows(loop, windows):
            run = partial(loop.window_outputs, index, layer, window[None])
            inputs, before = _outputs(layer, run, dense)
            _, after = _outputs(layer, run, {**dense, **{name: small[name] for name in QK}})
            found = {
                "predicted": sum(_quadratic(small[name](inputs) - dense[name](inputs), metrics[name]) for name in QK),
                "measured": (in_float64(after) - in_float64(before)).square().sum(),
                "output": in_float64(before).square().sum(),
            }
            sums = {name: total + found[name] for name, total in sums.items()}
    finally:
        _place(layer, small)
    size = sums.pop("output")
    return numbers({name: (total / size).sqrt() for name, total in sums.items()})


def _place(layer: nn.Module, modules: Mapping[str, nn.Module]) -> None:
    for name, module in modules.items():
        setattr(parent(layer, name), name, module)


def _outputs(layer: nn.Module, run: Any, modules: Mapping[str, nn.Module]) -> tuple[Tensor, Tensor]:
    """The inputs and the outputs of the attention with these projections: (batch, tokens, hidden) each."""
    caught: list[Tensor] = []

    def catch(module: nn.Module, arguments: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)

    _place(layer, modules)
    with ExitStack() as hooks:
        hooks.callback(layer.self_attn.register_forward_hook(catch).remove)  # type: ignore[union-attr]
        seen = passing(layer, run, ["attention_in", "ffn_in"])
    return seen["attention_in"], caught[0]


def _quadratic(change: Tensor, metric: Tensor) -> Tensor:
    """The sum over tokens of dq^T A dq, by head: (batch, tokens, heads * d) and (heads, d, d) to ()."""
    by_head = in_float64(change).view(change[..., 0].numel(), len(metric), -1).transpose(0, 1)
    return ((by_head @ metric.to(by_head)) * by_head).sum()
