"""`lorap prune` lists what no cell of a grid has, and removes it when asked."""

from pathlib import Path

from lorap.artifacts.names import META
from lorap.settings.config import load_params
from tests.command import call, succeed
from tests.whole_tree import CELL, params_with


def test_what_no_cell_has_is_listed_and_removed_when_asked(tree: Path) -> None:
    params_with(grids={"small": load_params().grids["small"].model_dump() | {"cells": []}})
    listed = succeed("prune").splitlines()
    assert f"results/small/compress/{CELL}: belongs to no cell of the grid" in listed
    assert "lorap prune --remove" in listed[-1]
    assert (tree / f"compress/{CELL}").exists()
    succeed("prune", "--remove")
    assert not (tree / f"compress/{CELL}").exists()
    assert (tree / "calibrate/tiny/pydoc.safetensors").exists()
    assert succeed("prune") == ""
    left = call("verify")
    assert left.out == "small: 6 of 7 artifacts are what params.yaml says\n"
    assert "report: made from other settings (grid, methods, tune)" in left.err


def test_a_base_model_that_left_the_grid_is_pruned_whatever_its_name(tree: Path) -> None:
    for name in ("old", "tiny.meta"):
        (tree / f"models/{name}").mkdir()
        (tree / f"models/{name}.json").write_text("{}")
    listed = succeed("prune", "--remove").splitlines()
    assert listed == [
        f"results/small/models/{name}: removed" for name in ("old", "old.json", "tiny.meta", "tiny.meta.json")
    ]
    assert [file.name for file in (tree / "models").iterdir()] == ["tiny.json"]


def test_what_a_killed_job_left_of_a_removed_cell_is_pruned_and_of_a_cell_it_is_not(tree: Path) -> None:
    left = tree / "compress/tiny/pydoc/.svd-0.5.partial"
    left.mkdir()
    (left / META).write_text("{}")
    (tree / "compress/tiny/pydoc/.lorap-0.5.old/lorap-0.5").mkdir(parents=True)
    (tree / "compress/tiny/pydoc/.lorap-0.5.old/lorap-0.5" / META).write_text("{}")
    files = [tree / "evaluate/tiny/pydoc/svd-0.5/.cost.json.meta.json.partial.lock"]
    files += [tree / "compress/tiny/pydoc/.lorap-0.5.partial.lock", tree / f"evaluate/{CELL}/.cost.json.partial"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    listed = succeed("prune", "--remove").splitlines()
    assert listed == [f"results/small/{path.relative_to(tree)}: removed" for path in (left, files[0])]
    assert [path.exists() for path in (left, *files)] == [False, False, True, True]
