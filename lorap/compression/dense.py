"""A stock checkpoint from a factored one: factors multiplied out, for any runtime (``lorap export``)."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from lorap.compression.planning import dense_config
from lorap.errors import LorapError
from lorap.model.factored import read_plans
from lorap.model.family import layer_shapes
from lorap.model.folder import open_weights, read_config, skeleton, write_companions
from lorap.model.modeling_lorap import LorapConfig
from lorap.model.padding import pad_layer
from lorap.model.stream import stream_layers, write_weights
from lorap.model.swap import multiply_out


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
    shapes = layer_shapes(skeleton(config.base_config()))
    plans = read_plans(config, shapes)
    target = dense_config(config.base_config(), plans)
    target.dtype = dtype
    stock = skeleton(target)
    target.architectures = [type(stock).__name__]  # other runtimes choose their class by it

    def dense_layers() -> Iterator[tuple[int, nn.Module]]:
        for index, layer in stream_layers(factored, weights, dtype, torch.device("cpu")):
            multiply_out(layer)
            pad_layer(layer, stock.model.layers[index], plans[index], shapes[index])
            yield index, layer

    write_weights(out, stock, dense_layers(), weights)
    write_companions(model, out, target)
