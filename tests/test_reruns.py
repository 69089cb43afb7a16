"""What an edit of params.yaml makes anew, and what it leaves alone, under real snakemake and real dvc."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lorap.artifacts import catalogue
from tests.workflow import NOTHING, Checkout, make_checkout

pytestmark = pytest.mark.system


def test_a_second_snakemake_has_nothing_to_do(made: Checkout) -> None:
    before = made.stamps()
    assert NOTHING in made.run("snakemake")
    assert made.stamps() == before


@pytest.mark.slow
def test_snakemake_after_dvc_has_nothing_to_do(tmp_path: Path, tiny_folder: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    checkout.commit()
    checkout.run("dvc", "repro")
    before = checkout.stamps()
    assert NOTHING in checkout.run("snakemake")
    assert checkout.stamps() == before


@pytest.mark.slow
def test_grids_are_switched_to_and_fro_without_recomputing(copy_of_made: Checkout) -> None:
    params = copy_of_made.params()
    params["grids"]["second"] = params["grids"]["demo"] | {"cells": []}
    copy_of_made.write_params(params)
    copy_of_made.run("dvc", "repro")
    before = copy_of_made.stamps()
    copy_of_made.write_params(params | {"active": ["second"]})
    copy_of_made.run("dvc", "repro")
    assert copy_of_made.run("lorap", "verify").startswith("second: ")
    copy_of_made.write_params(params)
    assert "up to date" in copy_of_made.run("dvc", "repro")
    assert NOTHING in copy_of_made.run("snakemake")
    after = copy_of_made.stamps()
    assert {name: after[name] for name in before} == before
    assert "results/second/report/main.csv" in after


@pytest.mark.slow
def test_a_sparsity_comes_and_goes_with_its_rows_only(copy_of_made: Checkout) -> None:
    before, params = copy_of_made.stamps(), copy_of_made.params()
    params["grids"]["demo"]["cells"][0]["sparsities"] = [0.5, 0.2]
    copy_of_made.write_params(params)
    copy_of_made.run("snakemake")
    after = copy_of_made.stamps()
    untouched = [name for name in before if "/compress/" in name or "/evaluate/" in name or "/calibrate/" in name]
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert sparsities_of(copy_of_made, "lorap") == ["0.2", "0.5"]
    params["grids"]["demo"]["cells"][0]["sparsities"] = [0.2]
    copy_of_made.write_params(params)
    copy_of_made.run("snakemake")
    assert sparsities_of(copy_of_made, "lorap") == ["0.2"]


def sparsities_of(checkout: Checkout, method: str) -> list[str]:
    """The sparsities that the main table shows of a method."""
    with (checkout.folder / "results/demo/report/main.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [row["sparsity"] for row in rows if (row["method"], row["tuned"]) == (method, "no")]


@pytest.mark.slow
def test_a_setting_of_the_tuning_reruns_its_chain_alone_and_dvc_shows_what_changed(copy_of_made: Checkout) -> None:
    copy_of_made.commit()
    before, params = copy_of_made.stamps(), copy_of_made.params()
    old, params["tune"]["tiny"]["learning_rate"] = params["tune"]["tiny"]["learning_rate"], 2e-3
    copy_of_made.write_params(params)
    copy_of_made.run("snakemake")
    changed = {name for name, stamp in copy_of_made.stamps().items() if before.get(name) != stamp}
    assert {name.split("/")[2] for name in changed} == {
        "tune", "redecompose", "evaluate", "report", catalogue.METRICS, catalogue.SWEEP,
    }  # fmt: skip
    assert all("/lorap-0.5/tiny/" in name for name in changed if name.split("/")[2] == "evaluate")
    says = dvc_says(copy_of_made, "params", "diff")["params.yaml"]
    assert {name: (change["old"], change["new"]) for name, change in says.items()} == {
        "tune.tiny.learning_rate": (old, 2e-3)
    }
    metrics = dvc_says(copy_of_made, "metrics", "diff")["results/demo/metrics.json"]
    cell = "tiny/pydoc-4x16/lorap-0.5/tiny/adapter"
    assert all(name.startswith(cell.removesuffix("adapter")) for name in metrics), "no other cell was measured again"
    was, now = (pytest.approx(metrics[f"{cell}.pydoc"][key], rel=1e-5) for key in ("old", "new"))
    assert metrics[f"{cell}.pydoc"]["old"] != metrics[f"{cell}.pydoc"]["new"]
    assert drawn(copy_of_made, "show", cell) == {"workspace": now}
    assert drawn(copy_of_made, "diff", cell) == {"HEAD": was, "workspace": now}


def dvc_says(checkout: Checkout, *command: str) -> Any:
    """What a command of DVC prints as JSON."""
    return json.loads(checkout.run("dvc", *command, "--json"))


def drawn(checkout: Checkout, command: str, cell: str) -> dict[str, float]:
    """The perplexity of a cell in the sweep that a command of `dvc plots` draws, by revision."""
    (plot,) = dvc_says(checkout, "plots", command)["data"]["results/demo/sweep.csv"]
    rows = plot["content"]["data"]["values"]
    return {row["rev"]: float(row["perplexity"]) for row in rows if row["cell"] == cell}
