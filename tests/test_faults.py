"""Faults that no kill causes: a job that fails, results deleted by hand, a clock set back, two writers at once."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lorap.files import new_folder, sha256_file
from tests.disturbed import SPECTRA, leftovers
from tests.workflow import NOTHING, Checkout, measuring, steps_of

pytestmark = pytest.mark.system

LORAP = "results/demo/compress/tiny/pydoc-4x16/lorap-1to1-0.5"
TUNED = "tiny/pydoc-4x16/lorap-0.5/tiny"
DAY = 86400  # seconds


@pytest.mark.slow
def test_a_failing_job_stops_its_chain_alone_and_is_made_once_it_can_be(
    copy_of_made: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAP_DATA", str(tmp_path))
    params = copy_of_made.params()
    params["corpora"]["own"] = {"source": "instructions", "local": {"tuning": "rows.jsonl"}}
    params["tune"]["own"] = params["tune"]["tiny"] | {"corpus": "own", "cutoff": 128}
    own = {"methods": ["lorap"], "sparsities": [0.5], "tune": ["own"], "kept_as": ["adapter"]}
    params["grids"]["demo"]["cells"].append(own)
    copy_of_made.write_params(params)
    (copy_of_made.folder / SPECTRA).unlink()
    told = copy_of_made.run("snakemake", ok=False)
    log = "logs/demo/tune/tiny/pydoc-4x16/lorap-0.5/own.log"
    assert f"{log}:\n    lorap: error: {tmp_path}/rows.jsonl: no such file; " in told
    assert (copy_of_made.folder / SPECTRA).is_file(), "others go on"
    assert not (copy_of_made.folder / "results/demo/tune/tiny/pydoc-4x16/lorap-0.5/own/meta.json").exists()
    assert leftovers(copy_of_made) == []
    before = copy_of_made.stamps()
    row = json.dumps({"instruction": "Say it.", "input": "", "output": "It."})
    (tmp_path / "rows.jsonl").write_text(f"{row}\n" * 24)
    assert steps_of(copy_of_made.run("snakemake")) == {"tune", *measuring("adapter"), "report"}
    after = copy_of_made.stamps()
    assert all("/report/" in name or name.count("/") == 2 for name in before if after[name] != before[name])
    assert "demo: 31 of 31" in copy_of_made.run("lorap", "verify", "--bytes")


@pytest.mark.parametrize(
    ("file", "chain"),
    [
        (f"{LORAP}/model.safetensors", {"compress", *measuring("compressed"), "report"}),
        (f"results/demo/redecompose/{TUNED}/exact/meta.json", {"redecompose", *measuring("redecomposed"), "report"}),
        (f"results/demo/evaluate/{TUNED}/adapter/perplexity.json", {"evaluate_adapter", "report"}),
        (f"results/demo/evaluate/{TUNED}/exact/cost.json", {"cost_redecomposed", "report"}),
        ("results/demo/report/figures/spectra.pdf", {"report"}),
    ],
)
def test_what_was_deleted_by_hand_is_made_again_with_what_follows(
    copy_of_made: Checkout, file: str, chain: set[str]
) -> None:
    (copy_of_made.folder / file).unlink()
    planned = copy_of_made.run("snakemake", "-n")
    assert steps_of(planned) == chain
    told = copy_of_made.run("lorap", "verify", ok=False)
    assert re.search(
        ": missing" if file.endswith("/meta.json") else f"incomplete, .*{Path(file).name} is missing", told
    )


def test_a_file_that_snakemake_does_not_know_of_is_missed_by_verify_and_made_again_after_adopt(
    copy_of_made: Checkout,
) -> None:
    (copy_of_made.folder / LORAP / "tokenizer.json").unlink()
    assert NOTHING in copy_of_made.run("snakemake", "-n")
    assert f"{LORAP}: incomplete, tokenizer.json is missing; run 'lorap adopt'" in copy_of_made.run(
        "lorap", "verify", ok=False
    )
    copy_of_made.run("lorap", "adopt")
    assert steps_of(copy_of_made.run("snakemake", "-n")) == {"compress", *measuring("compressed"), "report"}


@pytest.mark.slow
def test_a_clock_that_was_set_back_is_told_and_adopt_repairs_the_times(copy_of_made: Checkout) -> None:
    ahead = time.time() + DAY
    for file in (copy_of_made.folder / "results").rglob("*"):
        os.utime(file, (ahead, ahead))
    assert NOTHING in copy_of_made.run("snakemake"), "settings and contents are the same"
    params = copy_of_made.params()
    params["report"]["digits"] += 1
    copy_of_made.write_params(params)
    assert "clock skew" in copy_of_made.run("snakemake", ok=False)
    assert copy_of_made.run("lorap", "adopt") == "demo: 26 artifacts taken over, 0 to be made again, 1 missing\n"
    assert steps_of(copy_of_made.run("snakemake")) == {"report"}
    assert NOTHING in copy_of_made.run("snakemake")
    assert "demo: 27 of 27" in copy_of_made.run("lorap", "verify", "--bytes")


def test_a_folder_is_written_by_one_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def write(name: str) -> None:
        with new_folder(out) as partial:
            (partial / name).write_text(name)

    second = threading.Thread(target=write, args=("second",))
    with new_folder(out) as partial:
        second.start()
        second.join(0.5)
        assert second.is_alive(), "it waits for the first"
        (partial / "first").write_text("first")
    second.join()
    assert sorted(path.name for path in out.iterdir()) == [".lorap", "second"]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
def test_two_commands_that_write_the_same_both_end_well(work: Path) -> None:
    compress = ["compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", "0.5", "--out", "small"]
    commands = [compress, compress, ["fetch", "model", "--out", "copy"], ["fetch", "model", "--out", "copy"]]
    environment = os.environ | {"CI": "true", "PYTHONPATH": str(Path(__file__).parents[1])}
    started = [
        subprocess.Popen([sys.executable, "-m", "lorap", *command], env=environment, stdout=subprocess.DEVNULL)
        for command in commands
    ]
    assert [process.wait() for process in started] == [0] * len(commands)
    for folder in (work / "small", work / "copy"):
        meta = json.loads((folder / "meta.json").read_text())
        found = {file.name: sha256_file(file) for file in folder.iterdir() if file.name not in ("meta.json", ".lorap")}
        assert found == meta["sha256"]
    assert leftovers(Checkout(work)) == []
