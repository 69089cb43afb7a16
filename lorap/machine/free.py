"""How much memory a process may still take."""

import resource
from pathlib import Path

import torch

MEMINFO, OWN_GROUP, GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
STATUS = Path("/proc/self/status")


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device; of the CPU's, what its limits leave to this process."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_available(), _left_by_group(), _left_by_limit())


def _available() -> int:
    """What the machine has, without swapping; without a word from the system, all that can be addressed."""
    return _kilobytes(MEMINFO, "MemAvailable:") if MEMINFO.exists() else 2**62


def _left_by_group() -> int:
    """What the control group of this process leaves of its limit, files that are only kept in memory not counted."""
    group = OWN_GROUP.read_text().rpartition(":")[2].strip().lstrip("/") if OWN_GROUP.exists() else ""
    left = 2**62
    for folder in (GROUPS / group, *(GROUPS / group).parents):
        limit, used = folder / "memory.max", folder / "memory.current"
        if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
            left = min(left, int(most) - int(used.read_text()) + _kept_files(folder / "memory.stat"))
    return left


def _kept_files(statistics: Path) -> int:
    """What of a group's memory is pages of files, which the system takes back when memory runs short."""
    lines = (line.split() for line in statistics.read_text().splitlines()) if statistics.exists() else ()
    return sum(int(size) for name, size in lines if name in ("active_file", "inactive_file"))


def _left_by_limit() -> int:
    """What ``ulimit -d`` leaves of the data of this process."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or not STATUS.exists():
        return 2**62
    return most - _kilobytes(STATUS, "VmData:")


def _kilobytes(file: Path, key: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in file.read_text().splitlines() if line.startswith(key))
