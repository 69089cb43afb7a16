"""GPU slots: each job of the workflow has a device of its own for as long as its process lives."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[1]
HOLD = "from lorap.machine.gpu import lease; print(lease(), flush=True); input()"
# Marks its device as taken, which fails where the mark is there already.
MARK = """
import os, time
from lorap.machine.gpu import lease
for name in [lease()]:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    time.sleep(0.05)
    os.unlink(name)
print(name, os.environ["CUDA_VISIBLE_DEVICES"])
"""
# Starts two children that outlive it, one forked and one of another program, and says who they are.
WITH_CHILDREN = """
import os, subprocess, sys, time
from lorap.machine.gpu import lease
lease()
if (forked := os.fork()) == 0:
    time.sleep(600)
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
print(forked, started.pid, flush=True)
time.sleep(600)
"""
# A forked child whose next file has the number that the lock had, and forks again.
TWICE_FORKED = """
import os
from lorap.machine.gpu import lease
lease()
if os.fork() == 0:
    file = os.open(".", os.O_RDONLY)
    if os.fork() == 0:
        os.fstat(file)
        print("open")
        raise SystemExit
os.wait()
"""


def start(folder: Path, code: str, **variables: str) -> subprocess.Popen[str]:
    """A Python process in a folder, which is also where it keeps its lock files."""
    own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": "0,1", "LORAP_DEVICE": ""}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=inherited | own | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_line(stream: IO[str] | None) -> str:
    assert stream
    return stream.readline()


@contextmanager
def holder(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that holds a device without having waited for it, and the device; it is killed at the end."""
    with start(folder, HOLD, **variables) as process:
        try:
            assert read_line(process.stderr).startswith("lorap: has GPU ")
            yield process, read_line(process.stdout).strip()
        finally:
            process.kill()


def test_processes_never_share_a_device(tmp_path: Path) -> None:
    running = [start(tmp_path, MARK) for _ in range(8)]
    ended = [(process.communicate(), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 8, ended
    taken = [out.split() for (out, _), _ in ended]
    assert all(device == visible for device, visible in taken)
    assert {device for device, _ in taken} == {"0", "1"}


def test_who_finds_all_taken_says_so_once_and_waits_until_a_holder_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as (first, one), holder(tmp_path) as (_, other), start(tmp_path, HOLD) as waiting:
        assert {one, other} == {"0", "1"}
        assert read_line(waiting.stderr) == "lorap: waiting for a GPU, all are taken: 0, 1\n"
        first.send_signal(signal.SIGKILL)
        assert waiting.communicate("\n") == (f"{one}\n", f"lorap: has GPU {one}\n")


def test_children_that_outlive_a_killed_holder_do_not_keep_its_device(tmp_path: Path) -> None:
    with start(tmp_path, WITH_CHILDREN, CUDA_VISIBLE_DEVICES="7") as parent:
        children = [int(child) for child in read_line(parent.stdout).split()]
        parent.kill()
        parent.wait()
        try:
            with holder(tmp_path, CUDA_VISIBLE_DEVICES="7") as (_, device):
                assert device == "7"
                for child in children:
                    os.kill(child, 0)  # they live
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)


def test_a_file_of_a_child_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    assert start(tmp_path, TWICE_FORKED).communicate()[0] == "open\n"


@pytest.mark.parametrize(
    "variables",
    [{"LORAP_DEVICE": "cpu"}, {"WORLD_SIZE": "2", "LOCAL_RANK": "0"}, {"CUDA_VISIBLE_DEVICES": ""}],
    ids=lambda variables: next(iter(variables)),
)
def test_where_another_deals_or_there_is_none_nothing_happens(tmp_path: Path, variables: dict[str, str]) -> None:
    before = variables.get("CUDA_VISIBLE_DEVICES", "0,1")
    code = "import os; from lorap.machine.gpu import lease; print([lease(), os.environ['CUDA_VISIBLE_DEVICES']])"
    assert start(tmp_path, code, **variables).communicate() == (f"{[None, before]}\n", "")
    assert not list(tmp_path.iterdir())


def test_jobs_of_slurm_share_what_their_own_job_was_given_and_nothing_with_others(tmp_path: Path) -> None:
    with holder(tmp_path, SLURM_JOB_ID="1") as (_, one), holder(tmp_path, SLURM_JOB_ID="1") as (_, other):
        assert {one, other} == {"0", "1"}
        with holder(tmp_path, SLURM_JOB_ID="2") as (_, first), holder(tmp_path, SLURM_JOB_ID="2") as (_, second):
            assert {first, second} == {"0", "1"}


def test_a_job_that_holds_a_gpu_does_not_fall_back_to_the_cpu(tmp_path: Path) -> None:
    code = "from lorap.machine.gpu import lease; lease()\nfrom lorap.api.devices import automatic; print(automatic())"
    out, told = start(tmp_path, code, CUDA_VISIBLE_DEVICES="7").communicate()
    if "cuda" not in out:
        assert re.search(r"holds GPU 7, but torch \S+, built .*, finds none with CUDA_VISIBLE_DEVICES=7; check", told)


def test_a_strange_id_stays_in_a_folder_that_is_ours_alone(tmp_path: Path) -> None:
    with holder(tmp_path, CUDA_VISIBLE_DEVICES="MIG-GPU-b7c4/1/0") as (_, device):
        assert device == "MIG-GPU-b7c4/1/0"
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [re.fullmatch(r"[0-9a-f]{16}\.lock", file.name) is not None for file in folder.iterdir()] == [True]


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_folder_that_another_may_have_put_there_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / f"lorap-gpu-{os.getuid()}"
    if kind == "file":
        folder.touch(mode=0o600)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o770)
    _, told = start(tmp_path, HOLD).communicate()
    assert told.splitlines()[-1].endswith(
        f"{folder}: expected a folder that is yours alone, for the locks of GPUs; remove it"
    )
