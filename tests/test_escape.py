"""Names and paths of the user's settings, and files beside the data, start nothing and write nowhere else."""

import json
import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from lorap.artifacts.meta import read_meta
from tests.command import succeed
from tests.hostile import code, was_run
from tests.workflow import make_checkout

HOSTILE = 'a\'b "c" $(touch mark) `touch mark`; touch mark\n{output} & touch mark'


@pytest.mark.system
def test_the_paths_of_a_model_and_a_text_reach_no_shell(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{HOSTILE}.txt").write_text("to be or not to be, that is the question " * 20)
    checkout = make_checkout(tmp_path / "checkout", Path(shutil.copytree(tiny_folder, tmp_path / HOSTILE)))
    params = checkout.params()
    local = {"calibration": f"{HOSTILE}.txt"}
    params["corpora"] = {"pydoc": {"source": "files", "repo": HOSTILE, "local": local, "column": HOSTILE}}
    checkout.write_params(params)
    checkout.run("snakemake", "stage_calibrate", LORAP_DATA=str(tmp_path / "data"))
    made = checkout.folder / "results/demo/calibrate/tiny/pydoc-4x16.safetensors"
    assert read_meta(made)["spec"]["source"]["local"] == local
    assert not list(tmp_path.rglob("mark"))


@pytest.mark.parametrize("name", ["demo'; touch mark; '", "$(touch mark)"])
@pytest.mark.system
def test_the_name_of_a_grid_reaches_no_shell_of_dvc(tmp_path: Path, tiny_folder: Path, name: str) -> None:
    checkout = make_checkout(tmp_path / "checkout", tiny_folder)
    params = checkout.params()
    params |= {"active": [name], "grids": {name: params["grids"]["demo"]}}
    checkout.write_params(params)
    checkout.commit()
    printed = checkout.run("dvc", "repro", ok=False)
    assert f"active.0: got {name!r}" in printed
    assert not list(tmp_path.rglob("mark"))


def test_a_script_beside_the_data_is_not_run(work: Path) -> None:
    """Earlier versions of `datasets` ran a script of the name of a folder, or of the builder that was asked for."""
    (work / "data/piqa").mkdir(parents=True)
    for name in ("json.py", "json/json.py", "parquet.py", "parquet/parquet.py", "data/data.py", "data/piqa/piqa.py"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(code(work))
    rows = [{"goal": "to be", "sol1": "or not to be", "sol2": "that is the question", "label": 0}] * 3
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), work / "data/piqa/validation.parquet")
    text = [json.dumps({"text": "to be or not to be, that is the question " * 5})] * 3
    (work / "data/text.jsonl").write_text("\n".join(text))
    corpus = "{source: files, local: {calibration: data/text.jsonl}}"
    (work / "params.yaml").write_text(f"corpora: {{mine: {corpus}}}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAP_DATA", str(work))
        windows = ("--nsamples", 2, "--seqlen", 8, "--out", "own.safetensors")
        succeed("calibrate", "--model", "model", "--corpus", "mine", *windows)
    measure = ("evaluate", "zeroshot", "--model", "model", "--tasks", "piqa", "--data", "data")
    succeed(*measure, "--out", "zeroshot.json")
    assert not was_run(work)
