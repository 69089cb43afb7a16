"""Freed memory that the process keeps."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from lorap.machine.heap import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
def work():
    for _ in range(50):
        (torch.ones(3_000_000) + 1).sum()  # blocks of 12 MB
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_blocks_are_used_again_without_asking_the_system() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("kept") < faults("given back") / 10
