"""Values solved again for the dense model's stream (plus.md, 4), held against whole models and plain least squares."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lorap.artifacts.specs import CompressSpec
from lorap.compression.run import compress
from lorap.model.family import bias_of, linear
from lorap.model.folder import load_model
from lorap.settings.method import Method
from tests.compare import CPU, RUN


def inputs_of_values(folder: Path, windows: Tensor, index: int) -> Tensor:
    """What v reads in a layer of a whole model: (tokens, hidden)."""
    model, found = load_model(folder), []
    linear(model.model.layers[index], "v_proj").register_forward_pre_hook(lambda m, args: found.append(args[0]))
    with torch.no_grad():
        model(windows)
    return found[0].flatten(0, 1).double()


def plain(weight: Tensor, inputs: Tensor, goal: Tensor, ridge: float) -> Tensor:
    """The weight of least squared error from the goal's outputs, each feature pulled to what it was by its own size."""
    weight, count = weight.double(), len(inputs)
    pull = (ridge * inputs.square().mean(0)).sqrt().diag()
    rows = torch.cat([inputs / count**0.5, pull])
    targets = torch.cat([goal @ weight.T / count**0.5, pull @ weight.T])
    return torch.linalg.lstsq(rows, targets).solution.T


@pytest.mark.parametrize(("target", "ridge"), [(1.0, 1.0), (0.5, 0.1)])
def test_values_come_nearest_to_those_of_the_dense_model(
    family_folder: Path, windows: Tensor, tmp_path: Path, target: float, ridge: float
) -> None:
    repair = {"name": "refit", "value_target": target, "ridge": ridge}
    method = Method.model_validate({"attention": "none", "ffn": {"name": "prune", "keep_least": 0}, "repair": repair})
    out = tmp_path / "small"
    out.mkdir()
    compress(CompressSpec(method=method, sparsity=0.5, **RUN), family_folder, windows, out, CPU, quiet=True)
    dense, small = load_model(family_folder).requires_grad_(False), load_model(out).requires_grad_(False)
    first, second = (linear(model.model.layers[0], "v_proj").weight for model in (dense, small))
    torch.testing.assert_close(second, first, rtol=0, atol=1e-5 * float(first.abs().max()))
    inputs, before = inputs_of_values(out, windows, 1), inputs_of_values(family_folder, windows, 1)
    assert (inputs - before).norm() > 0.01 * before.norm()
    old, new = (linear(model.model.layers[1], "v_proj") for model in (dense, small))
    expected = plain(old.weight, inputs, target * before + (1 - target) * inputs, ridge)
    moved = float((expected - old.weight).abs().max())
    assert moved > 0
    torch.testing.assert_close(new.weight.double(), expected, rtol=0, atol=0.01 * moved)
    torch.testing.assert_close(bias_of(new), bias_of(old), rtol=0, atol=0)
