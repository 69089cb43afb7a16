"""What the attention of a layer compares, whatever its family: recorded where transformers calls the attention."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorap.core.attention_metric import Attended
from lorap.core.budget import QK
from lorap.errors import LorapError
from lorap.model.family import linear

RECORDER = "lorap_recorder"
TOGETHER = 8  # rows of a Jacobian in one backward pass, whose memory is so many times that of what it starts from
FOREIGN = ("softcap", "s_aux")  # of families whose scores are more than scaled products


@dataclass(frozen=True)
class Call:
    """A call of the attention: the outputs of q_proj and k_proj, and what became of them."""

    outputs: Mapping[str, Tensor]
    compared: Mapping[str, Tensor]
    value: Tensor
    mask: Tensor | None
    options: Mapping[str, Any]


class _Done(Exception):
    """The attention was called; what follows need not run."""


@torch.enable_grad()
def record_call(layer: nn.Module, run: Callable[[], object]) -> Call:
    """Runs a layer until its attention is called, with gradients from the outputs of q_proj and k_proj on.

    Args:
        layer: A decoder layer whose q_proj and k_proj are dense.
        run: Passes windows through the layer.

    Raises:
        LorapError: The family does more to scores than to scale and to mask them.
    """
    attention: Any = layer.self_attn
    outputs: dict[str, Tensor] = {}
    found: list[Call] = []

    def take(name: str, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        outputs[name] = output.detach().requires_grad_()
        return outputs[name]

    def record(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        found.append(Call(outputs, {"q_proj": query, "k_proj": key}, value, mask, options))
        raise _Done

    usual = attention.config._attn_implementation
    with ExitStack() as undo, suppress(_Done):
        for name in QK:
            undo.callback(linear(layer, name).register_forward_hook(partial(take, name)).remove)
        ALL_ATTENTION_FUNCTIONS.register(RECORDER, record)
        undo.callback(setattr, attention.config, "_attn_implementation", usual)
        attention.config._attn_implementation = RECORDER
        run()
    if foreign := [name for name in FOREIGN if found[0].options.get(name) is not None]:
        raise LorapError(
            f"{type(attention).__name__}: its scores are more than scaled products ({foreign[0]}), which joint-qk "
            "does not know; choose another treatment of q and k"
        )
    return found[0]


@torch.enable_grad()
def jacobians(call: Call) -> Mapping[str, Tensor]:
    """Of what is compared with respect to the outputs of q_proj and k_proj: (heads, tokens, d, d) each.

    Rotations, and whatever else a family does to queries and keys, such as norms.
    """
    return {name: _differentiated(call.compared[name], call.outputs[name]) for name in QK}


def _differentiated(made: Tensor, output: Tensor) -> Tensor:
    """No head and no token depends on another one, so that one backward pass serves them all."""
    _, heads, tokens, width = made.shape
    ones = torch.eye(width, dtype=made.dtype, device=made.device)[:, None, None, None].expand(-1, *made.shape)
    rows = [torch.autograd.grad(made, output, part, retain_graph=True, is_grads_batched=True)[0]
            for part in torch.split(ones, TOGETHER)]  # fmt: skip
    return torch.cat(rows).view(width, tokens, heads, width).permute(2, 1, 0, 3).float()


def attended(call: Call) -> Attended:
    """The softmax of a window's attention, and what it is made of."""
    tensors = (call.compared["q_proj"], call.compared["k_proj"], call.value)
    queries, keys, values = (tensor.detach()[0].float() for tensor in tensors)
    scale = call.options.get("scaling") or queries.shape[-1] ** -0.5
    scores = queries @ keys.repeat_interleave(len(queries) // len(keys), 0).transpose(1, 2) * scale
    tokens, mask = scores.shape[-1], call.mask
    if mask is None:
        mask = torch.ones(1, 1, tokens, tokens, dtype=torch.bool, device=scores.device).tril()
    mask = mask[0, :, :tokens, :tokens]
    scores = scores.masked_fill(mask.logical_not(), -math.inf) if mask.dtype == torch.bool else scores + mask.float()
    return Attended(queries, keys, values, scores.softmax(-1), float(scale))
