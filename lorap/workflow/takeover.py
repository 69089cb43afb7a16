"""Taking over artifacts that came from a remote or another checkout, so that the workflow makes the others alone."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from lorap.errors import LorapError
from lorap.workflow.expected import Artifact

LAST_WORDS = 12  # lines


def take_over(grid: str, fresh: Iterable[Artifact]) -> None:
    """Has Snakemake regard artifacts as up to date, with today's settings: times of files say nothing after a download.

    Args:
        grid: Name of the grid.
        fresh: Its artifacts that are what the settings say, with all that they are made of.

    Raises:
        LorapError: Snakemake refuses, as it does while another run is going on.
    """
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--config",
        f"active=[{grid}]",
        "--touch",
        "--forceall",
        "--",
    ]
    done = subprocess.run(
        [*command, *(str(artifact.meta) for artifact in fresh)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise LorapError("\n".join(["snakemake --touch failed, its last words:", *said[-LAST_WORDS:]]))


def drop(artifact: Artifact) -> None:
    """Removes the meta, without which the workflow makes an artifact anew."""
    artifact.meta.unlink(missing_ok=True)


def require_workflow() -> None:
    """Raises a LorapError where the working folder has no workflow."""
    if not Path("Snakefile").is_file():
        raise LorapError("Snakefile: no such file; 'lorap adopt' works in the folder of the workflow")
