"""A LLaMA-shaped model with low-rank projections and a narrower FFN, as written by lorap (Apache-2.0).

This file travels with every factored checkpoint and needs only torch and transformers:
``AutoModelForCausalLM.from_pretrained(DIR, trust_remote_code=True)``.
"""

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast


class LorapConfig(PreTrainedConfig):
    """The configuration of the original model, its type, and what every layer became.

    ``lorap["layers"][i]["ranks"]`` maps a projection to its rank, None where it is dense;
    ``lorap["layers"][i]["channels"]`` is the width of the FFN.
    """

    model_type = "lorap"
    base_model_type: str = ""
    lorap: dict[str, Any] | None = None

    def base_config(self) -> PreTrainedConfig:
        """The configuration of the original model, from which the dense parts are built."""
        own = ("model_type", "architectures", "auto_map", "base_model_type", "lorap", "transformers_version")
        fields = {name: value for name, value in self.to_dict().items() if name not in own}
        base = AutoConfig.for_model(self.base_model_type, **fields)
        base._attn_implementation = self._attn_implementation
        return base


class LowRankLinear(nn.Module):
    """y = left (right x) + bias: two thin linears in place of a dense one."""

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features, self.rank = in_features, out_features, rank
        self.right = nn.Linear(in_features, rank, bias=False)
        self.left = nn.Linear(rank, out_features, bias=bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.left(self.right(inputs))


def reshape_layer(layer: nn.Module, shape: dict[str, Any]) -> None:
    """Gives the projections of a freshly made dense layer their ranks and the FFN its width."""
    for name, rank in shape["ranks"].items():
        owner = layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp
        dense = getattr(owner, name)
        out, inp = dense.out_features, dense.in_features
        if name in ("gate_proj", "up_proj"):
            out = shape["channels"]
        elif name == "down_proj":
            inp = shape["channels"]
        if rank is None and (out, inp) == (dense.out_features, dense.in_features):
            continue
        bias = dense.bias is not None
        setattr(owner, name, nn.Linear(inp, out, bias) if rank is None else LowRankLinear(inp, out, rank, bias))


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
        shapes = (config.lorap or {})["layers"]
        for layer, shape in zip(self.model.layers, shapes, strict=True):
            reshape_layer(layer, shape)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Next-token logits (batch, tokens, vocabulary), and the loss where labels are given."""
        outputs = self.model(input_ids=input_ids, **kwargs)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


__all__ = ["LorapConfig", "LorapForCausalLM", "LowRankLinear"]
