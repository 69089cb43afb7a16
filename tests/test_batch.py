"""A batch that the job chooses: the largest that memory is free for, told in the meta, with that number's bytes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lorap.api.batch import settled
from lorap.artifacts.specs import RedecomposeSpec, SpectraSpec, SurveySpec
from lorap.machine import free, needs
from lorap.machine.need import MARGIN
from lorap.machine.streaming import read_model
from lorap.model.sizes import read_sizes
from lorap.settings.schema import Calibrate, Survey
from tests.command import succeed
from tests.compare import CPU, spec_of

SPECS: list[Any] = [
    spec_of(0.5),
    SurveySpec(survey=Survey(), dtype="auto", batch=16, offload=False),
    RedecomposeSpec(rank="k", batch=16),
    SpectraSpec(batch=16),
]
COMMAND = ("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", 0.5)
SPECTRA = ("evaluate", "spectra", "--model", "model", "--calibration", "c.safetensors")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_a_number_is_left_and_auto_becomes_one(tiny_folder: Path, windows: Tensor, spec: Any) -> None:
    taken: dict[str, int] = {}
    assert settled(spec, tiny_folder, windows, CPU, taken) is spec
    assert not taken
    found = settled(spec.model_copy(update={"batch": "auto"}), tiny_folder, windows, CPU, taken)
    assert found == spec.model_copy(update={"batch": len(windows)}), "all of them, where there is room"
    assert taken == {"batch": len(windows)}


def test_it_is_the_largest_whose_need_is_free(
    tiny_folder: Path, windows: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, drawn = spec_of(0.5), Calibrate(corpus="file", nsamples=len(windows), seqlen=windows.shape[1])
    need = partial(needs.compress, read_model(tiny_folder / "config.json"), windows=drawn)
    auto = spec.model_copy(update={"batch": "auto"})

    def chosen(memory: float) -> int:
        monkeypatch.setattr(free, "free_memory", lambda device: round(memory))
        return settled(auto, tiny_folder, windows, CPU).at_once()

    wanted = MARGIN * need(spec.model_copy(update={"batch": 7})).device
    assert (chosen(wanted), chosen(wanted - 2), chosen(0)) == (7, 6, 1)


def test_the_meta_has_the_setting_and_the_number_that_was_taken(work: Path) -> None:
    succeed(*COMMAND, "--batch", 12, "--out", "number")
    succeed(*COMMAND, "--batch", "auto", "--out", "auto")
    number, auto = (json.loads((work / name / "meta.json").read_text()) for name in ("number", "auto"))
    assert (auto["spec"]["batch"], auto["taken"]) == ("auto", {"batch": 12})
    assert number["spec"]["batch"] == 12
    assert "taken" not in number
    assert auto["sha256"]["model.safetensors"] == number["sha256"]["model.safetensors"]
    succeed(*SPECTRA, "--batch", "auto", "--out", "spectra.json")
    assert json.loads((work / "spectra.json.meta.json").read_text())["taken"] == {"batch": 12}


def test_before_a_job_has_chosen_there_is_no_number() -> None:
    with pytest.raises(ValueError, match="no number has been chosen"):
        SpectraSpec(batch="auto").at_once()


@pytest.mark.parametrize("batch", ["auto", 16])
def test_what_a_job_asks_for_assumes_a_number(tiny_folder: Path, batch: Any) -> None:
    sizes, drawn = read_sizes(tiny_folder / "config.json"), Calibrate(corpus="file", nsamples=64, seqlen=24)
    assert needs.spectra(sizes, drawn, batch) == needs.spectra(sizes, drawn, needs.ASSUMED)
