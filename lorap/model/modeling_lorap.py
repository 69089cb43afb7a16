"""A LLaMA-shaped model whose layers are as small as a plan makes them, as written by lorap (Apache-2.0).

It travels with every factored checkpoint: ``AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)``.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

FORMAT = 3  # of ``config.lorap``; folders without a version are of the first, whose layers had ranks and channels alone


class LorapConfig(PreTrainedConfig):
    """The configuration of the original model, its type, and what every layer became.

    A plan in ``lorap["layers"]`` has ``ranks`` (None: dense), ``channels``, ``heads`` and ``kv_heads`` (0: gone),
    ``value_dim`` (of v and o, or one a key-value head), ``shared`` right factors, their ``pivots``, and ``biases``.
    """

    model_type = "lorap"
    base_model_type: str = ""
    lorap: dict[str, Any] | None = None

    def base_config(self) -> PreTrainedConfig:
        """The configuration of the original model, from which the dense parts are built."""
        own = {"model_type", "architectures", "auto_map", "base_model_type", "lorap", "transformers_version"}
        fields = {name: value for name, value in self.to_dict().items() if name not in own}
        return AutoConfig.for_model(self.base_model_type, attn_implementation=self._attn_implementation, **fields)


class LowRankLinear(nn.Module):
    """y = left (right x) + bias: two thin linears in place of a dense one; ``right`` may be that of another one.

    Where some rows of the right factor are outputs, its ``pivots``, ``left`` makes the others, and ``order``, (out,),
    sorts both.
    """

    order: Tensor | None

    def __init__(self, inp: int, out: int, rank: int, bias: bool, pivots: range = range(0), lender: Any = None) -> None:
        super().__init__()
        self.in_features, self.out_features, self.rank = inp, out, rank
        self.lender = [lender] if lender else []  # in a list, so that it is not registered a second time
        if not lender:
            self.right = nn.Linear(inp, rank, bias=False)
        self.pivots = slice(pivots.start, pivots.stop)
        self.left = nn.Linear(rank, out - len(pivots), bias and not pivots)
        self.bias = nn.Parameter(torch.zeros(out)) if bias and pivots else None
        self.register_buffer("order", torch.zeros(out, dtype=torch.int64) if pivots else None)

    def factors(self) -> tuple[Tensor, Tensor]:
        """(out, rank) and (rank, in)."""
        left, right = self.left.weight, (self.lender or [self])[0].right.weight
        if self.order is not None:
            left = torch.cat([torch.eye(self.rank).to(left)[self.pivots], left])[self.order]
        return left, right

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        first = (self.lender or [self])[0].right(inputs)
        outputs = self.left(first)
        if self.order is not None:
            outputs = torch.cat([first[..., self.pivots], outputs], -1)[..., self.order]
        return outputs if self.bias is None else outputs + self.bias


class Narrow(nn.Module):
    """v or o (which ``reads`` heads) with heads of ``dims``, while the attention sees heads of one ``width``."""

    def __init__(self, inner: nn.Module, dims: list[int], width: int, reads: bool) -> None:
        super().__init__()
        self.inner, self.dims, self.width, self.reads, self.bare = inner, dims, width, reads, False

    def narrowed(self, heads: Tensor) -> Tensor:
        """(..., heads * width) -> (..., sum of dims)."""
        each = zip(torch.split(heads, self.width, -1), self.dims, strict=True)
        return torch.cat([head[..., :dim] for head, dim in each], -1)

    def widened(self, heads: Tensor) -> Tensor:
        """(..., sum of dims) -> (..., heads * width)."""
        zeros = heads.new_zeros(1).expand(*heads.shape[:-1], self.width)
        each = [(head, zeros[..., head.shape[-1] :]) for head in torch.split(heads, self.dims, -1)]
        return torch.cat([part for pair in each for part in pair], -1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        outputs = self.inner(self.narrowed(inputs) if self.reads and not self.bare else inputs)
        return outputs if self.reads or self.bare else self.widened(outputs)

    def keep(self, attention: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Stands between an attention and its cache from before its forward pass on."""
        cache = kwargs.get("past_key_values")
        between = SimpleNamespace(update=partial(self.update, cache))
        return args, kwargs if cache is None else kwargs | {"past_key_values": between}

    def update(self, cache: Any, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Puts (batch, heads, tokens, width) into a cache, its values without padding, and returns all of it."""
        (batch, heads, _, width), kept = values.shape, sum(self.dims)
        even = nn.functional.pad(self.narrowed(values.transpose(1, 2).flatten(2)), (0, -kept % heads))
        keys, even = cache.update(keys, even.view(batch, len(even[0]), heads, -1).transpose(1, 2), *args, **kwargs)
        whole = self.widened(even.transpose(1, 2).flatten(2)[..., :kept])
        return keys, whole.view(batch, -1, heads, width).transpose(1, 2)


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
            past_key_values.update(hidden_states[:, None, :, :1], hidden_states[:, None, :, :1], self.layer_index)
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
        if (dense := getattr(owner, name, None)) is None:
            continue
        out, inp, dims = _sizes(name, dense, attention, plan)
        bias = dense.bias is not None or name in biases
        lenders = [getattr(owner, group[0]) for group in plan.get("shared", []) if name in group[1:]]
        pivots = pivots_of(name, plan)
        small = nn.Linear(inp, out, bias) if rank is None else LowRankLinear(inp, out, rank, bias, pivots, *lenders)
        setattr(owner, name, Narrow(small, dims, attention.head_dim, name == "o_proj") if dims else small)
        if dims and name == "v_proj":
            attention.register_forward_pre_hook(owner.v_proj.keep, with_kwargs=True)


def pivots_of(name: str, plan: dict[str, Any]) -> range:
    """The rows of its right factor that are outputs of a projection; behind those of whom it shares it with."""
    group = next((group for group in plan.get("shared", []) if name in group), [name])
    counts = plan.get("pivots", {})
    start = sum(counts.get(other, 0) for other in group[: group.index(name)])
    return range(start, start + counts.get(name, 0))


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
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

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
        loss = None if labels is None else self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss, logits, out.past_key_values, out.hidden_states, out.attentions)
