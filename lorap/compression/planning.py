"""What a method will do to a model, from the configuration alone (``lorap plan``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from lorap.errors import LorapError
from lorap.model.counting import count_macs, count_parameters
from lorap.model.factored import factored_config
from lorap.model.family import layer_shapes, require_attention
from lorap.model.folder import skeleton
from lorap.model.layer_plan import ATTENTION, Form, LayerPlan, LayerShape
from lorap.model.modeling_lorap import LorapConfig
from lorap.settings.method import Method, Scores

BIAS_SWITCHES = {"attention": "attention_bias", "ffn": "mlp_bias"}  # of the configurations that have them


@dataclass(frozen=True)
class Plan:
    """The layers of a model before and after compression, and its skeletons before and after, on the meta device.

    ``scores`` are what a sweep or a survey has said of every layer; none where there was neither.
    """

    shapes: list[LayerShape]
    layers: list[LayerPlan]
    dense: PreTrainedModel
    compressed: PreTrainedModel
    scores: Scores = ()

    @property
    def linear_parameters(self) -> int:
        """Numbers that the linears of the decoder store, added biases among them."""
        return sum(layer.stored(shape) for layer, shape in zip(self.layers, self.shapes, strict=True))

    @property
    def removed(self) -> float:
        """The share of the dense linears' weights that is gone."""
        return 1 - self.linear_parameters / sum(shape.parameters for shape in self.shapes)

    def is_dense_to(self, index: int) -> bool:
        """Whether a layer and all before it stay as they are."""
        pairs = zip(self.layers[: index + 1], self.shapes, strict=False)
        return all(layer == LayerPlan.dense(shape) for layer, shape in pairs)

    def as_dict(self, tokens: int) -> dict[str, Any]:
        """The JSON of ``lorap plan``; ``tokens`` is the length of the sequence that the MACs are for."""
        return {
            "parameters": count_parameters(self.compressed),
            "macs": count_macs(self.compressed, tokens),
            "tokens": tokens,
            "linear_parameters": self.linear_parameters,
            "removed": self.removed,
            "layers": [layer.as_dict() for layer in self.layers],
        }


def plan_model(
    config: PreTrainedConfig, method: Method, sparsity: float, form: Form = "factored", scores: Scores = ()
) -> Plan:
    """Plans every layer of a model and builds the skeleton of the result.

    Args:
        config: The configuration of the dense model.
        method: What happens to the layers.
        sparsity: The fraction of the weights of each treated sub-layer that goes.
        form: ``factored``, or ``dense`` for factors multiplied out into a stock architecture.
        scores: Of a survey, where the method's share asks for one.

    Raises:
        LorapError: The architecture is not supported, the model is factored already, or a survey is missing.
    """
    if isinstance(config, LorapConfig):
        raise LorapError("model: is a factored model already; compress the original, or 'lorap export' it first")
    share = method.share
    if (share.scored or share.surveyed) and not scores:
        how = "--survey FILE (see 'lorap survey')" if share.surveyed else "--calibration FILE"
        raise LorapError(f"share {share.name}: has to know the model's layers, give {how}")
    dense = skeleton(config)
    shapes = layer_shapes(dense)
    if scores and len(scores) != len(shapes):
        raise LorapError(f"survey: is of {len(scores)} layers, the model has {len(shapes)}; run 'lorap survey' with it")
    layers = allot(method, shapes, sparsity, scores)
    compressed = skeleton(dense_config(config, layers) if form == "dense" else factored_config(config, layers))
    for index, (layer, shape) in enumerate(zip(layers, shapes, strict=True)):
        if form == "factored" and 0 < layer.kv_heads < shape.kv_heads:
            require_attention(compressed, index)
    return Plan(shapes, layers, dense, compressed, scores)


def allot(method: Method, shapes: Sequence[LayerShape], sparsity: float, scores: Scores) -> list[LayerPlan]:
    """The plan of every layer: the share's, with what the repair adds.

    Raises:
        LorapError: A plan that no layer of this shape can have.
    """
    plans = method.share.allot(method.treatments, shapes, sparsity, scores)
    if repair := method.repair:
        plans = [repair.planned(plan, shape) for plan, shape in zip(plans, shapes, strict=True)]
    for index, (plan, shape) in enumerate(zip(plans, shapes, strict=True)):
        plan.require(shape, index)
    return plans


def dense_config(config: PreTrainedConfig, layers: Sequence[LayerPlan]) -> PreTrainedConfig:
    """The stock configuration with the FFN of the widest layer, and biases where one was added.

    Raises:
        LorapError: The stock class has no place for an added bias.
    """
    fields = config.to_dict()
    fields.pop("model_type")
    fields["intermediate_size"] = max(1, *(layer.channels for layer in layers))
    added = sorted({name for layer in layers for name in layer.biases})
    for name in added:
        switch = BIAS_SWITCHES["attention" if name in ATTENTION else "ffn"]
        if switch in fields:
            fields[switch] = True
    target = type(config)(**fields)
    if added and (homeless := sorted(set(added) - set(layer_shapes(skeleton(target))[0].biased))):
        raise LorapError(
            f"{homeless[0]} has gained a bias, for which a stock {config.model_type} has no place; "
            "keep the factored form, which lorap and transformers load"
        )
    return target
