"""Edits of a report in a git checkout, and what `lorap compare` says of them."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.command import Done
from tests.results_folder import CALIBRATION, MODEL

CELL = f"{MODEL}/{CALIBRATION}/lorap-0.5"
AUTHOR = ("-c", "user.email=test@example.org", "-c", "user.name=test")
Edit = Callable[[Path], None]


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


def edited(file: str, edit: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Edit:
    """An edit of a CSV file of the report, whose values are texts."""

    def apply(report: Path) -> None:
        frame = pd.read_csv(report / file, dtype=str, keep_default_na=False)
        changed = edit(frame)
        (frame if changed is None else changed).to_csv(report / file, index=False, lineterminator="\n")

    return apply


def put(file: str, column: str, value: str) -> Edit:
    """An edit of one value, in the row of CELL."""

    def edit(frame: pd.DataFrame) -> None:
        assert (frame.cell == CELL).sum() == 1
        frame.loc[frame.cell == CELL, column] = value

    return edited(file, edit)


def told(done: Done) -> tuple[list[str], int, int]:
    """The lines of differences, and how many numbers of how many agree."""
    *lines, last = done.out.removesuffix("\n").split("\n")
    found = re.fullmatch(r"small: (\d+) of (\d+) numbers within 1 % of HEAD(; \d+ other differences?)?", last)
    assert found, last
    beyond = int(found[2]) - int(found[1]) + int((found[3] or "; 0 ").split()[1])
    places = f"{beyond} place{'s' * (beyond > 1)}"
    assert done.err == (f"lorap: error: small: differs from HEAD in {places}\n" if beyond else "")
    assert done.code == (beyond > 0)
    return [line.removeprefix("small: ") for line in lines], int(found[1]), int(found[2])
