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
FOREIGN = ("softcap", "s_aux")  # of families whose scores are more than scaled products
LINEAR = 1e-4  # of the largest value: what is compared is linear in the outputs where it is as near to that

Run = Callable[[Tensor], object]  # passes windows, (batch, tokens, hidden), through a layer


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


def record_call(layer: nn.Module, run: Callable[[], object], replaced: Mapping[str, Tensor] | None = None) -> Call:
    """Runs a layer until its attention is called.

    Args:
        layer: A decoder layer whose q_proj and k_proj are dense.
        run: Passes windows through the layer.
        replaced: Outputs of q_proj and k_proj to take in place of their own.

    Raises:
        LorapError: The family does more to scores than to scale and to mask them.
    """
    attention: Any = layer.self_attn
    outputs: dict[str, Tensor] = {}
    found: list[Call] = []

    def take(name: str, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        outputs[name] = output.detach() if replaced is None else replaced[name]
        return outputs[name].requires_grad_(torch.is_grad_enabled())

    def record(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        found.append(Call(outputs, {"q_proj": query, "k_proj": key}, value, mask, options))
        raise _Done

    usual = attention.config._attn_implementation
    with ExitStack() as undo, suppress(_Done):
        for name in QK:
            undo.callback(linear(layer, name).register_forward_hook(partial(take, name)).remove)
            if replaced is not None:  # then its own outputs need not be computed
                undo.callback(linear(layer, name).register_forward_pre_hook(_first_token).remove)
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


def _first_token(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0][:1, :1],)


def jacobians(
    layer: nn.Module, run: Run, window: Tensor, call: Call, rotations: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Of what is compared with respect to the outputs of q_proj and k_proj: (heads, tokens, d, d) each.

    These are the rotations where nothing else happens. Where a family does more, such as norms of queries, automatic
    differentiation finds them.
    """
    found = rotations
    last = {name: call.compared[name][0, :, -1].detach().float() for name in QK}  # one token shows it
    guessed = {name: _last(found[name], call.outputs[name]) for name in QK}
    off = torch.stack([(guessed[name] - last[name]).abs().max() for name in QK])
    sizes = torch.stack([last[name].abs().max() for name in QK])
    if bool((off <= LINEAR * sizes).all()):
        return found
    with torch.enable_grad():
        call = record_call(layer, partial(run, window))
        return {name: _differentiated(call.compared[name], call.outputs[name]) for name in QK}


def rotations(layer: nn.Module, run: Run, window: Tensor, call: Call) -> dict[str, Tensor]:
    """What a layer makes of unit vectors in place of the outputs of q_proj and k_proj: (heads, tokens, d, d) each."""
    width, tokens = call.compared["q_proj"].shape[-1], window.shape[1]
    unit = torch.eye(width, dtype=window.dtype, device=window.device)
    replaced = {name: unit.repeat(1, call.compared[name].shape[1])[:, None].expand(width, tokens, -1) for name in QK}
    asked = record_call(layer, partial(run, window.expand(width, -1, -1)), replaced)
    return {name: asked.compared[name].permute(1, 2, 3, 0).float().contiguous() for name in QK}


def _last(jacobian: Tensor, output: Tensor) -> Tensor:
    """What a Jacobian makes of a projection's outputs for the last token, (1, tokens, heads * d): (heads, d)."""
    vectors = output[0, -1].detach().float().view(len(jacobian), -1)
    return (jacobian[:, -1] @ vectors[..., None])[..., 0]


def _differentiated(made: Tensor, output: Tensor) -> Tensor:
    """No head and no token depends on another one, so that one backward pass serves them all."""
    _, heads, tokens, width = made.shape
    rows = [
        torch.autograd.grad(made[..., row].sum(), output, retain_graph=True)[0].view(tokens, heads, width)
        for row in range(width)
    ]
    return torch.stack(rows, 2).transpose(0, 1).float()


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
