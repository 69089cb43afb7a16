"""The configuration of a factored model: what it was, and the plan of every layer."""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedConfig

from lorap.errors import LorapError
from lorap.model import modeling_lorap
from lorap.model.layer_plan import LayerPlan, LayerShape
from lorap.model.modeling_lorap import FORMAT, LorapConfig, LorapForCausalLM


def factored_config(config: PreTrainedConfig, layers: Sequence[LayerPlan]) -> LorapConfig:
    """The configuration of the factored form of a model with these layers."""
    fields = config.to_dict()
    for name in ("model_type", "architectures", "auto_map", "transformers_version", "base_model_type", "lorap"):
        fields.pop(name, None)
    file = Path(modeling_lorap.__file__).stem
    return LorapConfig(
        **fields,
        base_model_type=config.model_type,
        architectures=[LorapForCausalLM.__name__],
        auto_map={
            "AutoConfig": f"{file}.{LorapConfig.__name__}",
            "AutoModelForCausalLM": f"{file}.{LorapForCausalLM.__name__}",
        },
        lorap={"version": FORMAT, "layers": [layer.as_dict() for layer in layers]},
    )


def read_plans(config: LorapConfig, shapes: Sequence[LayerShape]) -> list[LayerPlan]:
    """The plans of a factored model's layers; ``shapes`` are those of the original.

    Raises:
        LorapError: The configuration has no such plans, or is of a later format.
    """
    section = config.lorap
    if not isinstance(section, dict) or not isinstance(section.get("layers"), list):
        raise LorapError("lorap.layers: expected the plan of every layer; compress the model again")
    version = section.get("version", 1)
    if version not in range(1, FORMAT + 1):
        raise LorapError(f"lorap.version is {version!r}, this lorap reads up to {FORMAT}; upgrade it")
    if len(section["layers"]) != len(shapes):
        raise LorapError(f"lorap.layers: {len(section['layers'])} plans for {len(shapes)} layers")
    plans = zip(section["layers"], shapes, strict=True)
    return [LayerPlan.from_dict(raw, shape, index) for index, (raw, shape) in enumerate(plans)]
