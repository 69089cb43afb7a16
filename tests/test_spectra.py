"""Spectra: how much of a weight each rank holds, in the eyes of its inputs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lorap.core.statistics import Moments
from lorap.errors import LorapError
from lorap.evaluation.spectra import POINTS, held_energy, measure_spectra
from lorap.model.folder import load_model
from lorap.model.layer_plan import PROJECTIONS
from tests.compare import CPU, compressed


def test_the_energy_grows_from_nothing_to_all(tiny_folder: Path, windows: Tensor) -> None:
    result = measure_spectra(tiny_folder, windows, CPU, 4, quiet=True)
    assert result["rank_fractions"] == torch.linspace(0, 1, POINTS).tolist()
    assert len(result["layers"]) == 3
    for layer in result["layers"]:
        assert tuple(layer) == PROJECTIONS
        for curve in layer.values():
            assert len(curve) == POINTS
            assert curve == sorted(curve)
            assert (curve[0], curve[-1]) == (0, 1)


def test_the_input_of_a_layer_is_that_of_the_dense_model(tiny_folder: Path, windows: Tensor) -> None:
    model, moments, name = load_model(tiny_folder), Moments(64, {"squares"}), "gate_proj"
    gate = model.model.layers[2].mlp.gate_proj
    gate.register_forward_pre_hook(lambda module, inputs: moments.update(inputs[0]))
    with torch.no_grad():
        model(input_ids=windows)
    found = measure_spectra(tiny_folder, windows, CPU, 4, quiet=True)["layers"][2][name]
    assert found == pytest.approx(held_energy(gate.weight, moments.scale()), abs=1e-4)


def test_a_weight_of_rank_one_is_held_by_its_first_rank() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.outer(torch.randn(32, generator=generator), torch.randn(64, generator=generator))
    curve = held_energy(weight, torch.rand(64, generator=generator) + 0.5)
    assert curve == [0] + [1] * (POINTS - 1)


def test_equal_singular_values_are_held_in_proportion_to_the_rank() -> None:
    curve = held_energy(torch.eye(64), torch.ones(64))
    assert curve == pytest.approx(torch.linspace(0, 1, POINTS).tolist(), abs=1e-6)


def test_a_feature_counts_as_much_as_its_inputs_are_large() -> None:
    scale = torch.ones(32)
    scale[5] = 1e4
    assert held_energy(torch.eye(32), scale)[1] == pytest.approx(1, abs=1e-6)


def test_a_factored_model_is_refused(tiny_folder: Path, tmp_path: Path, windows: Tensor) -> None:
    small = compressed(tiny_folder, tmp_path / "small", windows)
    with pytest.raises(LorapError, match=f"^{small}: is a factored model"):
        measure_spectra(small, windows, CPU, 4, quiet=True)
