"""What the attention of a layer compares, whatever its family: recorded where transformers calls the attention."""

import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorap.core.attention_metric import Attended
from lorap.errors import LorapError
from lorap.model.family import linear

RECORDER = "lorap_recorder"
FOREIGN = ("softcap", "s_aux")  # of families whose scores are more than scaled products


@dataclass(frozen=True)
class Recorded:
    """One window's attention, and how the projections' outputs became what is compared.

    Attributes:
        attended: What is compared, detached.
        query_jacobian: Of the queries with respect to the outputs of q_proj, (heads, tokens, d, d).
        key_jacobian: The same for k_proj, (groups, tokens, d, d).
    """

    attended: Attended
    query_jacobian: Tensor
    key_jacobian: Tensor


class _Done(Exception):
    """The attention was called; what follows need not run."""


def record_attention(layer: nn.Module, run: Callable[[], object]) -> Recorded:
    """Runs a layer until its attention is called, and records the call.

    Args:
        layer: A decoder layer whose q_proj and k_proj are dense.
        run: Passes one window, (1, tokens, hidden), through the layer.

    Raises:
        LorapError: The family does more to scores than to scale and to mask them.
    """
    attention: Any = layer.self_attn
    linears = [linear(layer, name) for name in ("q_proj", "k_proj")]
    outputs: list[Tensor] = []
    called: dict[str, Any] = {}

    def leaf(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        outputs.append(output.detach().requires_grad_())
        return outputs[-1]

    def record(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any) -> Any:
        called.update(query=query, key=key, value=value.detach(), mask=mask, options=options)
        raise _Done

    usual = attention.config._attn_implementation
    with ExitStack() as undo, torch.enable_grad():
        for module in linears:
            undo.callback(module.register_forward_hook(leaf).remove)
        ALL_ATTENTION_FUNCTIONS.register(RECORDER, record)
        undo.callback(setattr, attention.config, "_attn_implementation", usual)
        attention.config._attn_implementation = RECORDER
        with suppress(_Done):
            run()
        jacobians = [
            _jacobian(made, output) for made, output in zip((called["query"], called["key"]), outputs, strict=True)
        ]
    _require_plain(attention, called["options"])
    return Recorded(_attended(**called), *jacobians)


def _require_plain(attention: nn.Module, options: dict[str, Any]) -> None:
    if foreign := [name for name in FOREIGN if options.get(name) is not None]:
        raise LorapError(
            f"{type(attention).__name__}: its scores are more than scaled products ({foreign[0]}), which joint-qk "
            "does not know; choose another treatment of q and k"
        )


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: dict[str, Any]) -> Attended:
    queries, keys, values = (tensor.detach()[0].float() for tensor in (query, key, value))
    scale = options.get("scaling") or queries.shape[-1] ** -0.5
    scores = queries @ keys.repeat_interleave(len(queries) // len(keys), 0).transpose(1, 2) * scale
    tokens = scores.shape[-1]
    if mask is None:
        allowed = torch.ones(tokens, tokens, dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    elif mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask[0, :, :tokens, :tokens], -math.inf)
    else:
        scores = scores + mask[0, :, :tokens, :tokens].float()
    return Attended(queries, keys, values, scores.softmax(-1), float(scale))


def _jacobian(made: Tensor, output: Tensor) -> Tensor:
    """Of each head's vector by the same head's outputs of the projection: (heads, tokens, d, d).

    No head and no token depends on another one, so that one backward pass serves them all.
    """
    _, heads, tokens, width = made.shape
    rows = [
        torch.autograd.grad(made[..., row].sum(), output, retain_graph=True)[0].view(tokens, heads, width)
        for row in range(width)
    ]
    return torch.stack(rows, 2).transpose(0, 1).float()
