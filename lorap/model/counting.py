"""What a model holds and computes: parameters, multiply-accumulates, and numbers in a key-value cache."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from lorap.model.family import has, projection
from lorap.model.modeling_lorap import LowRankLinear


def count_parameters(model: PreTrainedModel) -> int:
    """Parameters of a model; tied weights count once."""
    model = without_adapter(model)
    tied = set(model.all_tied_weights_keys)
    return sum(parameter.numel() for name, parameter in model.named_parameters() if name not in tied)


def without_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """The model that peft has wrapped, whose layers hold the adapter too; the model itself where there is none."""
    inner: PreTrainedModel = getattr(model, "get_base_model", lambda: model)()
    return inner


def count_macs(model: PreTrainedModel, tokens: int) -> int:
    """Multiply-accumulates of one forward pass over ``tokens`` tokens.

    All linears, the head, and 2 T^2 h a layer for the attention itself, not halved for
    causality (method.md, evaluation).
    """
    model = without_adapter(model)
    linears = sum(part.weight.numel() for part in model.model.layers.modules() if isinstance(part, nn.Linear))
    borrowed = [part for part in model.model.layers.modules() if isinstance(part, LowRankLinear) and part.lender]
    linears += sum(part.factors()[1].numel() for part in borrowed)  # stored once, computed twice
    per_token = model.lm_head.in_features * model.lm_head.out_features + linears
    return tokens * per_token + tokens * tokens * sum(_head_widths(layer) for layer in model.model.layers)


def count_cache(model: PreTrainedModel) -> int:
    """Numbers that a key-value cache keeps of every token, those among them that fill up heads of uneven width."""
    return sum(_cached(layer) for layer in without_adapter(model).model.layers)


def _cached(layer: Any) -> int:
    if not has(layer, "k_proj"):
        return 2  # where the attention is gone, its cache still counts the tokens
    keys, values = (int(projection(layer, name).out_features) for name in ("k_proj", "v_proj"))
    return keys + values + -values % (keys // int(layer.self_attn.head_dim))


def _head_widths(layer: Any) -> int:
    """The widths of all heads' queries and values, which attention multiplies over all pairs of tokens."""
    if not has(layer, "q_proj"):
        return 0
    queries, values = projection(layer, "q_proj"), projection(layer, "o_proj")
    return int(queries.out_features + values.in_features)
