"""The table of steps: what follows from it agrees with it, and it tells the truth about the settings of each step."""

import re
from pathlib import Path

import pytest

from lorap.artifacts.grid import Cell
from lorap.artifacts.places import jobs
from lorap.artifacts.step import Step
from lorap.artifacts.steps import STEPS
from lorap.settings.config import load_params
from lorap.settings.schema import Params
from lorap.workflow.dvc_stages import make_dvc_yaml
from tests.workflow import ROOT, make_checkout


def test_dvc_yaml_is_what_the_table_says() -> None:
    told = "python -m lorap.workflow.dvc_stages > dvc.yaml"
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == make_dvc_yaml(), f"make it again: {told}"


def test_the_rules_depend_on_each_other_as_the_table_says(tmp_path: Path, tiny_folder: Path) -> None:
    drawn = make_checkout(tmp_path / "checkout", tiny_folder).run("snakemake", "--rulegraph")
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', drawn))
    edges = {(names[source], names[rule]) for source, rule in re.findall(r"(\d+) -> (\d+)", drawn)}
    params = load_params(tmp_path / "checkout/params.yaml")
    run = {step.name for step, _ in jobs(params.grids["demo"], params.methods)}
    said = {(source, name) for name in run for source in STEPS[name].inputs.values() if source in run}
    assert {(source, rule) for source, rule in edges if rule != "all"} == said
    assert {source for source, rule in edges if rule == "all"} == run


@pytest.mark.parametrize("step", STEPS.values(), ids=list(STEPS))
@pytest.mark.parametrize("grid", ["demo", "paper"])
def test_a_spec_is_made_from_no_other_settings_than_the_table_says(step: Step, grid: str) -> None:
    params = load_params(ROOT / "params.yaml")
    told = {section.split(".")[0] for section in step.settings}
    alone = Params.model_construct(grids=params.grids, **{name: getattr(params, name) for name in told})
    for cell in step.cells(params.grids[grid], params.methods):
        assert step.spec(alone, grid, cell) == step.spec(params, grid, cell)


def test_a_cell_has_the_same_places_in_rules_and_results() -> None:
    cell = Cell("m", "c", "svd", 0.25, "t", "exact")
    assert cell.path == "m/c/svd-0.25/t/exact"
    assert Cell("m", "c", "svd", 1e-05).path == "m/c/svd-0.00001"
    assert Cell("m").path == "m/dense"


@pytest.mark.parametrize("grid", ["demo", "mini", "paper", "plus-tuned"])
def test_every_step_comes_after_those_whose_artifacts_it_takes(grid: str) -> None:
    made: set[str] = set()
    params = load_params(ROOT / "params.yaml")
    for step, cell in jobs(params.grids[grid], params.methods):
        roles = set() if step.takes_all else set(step.inputs) - set(step.unused(cell, params.methods))
        assert {STEPS[step.inputs[role]].outputs[0].of(cell).meta for role in roles} <= made
        made |= {output.of(cell).meta for output in step.outputs}
