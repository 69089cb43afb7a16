"""Cost: what is counted, and that every measurement is there."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lorap.artifacts.counts import counted
from lorap.evaluation.cost import measure_cost
from lorap.machine.meter import peak_memory, reset_peak_memory
from lorap.model.folder import load_model
from lorap.settings.schema import Cost
from tests.compare import CPU, compressed
from tests.rival_methods import by

COST = Cost(tokens=64, prompt=8, new_tokens=3, batches=[1, 2], warmup=1, repeats=3)


def test_parameters_are_counted_once_where_they_are_tied(family_folder: Path) -> None:
    stock = AutoModelForCausalLM.from_pretrained(family_folder)
    result = measure_cost(COST, load_model(family_folder))
    assert result["parameters"] == sum(parameter.numel() for parameter in stock.parameters())


def test_macs_are_those_of_linears_head_and_attention(tiny_folder: Path) -> None:
    layer = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 96
    result = measure_cost(COST, load_model(tiny_folder))
    assert result["macs"] == 64 * (3 * layer + 300 * 64) + 3 * 2 * 64 * 64 * 64
    assert result["tokens"] == 64


def test_a_compressed_model_counts_its_factors(tiny_folder: Path, tmp_path: Path, windows: torch.Tensor) -> None:
    small = load_model(compressed(tiny_folder, tmp_path / "small", windows))
    result = measure_cost(COST, small)
    assert result["parameters"] == sum(parameter.numel() for parameter in small.parameters())
    assert result["macs"] < measure_cost(COST, load_model(tiny_folder))["macs"]


@pytest.mark.parametrize("name", ["lorap", "lorap-plus", "flap", "wanda-sp", "svd-llm", "olica"])
def test_a_plan_counts_what_a_measurement_does(
    tiny_folder: Path, tmp_path: Path, windows: torch.Tensor, name: str
) -> None:
    """A report counts so where another calibration's model stands for this one's times."""
    by(name, tiny_folder, tmp_path / "small", windows, 0.5)
    found = {path: measure_cost(COST, load_model(path)) for path in (tiny_folder, tmp_path / "small")}
    counts = counted(tmp_path / "small", found[tiny_folder])
    assert counts == {key: found[tmp_path / "small"][key] for key in ("parameters", "macs")}
    assert counted(tmp_path / "small", {}) == {}
    assert counted(tmp_path / "nowhere", found[tiny_folder]) == {}


def test_every_batch_size_is_timed_and_the_first_one_is_the_headline(tiny_folder: Path) -> None:
    result = measure_cost(COST, load_model(tiny_folder))
    first, second = result["batches"]
    assert (first["batch"], second["batch"]) == (1, 2)
    for timed in (first, second):
        assert timed["prefill_seconds"] > 0
        assert timed["decode_tokens_per_second"] > 0
    assert result["prefill_seconds"] == first["prefill_seconds"]
    assert result["decode_tokens_per_second"] == first["decode_tokens_per_second"]


def test_the_protocol_says_how_the_numbers_came_about(tiny_folder: Path) -> None:
    protocol = measure_cost(COST, load_model(tiny_folder, torch.bfloat16))["protocol"]
    assert protocol == {
        "tokens": 64, "prompt": 8, "new_tokens": 3, "warmup": 1, "repeats": 3,
        "dtype": "bfloat16", "threads": torch.get_num_threads(), "memory_of": "process",
    }  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can reset the peak")
def test_the_peak_of_memory_is_that_since_the_reset() -> None:
    size = 300_000_000
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    torch.zeros(size, dtype=torch.uint8).add_(1)
    assert peak_memory(CPU) - before > 0.9 * size
    reset_peak_memory(CPU)
    assert peak_memory(CPU) - before < 0.1 * size
