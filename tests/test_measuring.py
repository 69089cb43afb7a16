"""What methods may measure: gradients, both streams, behind compressed parts; and what a repair may add."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorap.compression.dense import export_dense
from lorap.compression.gradients import backward
from lorap.compression.loop import LayerLoop
from lorap.compression.run import compress
from lorap.compression.scoring import score_units
from lorap.methods.part import Part, Repair, Slot, Treatment
from lorap.methods.seen import Seen, Want
from lorap.methods.untouched import Untouched
from lorap.model.family import linear, projection
from lorap.model.folder import load_model, read_config, skeleton
from lorap.model.layer_plan import PROJECTIONS, LayerPlan, LayerShape
from lorap.model.swap import set_linear
from lorap.settings.method import Method
from tests.compare import CPU, spec_of, total_variation


def loop_of(folder: Path, windows: Tensor, dense_stream: bool = False) -> LayerLoop:
    model = skeleton(read_config(folder))
    return LayerLoop(model, folder, windows, torch.float32, CPU, batch=5, dense_stream=dense_stream)


def layer_inputs(model: PreTrainedModel, windows: Tensor, name: str) -> list[Tensor]:
    """What a projection of every layer reads when the whole model runs."""
    found: list[Tensor] = []
    for layer in model.model.layers:
        projection(layer, name).register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    with torch.no_grad():
        model(windows, use_cache=False)
    return found


def test_gradients_are_those_of_autograd_through_the_whole_model(family_folder: Path, windows: Tensor) -> None:
    loop, inputs = loop_of(family_folder, windows), []
    for index, layer in loop:
        inputs.append(loop.streams["compressed"].clone())
        loop.advance(index, layer)
    model = AutoModelForCausalLM.from_pretrained(family_folder, dtype=torch.float32)
    weights = {
        (i, name): linear(layer, name).weight for i, layer in enumerate(model.model.layers) for name in PROJECTIONS
    }
    losses = [model(window[None], labels=window[None]).loss for window in windows]
    expected = [torch.autograd.grad(loss, list(weights.values()), retain_graph=True) for loss in losses]
    by_window = dict(zip(weights, zip(*expected, strict=True), strict=True))
    for index, _, gradients in backward(loop, windows, inputs):
        for name in PROJECTIONS:
            stacked = torch.stack(by_window[index, name])
            torch.testing.assert_close(gradients[name].mean, stacked.mean(0), rtol=1e-3, atol=1e-6)
            torch.testing.assert_close(gradients[name].squares, stacked.square().mean(0), rtol=1e-3, atol=1e-9)


class Probe(Untouched):
    """Wants statistics of both streams and behind its own layer's attention, and keeps what it has seen."""

    slot: ClassVar[Slot] = "ffn"
    seen: ClassVar[list[Seen]] = []
    swept: ClassVar[bool] = True
    gradients: ClassVar[int] = 2

    @property
    def squared_gradients(self) -> bool:
        return True

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        return [
            Want("ffn_in", "mean"),
            Want("ffn_in", "mean", stream="dense"),
            Want("ffn_in", "moment", behind="attention"),
        ] if plan else [Want("ffn_hidden", "squares")]  # fmt: skip

    def apply(self, layer: nn.Module, plan: LayerPlan, seen: Seen) -> Mapping[str, Tensor]:
        self.seen.append(seen)
        return {}

    def scores(self, layer: nn.Module, seen: Seen) -> Mapping[str, Tensor]:
        return {"channels": seen.of("ffn_hidden").scale() + seen.gradients["down_proj"].squares.sum(0)}


class MeanBias(Repair):
    """Gives down the mean of what the FFN reads, which no FFN does: enough to see that it was measured and stored."""

    name: Literal["mean-bias"] = "mean-bias"

    def wanted(self, shape: LayerShape, plan: LayerPlan | None) -> Sequence[Want]:
        return [Want("ffn_in", "mean", behind="layer")]

    def planned(self, plan: LayerPlan, shape: LayerShape) -> LayerPlan:
        return LayerPlan(**{**vars(plan), "biases": ("down_proj",)})

    def apply(self, layer: nn.Module, plan: LayerPlan, seen: Seen) -> None:
        down = linear(layer, "down_proj")
        set_linear(layer, "down_proj", down.weight, seen.of("ffn_in", behind="layer").mean().to(down.weight.dtype))


def with_part(part: Part, **changes: object) -> Method:
    """A method with a part that params.yaml does not know."""
    return spec_of(0.5, **changes).method.model_copy(update={part.slot: part})


def test_both_streams_are_measured_and_what_passes_behind_the_compressed_attention(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    Probe.seen.clear()
    spec = spec_of(0.5).model_copy(update={"method": with_part(Probe())})
    compress(spec, tiny_folder, windows, tmp_path, CPU, quiet=True)
    dense, small = load_model(tiny_folder), load_model(tmp_path)
    of_dense, of_small = (layer_inputs(model, windows, "gate_proj") for model in (dense, small))
    for seen, there, here in zip(Probe.seen, of_dense, of_small, strict=True):
        torch.testing.assert_close(seen.of("ffn_in", "dense").mean(), there.flatten(0, 1).mean(0), rtol=0, atol=1e-4)
        behind = seen.of("ffn_in", behind="attention")
        torch.testing.assert_close(behind.mean(), here.flatten(0, 1).mean(0), rtol=0, atol=1e-4)
        outer = torch.einsum("bti,btj->ij", here, here) / here[..., 0].numel()
        torch.testing.assert_close(behind.second_moment(), outer, rtol=0, atol=1e-3)
    first, last = Probe.seen[0], Probe.seen[-1]
    assert torch.equal(first.of("ffn_in").mean(), first.of("ffn_in", "dense").mean()), "nothing is compressed yet"
    assert not torch.allclose(last.of("ffn_in").mean(), last.of("ffn_in", "dense").mean(), atol=1e-3)


def test_a_sweep_scores_every_dense_layer_in_order_with_gradients(tiny_folder: Path, windows: Tensor) -> None:
    spec = spec_of(0.5).model_copy(update={"method": with_part(Probe())})
    scores = score_units(spec, tiny_folder, read_config(tiny_folder), windows, CPU, quiet=True)
    inputs = layer_inputs(load_model(tiny_folder), windows, "down_proj")
    assert len(scores) == len(inputs)
    for layer, hidden in zip(scores, inputs, strict=True):
        scale = hidden.flatten(0, 1).norm(dim=0)
        assert (layer["channels"] >= scale - 1e-3).all()
        assert (layer["channels"] > scale).float().mean() > 0.5, "the gradients are added"


def test_a_repair_adds_what_it_planned_and_a_stock_class_with_a_place_for_it_exports(
    tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    spec = spec_of(0.5).model_copy(update={"method": with_part(MeanBias())})
    for place in ("small", "dense"):
        (tmp_path / place).mkdir()
    plan = compress(spec, tiny_folder, windows, tmp_path / "small", CPU, quiet=True)
    assert {layer.biases for layer in plan.layers} == {("down_proj",)}
    model = load_model(tmp_path / "small")
    for layer, read in zip(model.model.layers, layer_inputs(model, windows, "gate_proj"), strict=True):
        torch.testing.assert_close(layer.mlp.down_proj.bias, read.flatten(0, 1).mean(0), rtol=0, atol=1e-4)
    export_dense(tmp_path / "small", tmp_path / "dense")
    assert total_variation(load_model(tmp_path / "small"), load_model(tmp_path / "dense"), windows) < 1e-4
    assert isinstance(spec.method.treatments[0], Treatment)


def test_a_hook_never_outlives_a_pass_that_raises(tiny_folder: Path, windows: Tensor) -> None:
    loop = loop_of(tiny_folder, windows)
    index, layer = next(iter(loop))

    def fail(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise RuntimeError("as a kernel may")

    handle = layer.get_submodule("mlp").register_forward_pre_hook(fail)
    try:
        loop.gather(index, layer, [Want("ffn_hidden", "squares")], Seen())
    except RuntimeError:
        handle.remove()
    assert not any(module._forward_pre_hooks for module in layer.modules())


def test_the_callers_skeleton_is_left_as_it_was(tiny_folder: Path, windows: Tensor) -> None:
    model = skeleton(read_config(tiny_folder))
    before = {name: tensor.device.type for name, tensor in model.state_dict().items()}
    for index, layer in LayerLoop(model, tiny_folder, windows, torch.float32, CPU, batch=5):
        linear(layer, "q_proj").weight.data.zero_()
        assert index >= 0
    assert {name: tensor.device.type for name, tensor in model.state_dict().items()} == before
    assert set(before.values()) == {"meta"}
