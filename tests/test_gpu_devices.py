"""Which GPUs a process may use, by CUDA_VISIBLE_DEVICES, by their nodes, and by torch where there are none."""

from pathlib import Path

import pytest

from lorap.machine import gpu
from lorap.machine.gpu import devices


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("0,1", ["0", "1"]),
        (" 3 , 2 ", ["3", "2"]),
        ("2", ["2"]),
        ("GPU-8932f937-d72c,MIG-GPU-b7c4/1/0", ["GPU-8932f937-d72c", "MIG-GPU-b7c4/1/0"]),
        ("1,1", ["1"]),
        ("0,-1,1", ["0"]),
        ("0,,1", ["0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("../../x", []),
    ],
)
def test_the_devices_are_those_that_cuda_would_see(
    monkeypatch: pytest.MonkeyPatch, named: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert devices() == found


def test_where_none_are_named_all_that_have_a_node_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(tmp_path) == []
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert devices(tmp_path) == ["0", "1"]


@pytest.mark.parametrize(("driver", "found"), [("kfd", ["0", "1"]), ("dxg", ["0", "1"]), ("null", [])])
def test_devices_without_a_node_are_counted_by_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: str, found: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "COUNT", "print(2)")
    (tmp_path / driver).touch()
    assert gpu.devices(tmp_path) == found
