"""A compression or survey that is cut short is gone on with at its next layer, with the bytes of an undisturbed one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lorap.compression import run, surveying
from lorap.compression.loop import LayerLoop
from lorap.compression.progress import DONE, Progress
from lorap.compression.survey_file import Surveyed
from lorap.files import read_json
from tests.command import Done, call
from tests.compare import CPU
from tests.test_pretended import small, spec_of, weights

LEFT = Path(".out.checkpoints")
SLOW = """
import sys, time
import lorap.compression.run as run
from lorap.cli.main import main
change = run.compress_layer
run.compress_layer = lambda *given: (time.sleep(0.5), change(*given))[1]
sys.exit(main(sys.argv[1:]))
"""


class Killed(BaseException):
    """What stops a run without a chance to clean up."""


def compress(*options: object) -> Done:
    given = ("--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5, "--out", "out")
    return call("compress", *given, *options)


def cut_short(monkeypatch: pytest.MonkeyPatch, layers: int) -> None:
    """Lets a run do so many layers, and no more."""
    record = Progress.record

    def stops(self: Progress, index: int) -> None:
        record(self, index)
        if index + 1 == layers:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "record", stops)
        with pytest.raises(Killed):
            compress()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_it_goes_on_at_its_next_layer_with_the_same_bytes(
    work: Path, monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    compress()
    names = ("model.safetensors", "layers.json", "config.json")
    expected = {name: (work / "out" / name).read_bytes() for name in names}
    (work / "out").rename("whole")
    cut_short(monkeypatch, layers)
    assert not Path("out").exists()
    assert len(read_json(LEFT / DONE)) == layers
    change = run.compress_layer
    again: list[int] = []

    def counted(loop: LayerLoop, index: int, *rest: Any) -> Any:
        again.append(index)
        return change(loop, index, *rest)

    monkeypatch.setattr(run, "compress_layer", counted)
    assert compress().code == 0
    assert again == list(range(layers, 3))
    assert {name: (work / "out" / name).read_bytes() for name in expected} == expected
    assert not LEFT.exists()


def test_what_another_run_left_is_removed_with_a_line(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(monkeypatch, 2)
    done = compress("--allocation", 2)
    assert f"{LEFT.name}: checkpoints of other settings or of another model, removed" in done.err
    assert done.code == 0
    assert not LEFT.exists()


@pytest.mark.parametrize("damaged", ["[{", "{}"])
def test_a_damaged_note_costs_the_layers_and_no_more(work: Path, monkeypatch: pytest.MonkeyPatch, damaged: str) -> None:
    cut_short(monkeypatch, 2)
    (LEFT / DONE).write_text(damaged)
    assert compress().code == 0


def test_a_run_at_fault_leaves_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(monkeypatch, 1)
    Path("model").unlink()
    told = compress().err.splitlines()[-1]
    assert told == "lorap: error: model: no model there, expected a folder with a config.json; see 'lorap fetch --help'"
    assert not Path("out").exists()
    assert not LEFT.exists()


def test_the_dense_form_begins_anew(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    for name in ("a", "b", "left"):
        (tmp_path / name).mkdir()
    run.compress(spec_of(form="dense"), tiny_folder, windows, tmp_path / "a", CPU, True, tmp_path / "left")
    assert weights(tmp_path / "a") == weights(small(tiny_folder, tmp_path / "c", windows, form="dense"))
    assert not any((tmp_path / "left").iterdir())


def survey(out: str) -> Done:
    return call("survey", "--model", "model", "--calibration", "c.safetensors", "--batch", 2, "--out", out)


@pytest.mark.parametrize(("layers", "damaged"), [(1, False), (2, False), (3, False), (2, True)])
def test_a_survey_goes_on_at_its_next_layer_with_the_same_bytes(
    work: Path, monkeypatch: pytest.MonkeyPatch, layers: int, damaged: bool
) -> None:
    assert survey("whole.safetensors").code == 0
    record, one_layer, left = Surveyed.record, surveying._survey_layer, Path(".out.safetensors.checkpoints")
    again: list[int] = []

    def stops(self: Surveyed, index: int, found: Any) -> None:
        record(self, index, found)
        if index + 1 == layers:
            raise Killed

    def counted(loop: LayerLoop, index: int, *rest: Any) -> Any:
        again.append(index)
        return one_layer(loop, index, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Surveyed, "record", stops)
        with pytest.raises(Killed):
            survey("out.safetensors")
    assert not Path("out.safetensors").exists()
    if damaged:
        (left / "1.safetensors").write_bytes(b"no tensors")
    monkeypatch.setattr(surveying, "_survey_layer", counted)
    assert survey("out.safetensors").code == 0
    assert again == ([1, 2] if damaged else list(range(layers, 3)))
    assert (work / "out.safetensors").read_bytes() == (work / "whole.safetensors").read_bytes()
    assert not left.exists()


@pytest.mark.system
def test_a_process_that_is_killed_is_gone_on_with(work: Path) -> None:
    compress()
    expected = (work / "out/model.safetensors").read_bytes()
    (work / "out").rename("whole")
    command = ["compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", "0.5", "--out", "out"]
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", SLOW, *command], env=os.environ | path) as process:
        while not (LEFT / DONE).exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert compress().code == 0
    assert (work / "out/model.safetensors").read_bytes() == expected
