"""Where activations are kept: on the device, in the CPU's memory or on the disk, with the same bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lorap.artifacts.specs import SurveySpec
from lorap.cli.main import parse
from lorap.compression.store import Store
from lorap.compression.surveying import survey_model
from lorap.errors import LorapError
from lorap.settings.schema import Offload, Survey
from tests.command import refused, succeed
from tests.compare import CPU, compressed

PLACES: tuple[Offload, ...] = (False, True, "disk")
COMMAND = ("compress", "--model", "model", "--calibration", "c.safetensors", "--sparsity", "0.5", "--out", "small")


@pytest.mark.parametrize("parts", [{}, {"attention": "second-moment", "repair": "refit"}], ids=["lorap", "refit"])
def test_a_model_is_compressed_to_the_same_bytes(
    tiny_folder: Path, windows: Tensor, tmp_path: Path, parts: dict[str, Any]
) -> None:
    device, *others = (
        (compressed(tiny_folder, tmp_path / str(kept), windows, offload=kept, **parts) / "model.safetensors")
        for kept in PLACES
    )
    assert all(other.read_bytes() == device.read_bytes() for other in others)
    assert len(list(tmp_path.iterdir())) == len(PLACES), "nothing is left beside the models"


def test_a_survey_finds_the_same(tiny_folder: Path, windows: Tensor, tmp_path: Path) -> None:
    specs = [SurveySpec(survey=Survey(), dtype="auto", batch=5, offload=kept) for kept in PLACES]
    device, *others = (survey_model(spec, tiny_folder, windows, CPU, True, tmp_path) for spec in specs)
    for other in others:
        torch.testing.assert_close(other, device, rtol=0, atol=0)
    assert not list(tmp_path.iterdir())


def test_what_is_on_the_disk_is_in_no_memory_of_the_process_and_has_no_name(tmp_path: Path) -> None:
    before = _data()
    kept = Store("disk", CPU, tmp_path).keep(torch.ones(1, dtype=torch.bfloat16).expand(64, 2**20))
    assert float(kept[-1, -1]) == 1
    kept[3] = 2
    assert float(kept[3].float().mean()) == 2
    assert _data() - before < kept.nbytes / 4
    assert not list(tmp_path.iterdir())


def _data() -> int:
    """Bytes of the process that the system could not take back without swapping."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def test_a_disk_without_room_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LorapError, match=rf"^{tmp_path}: no room for 1,125,899,906.8 MB of activations \("):
        Store("disk", CPU, tmp_path).empty((2**48,), torch.float32)


def test_the_option_stands_alone_or_names_the_disk(work: Path) -> None:
    assert parse([*COMMAND]).offload is None
    assert parse([*COMMAND, "--offload", "--quiet"]).offload is True
    assert refused(*COMMAND, "--offload", "gpu") == "option: offload: got 'gpu'; should be False, True or 'disk'"
    succeed(*COMMAND, "--offload", "disk")
    assert json.loads((work / "small/meta.json").read_text())["spec"]["offload"] == "disk"
