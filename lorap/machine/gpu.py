"""One GPU for each job of the workflow: a lock file a device, which the kernel frees when the job's process ends."""

import fcntl
import functools
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from lorap.errors import LorapError
from lorap.files import sha256_text

VISIBLE = "CUDA_VISIBLE_DEVICES"
AUTO = "LORAP_DEVICE"  # what ``--device auto`` means, for those who want another than the first GPU
DEALT = ("WORLD_SIZE", "LOCAL_RANK")  # set by torchrun, which has dealt out the devices
# Whose devices are counted from 0 each: within one of them an index means one device, across two it may mean two.
ALLOCATION = ("SLURM_JOB_ID", "SLURM_STEP_ID")
COUNT = "import torch; print(torch.cuda.device_count())"  # in a process of its own: it must not open them in ours
ID = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+")
POLL = 0.5  # seconds between two looks at the locks


def devices(nodes: Path = Path("/dev")) -> list[str]:
    """The ids of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them: indices or UUIDs.

    Those named there, up to the first that is no id, as CUDA reads it. Where the variable is not set, all that have a
    node in ``nodes``, counted from 0: a container may be given only /dev/nvidia3, which is device 0 to its processes.
    Where there are no nodes, as with ROCm and in WSL2, torch is asked.
    """
    named = os.environ.get(VISIBLE)
    if named is not None:
        return list(dict.fromkeys(takewhile(ID.fullmatch, (entry.strip() for entry in named.split(",")))))
    count = sum(node.name[6:].isdecimal() for node in nodes.glob("nvidia*"))
    return [str(index) for index in range(count or _counted_by_torch(nodes))]


def _counted_by_torch(nodes: Path) -> int:
    """Devices that torch sees where there may be some without a node of NVIDIA's; it takes seconds to ask."""
    if not any((nodes / name).exists() for name in ("kfd", "dxg")):  # of ROCm, and of WSL2
        return 0
    asked = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=False)
    return int(asked.stdout) if asked.returncode == 0 else 0


@functools.cache
def lease() -> str | None:
    """Takes a free device for this process alone, and hides the others from it; waits while all are taken.

    Must be called before CUDA is. The device stays taken until the process ends, however it ends; its children, forked
    or started, hold nothing. Only the same user's processes with the same folder for temporary files know of each
    other, and only if they name a device alike (by index or by UUID). Under Slurm they share what Slurm has given to
    their job, and nothing with other jobs, whose devices have the same indices.

    Returns:
        Its id, the only one left in CUDA_VISIBLE_DEVICES; None, and nothing is changed, where there is no device,
        LORAP_DEVICE names one, or torchrun has dealt them out.

    Raises:
        LorapError: The folder for the lock files belongs to another user, or is open to others.
    """
    found = [] if os.environ.get(AUTO) or are_dealt() else devices()
    if not found:
        return None
    folder = _private_folder()
    waits = False
    while (device := next((device for device in found if _take(folder, device)), None)) is None:
        if not waits:
            print(f"lorap: waiting for a GPU, all are taken: {', '.join(found)}", file=sys.stderr, flush=True)
        waits = True
        time.sleep(POLL)
    os.environ[VISIBLE] = device
    print(f"lorap: has GPU {device}", file=sys.stderr, flush=True)
    return device


def are_dealt() -> bool:
    """Whether torchrun has given each of its processes a device."""
    return any(os.environ.get(name) for name in DEALT)


def leased() -> str | None:
    """The device that this process has taken, if it has."""
    return lease() if lease.cache_info().currsize else None


def _take(folder: Path, device: str) -> bool:
    """Locks a device unless it is locked; the file stays open, and with it the lock, as long as the process lives."""
    name = sha256_text(" ".join([*(os.environ.get(part, "") for part in ALLOCATION), device]))[:16]
    file = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    _held.append(file)
    return True


def _let_go() -> None:
    while _held:
        os.close(_held.pop())


_held: list[int] = []
os.register_at_fork(after_in_child=_let_go)  # a forked child that outlives us would keep the lock


def _private_folder() -> Path:
    """Where the lock files are: a folder that nobody else can write into or has put there."""
    folder = Path(tempfile.gettempdir(), f"lorap-gpu-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LorapError(f"{folder}: expected a folder that is yours alone, for the locks of GPUs; remove it")
    return folder
