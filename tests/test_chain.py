"""The steps that the page draws, counted by the files that are there."""

from pathlib import Path

from lorap.artifacts.grid import all_cells
from lorap.artifacts.steps import STAGES
from lorap.report.page.chain import chain
from tests.results_folder import fill, small_spec


def test_a_step_counts_what_is_there_and_names_what_is_not(tmp_path: Path) -> None:
    spec = small_spec()
    fill(spec, tmp_path)
    assert {step.name: step.missing for step in chain(spec, tmp_path)} == {
        name: [] for name in STAGES if name != "survey"
    }
    wanted = {step.name: step.wanted for step in chain(spec, tmp_path)}
    assert wanted["evaluate"] == len(all_cells(spec.grid)) + 1, "a cell counts once, and so do the spectra"
    cell = all_cells(spec.grid)[1].path
    (tmp_path / "compress" / cell / "meta.json").unlink()
    (tmp_path / "evaluate" / cell / "cost.json").unlink()
    missing = {step.name: step.missing for step in chain(spec, tmp_path) if step.missing}
    assert missing == {"compress": [f"compress/{cell}/meta.json"], "evaluate": [f"evaluate/{cell}"]}


def test_a_grid_without_tuning_has_no_step_for_it(tmp_path: Path) -> None:
    spec = small_spec(cells=[{"methods": ["svd"], "sparsities": [0.2]}])
    assert [step.name for step in chain(spec, tmp_path)] == ["models", "calibrate", "compress", "evaluate", "report"]
