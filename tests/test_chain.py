"""The steps that the page draws: those of the rules, counted by the files that are there."""

import re
from pathlib import Path

import pytest

from lorap.artifacts.grid import all_cells
from lorap.report.page.chain import NEEDS, chain
from tests.results_folder import fill, small_spec

RULES = Path(__file__).parents[1] / "rules"
TAKEN = {  # how an input of a rule names the results of a step
    "models": ("/models/{model}.json",),
    "calibrate": ("calibration_of", "calibration_files"),
    "compress": ("{CELL}", "compressed_files"),
    "tune": ("{TUNED}", "adapter_files"),
    "redecompose": ("{REDECOMPOSED}", "redecomposed_files"),
    "evaluate": ("evaluation_files",),
}


@pytest.mark.parametrize("step", [name for name in NEEDS if name != "models"])
def test_the_arrows_are_those_of_the_rules(step: str) -> None:
    inputs = "".join(re.findall(r"(?s)    input:\n(.*?)    output:", (RULES / f"{step}.smk").read_text()))
    found = {name for name, ways in TAKEN.items() if any(way in inputs for way in ways)}
    assert set(NEEDS[step]) == found


def test_a_step_counts_what_is_there_and_names_what_is_not(tmp_path: Path) -> None:
    spec = small_spec()
    fill(spec, tmp_path)
    assert {step.name: step.missing for step in chain(spec, tmp_path)} == {name: [] for name in NEEDS}
    cell = all_cells(spec.grid)[1].path
    (tmp_path / "compress" / cell / "meta.json").unlink()
    (tmp_path / "evaluate" / cell / "cost.json").unlink()
    missing = {step.name: step.missing for step in chain(spec, tmp_path) if step.missing}
    assert missing == {"compress": [f"compress/{cell}/meta.json"], "evaluate": [f"evaluate/{cell}"]}


def test_a_grid_without_tuning_has_no_step_for_it(tmp_path: Path) -> None:
    spec = small_spec(cells=[{"methods": ["svd"], "sparsities": [0.2]}])
    assert [step.name for step in chain(spec, tmp_path)] == ["models", "calibrate", "compress", "evaluate", "report"]
