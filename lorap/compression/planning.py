"""What a method will do to a model, from the configuration alone (``lorap plan``)."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from lorap.errors import LorapError
from lorap.methods import Recipe
from lorap.model.family import decoder_layers, projection_shapes
from lorap.model.folder import factored_config, skeleton
from lorap.model.modeling_lorap import LorapConfig
from lorap.model.plan import LayerPlan


@dataclass(frozen=True)
class Plan:
    """The layers of a model after compression, and its skeletons before and after, on the meta device."""

    layers: list[LayerPlan]
    dense: PreTrainedModel
    compressed: PreTrainedModel

    def as_dict(self, tokens: int) -> dict[str, Any]:
        """The JSON of ``lorap plan``; ``tokens`` is the length of the sequence that the MACs are for."""
        return {
            "parameters": count_parameters(self.compressed),
            "macs": count_macs(self.compressed, tokens),
            "tokens": tokens,
            "layers": [layer.as_dict() for layer in self.layers],
        }


def describe_plan(plan: Plan, tokens: int) -> str:
    """The plan for a person: totals, then runs of equal layers."""
    was, now = count_parameters(plan.dense), count_parameters(plan.compressed)
    lines = [
        f"parameters  {was:,} -> {now:,} ({now / was:.1%})",
        f"MACs        {count_macs(plan.dense, tokens):,} -> {count_macs(plan.compressed, tokens):,} ({tokens} tokens)",
    ]
    for index, layer in enumerate(plan.layers):
        if index and layer == plan.layers[index - 1]:
            continue
        ranks = "  ".join(f"{name} {rank or 'dense'}" for name, rank in layer.ranks.items())
        lines.append(f"layer {index} on  {ranks}  channels {layer.channels}")
    return "\n".join(lines)


def plan_model(config: PreTrainedConfig, recipe: Recipe, form: str = "factored") -> Plan:
    """Plans every layer of a model and builds the skeleton of the result.

    Args:
        config: The configuration of the dense model.
        recipe: The method at its sparsity.
        form: ``factored``, or ``dense`` for factors multiplied out into a stock architecture.

    Raises:
        LorapError: The architecture is not supported, or the model is factored already.
    """
    if isinstance(config, LorapConfig):
        raise LorapError("model: is a factored model already; compress the original, or 'lorap export' it first")
    dense = skeleton(config)
    layers = [recipe.plan(projection_shapes(layer)) for layer in decoder_layers(dense)]
    if form == "dense":
        target = dense_config(config, layers)
    else:
        target = factored_config(config, {"layers": [layer.as_dict() for layer in layers]})
    return Plan(layers, dense, skeleton(target))


def dense_config(config: PreTrainedConfig, layers: list[LayerPlan]) -> PreTrainedConfig:
    """The stock configuration with the narrower FFN; all layers have the same width."""
    fields = config.to_dict()
    fields.pop("model_type")
    fields["intermediate_size"] = layers[0].channels
    return type(config)(**fields)


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
    head_width = getattr(model.config, "head_dim", None) or model.config.hidden_size // model.config.num_attention_heads
    attention = 2 * tokens * tokens * head_width * model.config.num_attention_heads
    per_token = model.lm_head.in_features * model.lm_head.out_features
    layers = model.model.layers
    per_token += sum(part.weight.numel() for part in layers.modules() if isinstance(part, nn.Linear))
    return tokens * per_token + attention * len(layers)
