"""The lines at the head of a page: what they compute, and what they admit to be missing."""

import json
from pathlib import Path

import pytest

from lorap.artifacts.grid import Cell
from lorap.artifacts.specs import ReportSpec
from lorap.report.page.summary import Line, measured, summary
from lorap.report.read.results import read_results
from lorap.report.tables.sourced import Origin
from tests.results_folder import CALIBRATION, DENSE_PARAMETERS, LINEARS, MODEL, fill, small_spec

DENSE, LORAP, LARGER = Cell(MODEL), *(Cell(MODEL, CALIBRATION, name, 0.5) for name in ("lorap", "attention-only"))
TUNED = Cell(MODEL, CALIBRATION, "lorap", 0.5, "alpaca", "exact")
SVD = {"methods": ["svd"], "sparsities": [0.2]}


def change(folder: Path, cell: Cell, perplexity: float, removed: float = 0.5, seconds: float = 0.5) -> None:
    """Gives a cell a perplexity and a cost."""
    place = folder / "evaluate" / cell.path
    (place / "perplexity.json").write_text(json.dumps({"wikitext2": {"perplexity": perplexity}}))
    batches = [{"batch": 1, "prefill_seconds": seconds, "decode_tokens_per_second": 1}]
    size = DENSE_PARAMETERS - round(removed * LINEARS)
    (place / "cost.json").write_text(json.dumps({"parameters": size, "batches": batches}))


def lines(spec: ReportSpec, folder: Path) -> dict[str, str]:
    """What is said of the model, by label."""
    found = summary(spec, read_results(spec, folder))[MODEL]
    return {line.label: "".join(part if isinstance(part, str) else part[0] for part in line.parts) for line in found}


def test_the_best_method_is_sought_among_those_that_removed_as_much(tmp_path: Path) -> None:
    tuned = {"methods": ["lorap"], "sparsities": [0.5], "tune": ["alpaca"], "kept_as": ["exact"]}
    spec = small_spec(cells=[{"methods": ["attention-only", "lorap", "svd"], "sparsities": [0.5]}, tuned])
    fill(spec, tmp_path)
    change(tmp_path, DENSE, 10, removed=0)
    change(tmp_path, LARGER, 11, removed=0.2)
    change(tmp_path, LORAP, 30, seconds=0.25)
    change(tmp_path, TUNED, 15, removed=0.49)
    said = lines(spec, tmp_path)
    assert said["Best method"] == "lorap at sparsity 0.5: perplexity 30.00 on wikitext2, 3.0 times the dense model's"
    assert "from 30.00 to 15.00 (alpaca, exact), which wins back 75% of what compression had cost" in said["Tuning"]
    assert "52% of the dense model's, reads a prompt 2.00 times as fast" in said["Size and speed"]
    best = summary(spec, read_results(spec, tmp_path))[MODEL][1]
    assert ("30.00", Origin((LORAP.path,), "perplexity wikitext2")) in best.parts


def test_what_was_not_measured_or_is_no_part_of_the_grid_is_said(tmp_path: Path) -> None:
    said = lines(small_spec(cells=[SVD]), tmp_path)
    assert said["Dense model"].startswith("perplexity not measured on wikitext2; ")
    assert said["Best method"] == said["Size and speed"] == "not measured"
    assert said["Tuning"] == "not part of this grid"


@pytest.mark.parametrize(
    ("blocks", "unmeasured", "text"),
    [
        ([SVD], 0, "all 4 cells: llama-7b and llama-13b, 1 method at sparsity 0.2"),
        ([SVD], 1, "3 of 4 cells (for the others see the warnings): llama-7b and llama-13b, 1 method at sparsity 0.2"),
        ([], 0, "all 2 cells: llama-7b and llama-13b, not compressed"),
    ],
)
def test_it_begins_with_what_the_grid_is(tmp_path: Path, blocks: list[object], unmeasured: int, text: str) -> None:
    spec = small_spec(models=[MODEL, "llama-13b"], cells=blocks)
    expected = f"{text}, calibrated on {CALIBRATION}" if blocks else text
    assert measured(spec, read_results(spec, tmp_path), unmeasured) == Line("Measured", [expected])
