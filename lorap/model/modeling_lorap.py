"""A LLaMA-shaped model whose layers are as small as a plan makes them, as written by lorap (Apache-2.0).

This file travels with every factored checkpoint and needs only torch and transformers:
``AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)``.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AutoConfig, AutoModel, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

FORMAT = 2  # of ``config.lorap``; folders without a version are of the first, whose layers had ranks and channels alone


class LorapConfig(PreTrainedConfig):
    """The configuration of the original model, its type, and what every layer became.

    ``lorap["layers"][i]`` is the plan of a layer: ``ranks`` by projection (None: dense), ``channels``, ``heads`` and
    ``kv_heads`` (0: the sub-layer is gone), ``value_dim`` (the head dimension of v and o, or one a key-value head),
    ``shared`` right factors, the ``storage`` of factors that are not plain, and added ``biases``.
    """

    model_type = "lorap"
    base_model_type: str = ""
    lorap: dict[str, Any] | None = None

    def base_config(self) -> PreTrainedConfig:
        """The configuration of the original model, from which the dense parts are built."""
        own = {"model_type", "architectures", "auto_map", "base_model_type", "lorap", "transformers_version"}
        fields = {name: value for name, value in self.to_dict().items() if name not in own}
        base = AutoConfig.for_model(self.base_model_type, **fields)
        base._attn_implementation = self._attn_implementation
        return base


class LowRankLinear(nn.Module):
    """y = left (right x) + bias: two thin linears in place of a dense one; ``right`` may be that of another one."""

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool, lender: Any = None) -> None:
        super().__init__()
        self.in_features, self.out_features, self.rank = in_features, out_features, rank
        self.lender = [lender] if lender else []  # in a list, so that it is not registered a second time
        if not lender:
            self.right = nn.Linear(in_features, rank, bias=False)
        self.left = nn.Linear(rank, out_features, bias=bias)

    def factors(self) -> tuple[Tensor, Tensor]:
        """(out, rank) and (rank, in)."""
        return self.left.weight, (self.lender or [self])[0].right.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.left((self.lender or [self])[0].right(inputs))


class PivotedLinear(nn.Module):
    """The same in fewer numbers: ``rank`` outputs are computed, ``rest`` combines them, ``order`` (out,) sorts them."""

    order: Tensor

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features, self.rank = in_features, out_features, rank
        self.right = nn.Linear(in_features, rank, bias=False)
        self.rest = nn.Linear(rank, out_features - rank, bias=False)
        self.register_buffer("order", torch.zeros(out_features, dtype=torch.int64))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def factors(self) -> tuple[Tensor, Tensor]:
        """(out, rank) and (rank, in)."""
        unit = torch.eye(self.rank, dtype=self.rest.weight.dtype, device=self.rest.weight.device)
        return torch.cat([unit, self.rest.weight])[self.order], self.right.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        first = self.right(inputs)
        outputs = torch.cat([first, self.rest(first)], -1)[..., self.order]
        return outputs if self.bias is None else outputs + self.bias


class Narrow(nn.Module):
    """v or o (which ``reads`` heads) with heads of ``dims``, while the attention sees heads of one ``width``."""

    def __init__(self, inner: nn.Module, dims: list[int], width: int, reads: bool) -> None:
        super().__init__()
        self.inner, self.dims, self.width, self.reads, self.bare = inner, dims, width, reads, False

    def before(self, inputs: Tensor) -> Tensor:
        """What ``inner`` reads: of o, each head without its padding."""
        heads = zip(torch.split(inputs, self.width, -1), self.dims, strict=True) if self.reads else ()
        return torch.cat([head[..., :dim] for head, dim in heads], -1) if self.reads else inputs

    def after(self, outputs: Tensor) -> Tensor:
        """What the attention gets: of v, each head with zeros up to the width."""
        heads = () if self.reads else torch.split(outputs, self.dims, -1)
        return torch.cat([pad(head, (0, self.width - head.shape[-1])) for head in heads], -1) if heads else outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.inner(inputs) if self.bare else self.after(self.inner(self.before(inputs)))


class Absent(nn.Module):
    """Stands where a sub-layer was, of which at most the bias of its last projection is left."""

    def __init__(self, last: nn.Linear, bias: bool, layer_index: int | None = None) -> None:
        super().__init__()
        self.layer_index = layer_index  # of an attention, whose cache still counts the tokens
        self.bias = nn.Parameter(torch.zeros(last.out_features)) if bias or last.bias is not None else None

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **kwargs: Any) -> Any:
        """(..., hidden) -> (..., hidden), the same for every token."""
        output = torch.zeros_like(hidden_states) if self.bias is None else self.bias.expand_as(hidden_states)
        if self.layer_index is not None and past_key_values is not None:
            token = hidden_states[:, None, :, :1]
            past_key_values.update(token, token, self.layer_index)
        return output if self.layer_index is None else (output, None)


def reshape_layer(layer: Any, plan: dict[str, Any]) -> None:
    """Gives a freshly made dense layer the shape of its plan."""
    attention, mlp, biases = layer.self_attn, layer.mlp, plan.get("biases", [])
    if plan["channels"] == 0:
        layer.mlp = Absent(mlp.down_proj, "down_proj" in biases)
    if plan.get("kv_heads") == 0:
        layer.self_attn = Absent(attention.o_proj, "o_proj" in biases, attention.layer_idx)
    borrowers = [name for group in plan.get("shared", []) for name in group[1:]]  # come behind those that lend
    for name, rank in sorted(plan["ranks"].items(), key=lambda entry: entry[0] in borrowers):
        owner = layer.self_attn if hasattr(attention, name) else layer.mlp
        if isinstance(owner, Absent):
            continue
        dense = getattr(owner, name)
        out, inp, dims = _sizes(name, dense, attention, plan)
        bias = dense.bias is not None or name in biases
        lenders = [getattr(owner, group[0]) for group in plan.get("shared", []) if name in group[1:]]
        if rank is None:
            small: nn.Module = nn.Linear(inp, out, bias)
        elif plan.get("storage", {}).get(name) == "pivoted":
            small = PivotedLinear(inp, out, rank, bias)
        else:
            small = LowRankLinear(inp, out, rank, bias, *lenders)
        setattr(owner, name, Narrow(small, dims, attention.head_dim, name == "o_proj") if dims else small)


def _sizes(name: str, dense: nn.Linear, attention: Any, plan: dict[str, Any]) -> tuple[int, int, list[int]]:
    """Outputs and inputs of a projection, and the dimensions of its heads where they are narrow."""
    out, inp = dense.out_features, dense.in_features
    if name in ("gate_proj", "up_proj", "down_proj"):
        return (out, plan["channels"], []) if name == "down_proj" else (plan["channels"], inp, [])
    if "kv_heads" not in plan:  # a folder of the first format
        return out, inp, []
    heads = plan["heads" if name in ("q_proj", "o_proj") else "kv_heads"]
    dims = head_dims(plan["value_dim"] if name in ("v_proj", "o_proj") else attention.head_dim, heads)
    narrow = dims if set(dims) != {attention.head_dim} else []
    return (out, sum(dims), narrow) if name == "o_proj" else (sum(dims), inp, narrow)


def head_dims(value_dim: int | list[int], heads: int) -> list[int]:
    """The dimension of v and o in every head; ``value_dim`` is one for all, or one for each key-value head."""
    dims = [value_dim] if isinstance(value_dim, int) else value_dim
    return [dim for dim in dims for _ in range(heads // len(dims))]


class LorapForCausalLM(PreTrainedModel, GenerationMixin):
    """The original decoder with compressed layers, and its language-model head."""

    config_class = LorapConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: LorapConfig) -> None:
        super().__init__(config)
        self.model = AutoModel.from_config(config.base_config())
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for layer, plan in zip(self.model.layers, (config.lorap or {})["layers"], strict=True):
            reshape_layer(layer, plan)
        self.post_init()

    def forward(
        self, input_ids: Tensor | None = None, labels: Tensor | None = None, logits_to_keep: Any = 0, **kwargs: Any
    ) -> CausalLMOutputWithPast:
        """Next-token logits (batch, tokens, vocabulary), and the loss where labels are given."""
        out = self.model(input_ids=input_ids, **kwargs)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(out.last_hidden_state[:, kept, :])
        if labels is not None:
            kwargs |= {"logits": logits, "labels": labels, "vocab_size": self.config.vocab_size}
        loss = None if labels is None else self.loss_function(**kwargs)
        return CausalLMOutputWithPast(loss, logits, out.past_key_values, out.hidden_states, out.attentions)


__all__ = ["LorapConfig", "LorapForCausalLM", "LowRankLinear"]
