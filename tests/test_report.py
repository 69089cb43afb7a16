"""Tables from result files: nothing invented, nothing stale, published numbers as they were published."""

import json
from pathlib import Path

import pandas as pd
import pytest

from lorap.config import load_params, parse_params
from lorap.grid import all_cells, report_spec
from lorap.report import catalogue
from lorap.report.build import build_report
from lorap.report.formats import readable, write_table
from lorap.report.published import MAIN_TABLE, number, published_main, published_statistics, read_published
from lorap.report.results import read_results
from lorap.report.tables import TABLES
from lorap.specs import ReportSpec

TEXT = "wikitext2"


@pytest.fixture
def spec() -> ReportSpec:
    """A grid of the published model with two methods, on a published text."""
    raw = load_params().model_dump()
    raw["grids"]["two"] = {
        "models": ["llama-7b"],
        "calibration": "bookcorpus-128x128",
        "cells": [{"methods": ["lorap", "lorap-1to1"], "sparsities": [0.2, 0.5]}],
        "perplexity": [TEXT],
    }
    return report_spec(parse_params(raw, "test"), "two")


@pytest.fixture
def folder(spec: ReportSpec, tmp_path: Path) -> Path:
    """Result files whose perplexity is 10 plus ten times the sparsity; the last cell has none."""
    for cell in all_cells(spec.grid)[:-1]:
        place = tmp_path / "evaluate" / cell.path
        place.mkdir(parents=True)
        (place / "perplexity.json").write_text(json.dumps({TEXT: {"perplexity": 10 + 10 * cell.sparsity}}))
        timing = [{"batch": 1, "prefill_seconds": 0.5, "decode_tokens_per_second": 20.0}]
        cost = {"parameters": 100, "macs": 1000, "peak_memory_bytes": 2**20, "batches": timing}
        (place / "cost.json").write_text(json.dumps(cost))
    return tmp_path


def rows_of(table: pd.DataFrame, method: str, sparsity: float, model: str = "llama-7b") -> pd.Series:
    found = table[(table.method == method) & (table.sparsity == sparsity) & (table.model == model)]
    assert len(found) == 1
    return found.iloc[0]


def test_the_difference_is_ours_minus_the_published_value_of_the_same_cell(spec: ReportSpec, folder: Path) -> None:
    table = TABLES["main"](spec, read_results(spec, folder))
    assert rows_of(table, "dense", 0)[f"{TEXT} difference"] == pytest.approx(10 - 12.62)
    assert rows_of(table, "lorap", 0.2)[f"{TEXT} difference"] == pytest.approx(12 - 15.69)
    assert pd.isna(rows_of(table, "lorap-1to1", 0.2)[f"{TEXT} difference"]), "nothing is published of this method"


def test_a_cell_that_was_not_run_is_empty_not_guessed(spec: ReportSpec, folder: Path) -> None:
    results = read_results(spec, folder)
    for name in ("main", "cost", "timing"):
        table = TABLES[name](spec, results)
        row = rows_of(table, "lorap-1to1", 0.5).drop(["sparsity", "model", "method", "source"])
        assert row.isna().all(), name


def test_results_outside_the_grid_are_not_read(spec: ReportSpec, folder: Path) -> None:
    stray = folder / "evaluate/llama-7b/bookcorpus-128x128/lorap-0.3"
    stray.mkdir()
    (stray / "perplexity.json").write_text(json.dumps({TEXT: {"perplexity": 1.0}}))
    assert 0.3 not in set(read_results(spec, folder).sparsity)


def test_an_ablation_holds_only_cells_that_differ_in_what_it_varies(spec: ReportSpec, folder: Path) -> None:
    results = read_results(spec, folder)
    assert set(TABLES["allocation"](spec, results).allocation) == {1, 3}
    assert TABLES["ffn"](spec, results).empty


def test_every_published_row_is_in_the_main_table_with_its_source(spec: ReportSpec, folder: Path) -> None:
    table = TABLES["main"](spec, read_results(spec, folder))
    published = table[table.source != "this run"]
    assert len(published) == len(published_main())
    raw = read_published()
    raw = raw[raw.table == MAIN_TABLE].set_index(["model", "method", "sparsity", "task", "tuned"])["value"]
    for row in published[published.method != "dense"].itertuples():
        assert float(raw[row.model, row.method, row.sparsity, TEXT, "no"]) == row.wikitext2


def test_published_counts_and_units_are_read_as_numbers() -> None:
    table = published_statistics()
    dense = table[table.method == "dense"].iloc[0]
    assert (dense.parameters, dense.macs_64_tokens, dense.memory, dense.latency) == (6.74e9, 424.02e9, 12884.5, 69.32)
    assert number("15.69") == 15.69


def test_a_report_is_written_whole_and_the_same_twice(spec: ReportSpec, folder: Path) -> None:
    build_report(spec, folder)
    files = [folder / "report" / name for name in catalogue.report_files()]
    first = [file.read_bytes() for file in files]
    build_report(spec, folder)
    assert [file.read_bytes() for file in files] == first
    assert not list(folder.glob(".*partial*"))


def test_numbers_are_shown_as_a_person_reads_them() -> None:
    shown = [readable(value, 2) for value in (float("nan"), None, 0.2, 0.0567, 15.69, 613001.8, 6738415616, 0.01, "x")]
    assert shown == ["", "", "0.2", "0.0567", "15.69", "613,001.80", "6,738,415,616", "0.01", "x"]


def test_latex_tables_escape_what_latex_would_read(tmp_path: Path) -> None:
    table = pd.DataFrame({"keep_least": [0.01], "source": ["figures/eval_result.png & 100 %"]})
    write_table(table, tmp_path / "table", "90 % of keep_least", 2)
    latex = (tmp_path / "table.tex").read_text()
    assert r"90 \% of keep\_least" in latex
    assert r"figures/eval\_result.png \& 100 \%" in latex
