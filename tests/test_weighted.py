"""Weighted moments of both streams: what refits and the surgeon work with, held against whole models."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lorap.compression.loop import LayerLoop
from lorap.methods.seen import Seen, Want
from lorap.model.family import linear
from lorap.model.folder import load_model, read_config, skeleton
from tests.compare import CPU


@pytest.fixture
def loop(tiny_folder: Path, windows: Tensor) -> LayerLoop:
    """At the second layer, whose streams differ, because the first one's attention was cut down in one of them."""
    model = skeleton(read_config(tiny_folder))
    loop = LayerLoop(model, tiny_folder, windows, torch.float32, CPU, batch=2, dense_stream=True)
    index, layer = next(iter(loop))
    loop.advance(index, layer, "dense")
    with torch.no_grad():
        linear(layer, "o_proj").weight.mul_(0.5)
    loop.advance(index, layer)
    return loop


def halves(layer: nn.Module) -> None:
    """Compresses an attention: only half of each value is left."""
    with torch.no_grad():
        linear(layer, "v_proj").weight.mul_(0.5)


def passed(tiny_folder: Path, stream: Tensor, compressed: bool) -> dict[str, Tensor]:
    """What passes inside the second layer of a whole model that is given a stream."""
    model = load_model(tiny_folder)
    layer = model.model.layers[1]
    if compressed:
        halves(layer)
    found: dict[str, Tensor] = {}
    for name, reader in (("attention_out", "o_proj"), ("ffn_hidden", "down_proj")):
        linear(layer, reader).register_forward_pre_hook(lambda m, args, name=name: found.update({name: args[0]}))
    layer.self_attn.register_forward_hook(lambda m, args, output: found.update(middle=stream + output[0]))
    positions = model.model.rotary_emb(stream, torch.arange(stream.shape[1])[None])
    with torch.no_grad():
        found["output"] = layer(stream, position_embeddings=positions, attention_mask=None)
    return {name: tensor.flatten(0, 1) for name, tensor in found.items()}


def weighed(left: Tensor, right: Tensor, stream: Tensor) -> Tensor:
    """E_w[l r^T]: a token counts one over the mean square of its stream."""
    return (left / stream.square().mean(1, keepdim=True)).T @ right / len(stream)


def test_moments_are_weighed_by_the_dense_stream_behind_the_sub_layer(
    loop: LayerLoop, tiny_folder: Path, windows: Tensor
) -> None:
    streams = {name: stream.clone() for name, stream in loop.streams.items()}
    layers = iter(loop)
    next(layers)
    index, layer = next(layers)
    seen = Seen()
    loop.advance(index, layer, "dense", to_the_end=True)
    loop.gather(index, layer, [Want("attention_in", "squares")], seen, [("compressed", "attention_out")])
    halves(layer)
    wants = [Want("attention_out", kind, behind="attention", weighted=True) for kind in ("gram", "before")]
    wants += [Want("ffn_hidden", kind, behind="attention", weighted=True) for kind in ("gram", "gap")]
    loop.gather(index, layer, wants, seen)
    dense = passed(tiny_folder, streams["dense"], compressed=False)
    whole = passed(tiny_folder, streams["compressed"], compressed=False)
    small = passed(tiny_folder, streams["compressed"], compressed=True)
    attention = seen.of("attention_out", behind="attention", weighted=True)
    channels = seen.of("ffn_hidden", behind="attention", weighted=True)
    expected = {
        "gram": weighed(small["attention_out"], small["attention_out"], dense["middle"]),
        "before": weighed(whole["attention_out"], small["attention_out"], dense["middle"]),
    }
    for kind, moment in expected.items():
        torch.testing.assert_close(attention.products_of(kind), moment, rtol=1e-3, atol=1e-5 * float(moment.max()))
    expected = {
        "gram": weighed(small["ffn_hidden"], small["ffn_hidden"], dense["output"]),
        "gap": weighed(dense["output"] - small["middle"], small["ffn_hidden"], dense["output"]),
    }
    for kind, moment in expected.items():
        torch.testing.assert_close(channels.products_of(kind), moment, rtol=1e-3, atol=1e-5 * float(moment.max()))


def test_blocks_are_those_of_the_whole_moment(loop: LayerLoop) -> None:
    index, layer = next(iter(loop))
    seen = Seen()
    loop.gather(index, layer, [Want("attention_out", "gram"), Want("ffn_hidden", "moment")], seen)
    blocked = Seen()
    loop.gather(index, layer, [Want("attention_out", "gram", blocks=4), Want("ffn_hidden", "gram")], blocked)
    whole, blocks = (one.of("attention_out").products_of() for one in (seen, blocked))
    width = len(whole) // 4
    for number, block in enumerate(blocks):
        own = slice(number * width, (number + 1) * width)
        torch.testing.assert_close(block, whole[own, own], rtol=1e-4, atol=1e-7)
    exact = seen.of("ffn_hidden").second_moment()
    torch.testing.assert_close(blocked.of("ffn_hidden").products_of(), exact, rtol=1e-4, atol=1e-7)
