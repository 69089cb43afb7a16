"""What rivals claim of the weights that they leave: first-order losses, least errors, refits that never harm."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorap.compression.gradients import Gradients, backward
from lorap.compression.loop import LayerLoop
from lorap.methods.llm_pruner import lines
from lorap.methods.seen import Seen
from lorap.model.folder import load_model, read_config, skeleton
from tests.compare import CPU
from tests.rival_methods import METHODS, by
from tests.rival_parts import ATTENTION, FFN, Layer, groups_of, linears, readings

LAST = ("o_proj", "down_proj")
EPS = 1e-2  # the norms of transformers compute in float32 whatever the model


def exact(folder: Path) -> PreTrainedModel:
    """In float64."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()


def gradients_of(folder: Path, windows: Tensor, index: int) -> tuple[Layer, Gradients]:
    loop, inputs = LayerLoop(skeleton(read_config(folder)), folder, windows, torch.float32, CPU, batch=5), []
    for number, layer in loop:
        inputs.append(loop.streams["compressed"].clone())
        loop.advance(number, layer)
    return next((layer, found) for number, layer, found in backward(loop, windows, inputs) if number == index)


@torch.no_grad()
def loss_change(model: PreTrainedModel, windows: Tensor, lines_of: dict[nn.Linear, tuple[int, slice]]) -> float:
    """By how much the loss falls for each part by which these rows, or columns, are scaled down."""
    losses = []
    for scale in (1 + EPS, (1 - EPS) / (1 + EPS)):
        for linear, (dim, place) in lines_of.items():
            linear.weight.narrow(dim, place.start, place.stop - place.start).mul_(scale)
        logits = model(windows).logits[:, :-1]  # whose own loss would be in float32
        losses.append(nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item())
    for linear, (dim, place) in lines_of.items():
        linear.weight.narrow(dim, place.start, place.stop - place.start).div_(1 - EPS)
    return (losses[0] - losses[1]) / (2 * EPS)


@pytest.mark.parametrize("unit", [0, 1])
@pytest.mark.parametrize("names", [ATTENTION, FFN])
def test_the_signed_sum_of_weights_times_gradients_is_the_loss_of_a_group(
    tiny_folder: Path, windows: Tensor, names: tuple[str, ...], unit: int
) -> None:
    model, few = exact(tiny_folder), windows[:10]
    layer, gradients = gradients_of(tiny_folder, few, 1)
    groups = groups_of(layer) if names == ATTENTION else layer.mlp.gate_proj.out_features
    group: dict[nn.Linear, tuple[int, slice]] = {}
    signed = 0.0
    for name in names:
        linear, dim = linears(model.model.layers[1])[name], int(name in LAST)
        wide = linear.weight.shape[dim] // groups
        group[linear] = dim, slice(unit * wide, (unit + 1) * wide)
        products = linears(layer)[name].weight * gradients[name].mean
        signed += products.narrow(dim, unit * wide, wide).sum().item()
    assert loss_change(model, few, group) == pytest.approx(signed, rel=5e-3, abs=1e-5)


def test_vector_is_the_size_of_what_a_single_line_changes_of_the_loss(tiny_folder: Path, windows: Tensor) -> None:
    model, few = exact(tiny_folder), windows[:10]
    layer, gradients = gradients_of(tiny_folder, few, 2)
    seen = Seen(gradients=gradients)
    for name, linear in linears(model.model.layers[2]).items():
        found = lines(layer, seen, name, "vector")
        for line in (0, 5):
            change = loss_change(model, few, {linear: (int(name in LAST), slice(line, line + 1))})
            assert abs(change) == pytest.approx(found[line].item(), rel=5e-3, abs=1e-5)


@pytest.mark.parametrize("sparsity", [0.2, 0.5])
def test_no_other_product_of_that_rank_has_less_error_than_svd_llms(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, sparsity: float
) -> None:
    by("svd-llm", tiny_folder, tmp_path / "out", windows, sparsity)
    whole, small = exact(tiny_folder), load_model(tmp_path / "out")
    generator = torch.Generator().manual_seed(0)
    for before, after, read in zip(
        whole.model.layers, small.model.layers, readings(load_model(tiny_folder), windows), strict=True
    ):
        for name, dense in linears(before).items():
            left, right = (factor.double() for factor in linears(after)[name].factors())
            x = torch.cat(read[name])
            target = x @ dense.weight.detach().T
            error = _off(x, left, right, target)
            cut = torch.linalg.svdvals(target)[left.shape[1] :].square().sum().item()
            assert error == pytest.approx(cut, rel=1e-4)
            for size in (1e-1, 1e-2, 1e-3):
                others = [f + size * f.std() * torch.randn(f.shape, generator=generator).double()
                          for f in (left, right)]  # fmt: skip
                assert _off(x, others[0], others[1], target) >= error * (1 - 1e-5)


def _off(x: Tensor, left: Tensor, right: Tensor, target: Tensor) -> float:
    return (x @ right.T @ left.T - target).square().sum().item()


@torch.no_grad()
def token_weights(model: PreTrainedModel, windows: Tensor) -> list[dict[str, Tensor]]:
    """What each token counts behind o and down of every layer: relative to the dense stream there."""
    seen: list[dict[str, Tensor]] = []

    def behind_attention(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.append({"o_proj": 1 / inputs[0].square().mean(-1).flatten()})

    def behind_layer(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen[-1]["down_proj"] = 1 / output.square().mean(-1).flatten()

    for layer in model.model.layers:
        layer.post_attention_layernorm.register_forward_pre_hook(behind_attention)
        layer.register_forward_hook(behind_layer)
    model(windows, use_cache=False)
    return seen


def with_parts(small: PreTrainedModel, whole: PreTrainedModel, index: int, *parts: str) -> PreTrainedModel:
    """A compressed model in which some parts of one layer are the dense ones."""
    mixed = copy.deepcopy(small)
    for part in parts:
        setattr(mixed.model.layers[index], part, copy.deepcopy(getattr(whole.model.layers[index], part)))
    return mixed


def kept_columns(before: nn.Linear, after: nn.Linear, wide: int, columns: int) -> Tensor:
    """Which columns of the last projection are left, from the rows, by ``wide``, that the first one has kept."""
    units = before.weight.view(-1, wide * before.in_features)
    left = after.weight.view(-1, units.shape[1])
    numbers = torch.tensor([number for number, unit in enumerate(units) if (left == unit).all(1).any()])
    each = columns // len(units)
    return (numbers[:, None] * each + torch.arange(each)).flatten()


@pytest.mark.parametrize("counting", ["alike", "relative"])
@pytest.mark.parametrize("ridge", [0, 1])
@torch.no_grad()
def test_a_refit_never_raises_the_error_on_what_it_was_made_on(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, ridge: float, counting: str
) -> None:
    """In the mean over tokens that it is asked for; a ridge takes some of the gain and none of the promise."""
    method = METHODS["wanda-sp+refit"].overridden({"ridge": ridge, "token_weights": counting})
    by(method, tiny_folder, tmp_path / "out", windows, 0.5)
    whole, small = exact(tiny_folder), load_model(tmp_path / "out").double()
    weights = token_weights(exact(tiny_folder), windows)
    for index, (before, after) in enumerate(zip(whole.model.layers, small.model.layers, strict=True)):
        left = {
            "o_proj": kept_columns(before.self_attn.k_proj, after.self_attn.k_proj, 16, 64),
            "down_proj": kept_columns(before.mlp.gate_proj, after.mlp.gate_proj, 1, 96),
        }
        uncut = {
            "o_proj": with_parts(small, whole, index, "self_attn"),
            "down_proj": with_parts(small, whole, index, "mlp"),
        }
        for name in LAST:
            dense = linears(before)[name].weight
            target = torch.cat(readings(uncut[name], windows)[index][name]) @ dense.T
            inputs = torch.cat(readings(small, windows)[index][name])
            of_tokens = weights[index][name] if counting == "relative" else torch.ones(len(inputs))
            refitted, unrepaired = (
                float(((inputs @ weight.T - target).square().sum(1) * of_tokens).sum())
                for weight in (linears(after)[name].weight, dense[:, left[name]])
            )
            changed = len(left[name]) < dense.shape[1]
            assert refitted < unrepaired if changed else refitted <= unrepaired + 1e-6
