"""How numbers and notes of a table are written for a reader, and for a program."""

from pathlib import Path

import pandas as pd

from lorap.report.tables.formats import readable, write_table
from lorap.report.tables.sourced import Table


def test_numbers_are_shown_as_a_person_reads_them() -> None:
    shown = [readable(value, 2) for value in (float("nan"), None, 0.2, 0.0567, 15.69, 613001.8, 6738415616, 0.01, "x")]
    assert shown == ["", "", "0.2", "0.0567", "15.69", "613,001.80", "6,738,415,616", "0.01", "x"]
    assert (readable(64.0, 2), readable(64.0, 2, whole=True)) == ("64.00", "64")


def test_notes_are_numbered_below_a_table_and_whole_in_the_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"method": ["a|b", "c"], "x": [1.5, 2.0], "source": ["paper; page", "this run"], "cell": ["", "c"]}
    )
    write_table(Table(frame), tmp_path / "t", "Title", 2)
    text = (tmp_path / "t.md").read_text()
    assert r"a\|b [1] [2]" in text
    assert "\n[1] paper  \n[2] page" in text
    assert "source" not in text
    assert list(pd.read_csv(tmp_path / "t.csv").source) == ["paper; page", "this run"]
