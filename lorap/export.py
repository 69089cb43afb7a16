"""A stock checkpoint from a factored one: factors multiplied out, for any runtime (``lorap export``)."""

from pathlib import Path

import torch

from lorap.compress import multiply_out, untied_state
from lorap.errors import LorapError
from lorap.layers import LAYER_PREFIX
from lorap.methods.recipe import LayerPlan
from lorap.models.adapter import decoder_layers
from lorap.models.folder import open_weights, read_config, skeleton, write_companions
from lorap.models.modeling_lorap import LorapConfig
from lorap.models.weights import SINGLE, WeightsWriter
from lorap.plan import dense_config


@torch.no_grad()
def export_dense(model: Path, out: Path) -> None:
    """Fills an empty folder with the stock form of a factored model, layer by layer, in the model's dtype.

    Raises:
        LorapError: The model is not a factored one, or cannot be read.
    """
    config = read_config(model)
    if not isinstance(config, LorapConfig):
        raise LorapError(f"{model}: is a stock {config.model_type} model already, nothing to export")
    dtype = config.dtype or torch.float32
    factored = skeleton(config)
    weights = open_weights(model, factored)
    target = dense_config(config.base_config(), [LayerPlan(**layer) for layer in (config.lorap or {})["layers"]])
    target.dtype = dtype
    stock = skeleton(target)
    target.architectures = [type(stock).__name__]  # other runtimes choose their class by it
    with WeightsWriter(out / SINGLE, untied_state(stock, dtype)) as writer:
        for index, layer in enumerate(decoder_layers(factored)):
            names = layer.state_dict().keys()
            layer.load_state_dict(
                weights.load_all(names, LAYER_PREFIX.format(index), dtype, torch.device("cpu")), assign=True
            )
            multiply_out(layer)
            for name, tensor in layer.state_dict().items():
                writer.write(LAYER_PREFIX.format(index) + name, tensor)
        for name in writer.missing():
            writer.write(name, weights.load(name, dtype))
    write_companions(model, out, target)
