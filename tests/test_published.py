"""Published numbers: as they were published, beside what is measured, subtracted only from the same thing."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lorap.artifacts.grid import Cell
from lorap.report.read.published import (
    RIVAL_VALUES,
    SAME,
    VALUES,
    number,
    published_main,
    published_rivals,
    published_statistics,
    read_published,
)
from lorap.report.read.results import read_results
from lorap.report.read.scores import SEVEN
from lorap.report.tables.main_table import main_table
from lorap.report.tables.rivals import rivals_table
from tests.results_folder import CALIBRATION, MODEL, fill, perplexity, small_spec

LORAP_TABLE = "LoRAP README main table (LLaMA-7B)"


@pytest.mark.parametrize(
    ("sparsity", "tuned", "wikitext2", "ptb", "average"),
    [
        (0.2, "no", 15.69, 25.86, 60.53),
        (0.2, "yes", 16.35, 27.06, 61.71),
        (0.5, "no", 56.96, 87.71, 47.25),
        (0.5, "yes", 30.90, 48.84, 52.17),
    ],
)
def test_the_papers_own_rows(sparsity: float, tuned: str, wikitext2: float, ptb: float, average: float) -> None:
    rows = published_main([])
    row = rows[(rows.method == "LoRAP") & (rows.sparsity == sparsity) & (rows.tuned == tuned)]
    assert row[["wikitext2", "ptb", "average"]].to_numpy().tolist() == [[wikitext2, ptb, average]]


def test_every_published_value_is_that_of_its_source() -> None:
    raw = read_published()
    keys = ["model", "sparsity", "tuned", "method", "task"]
    raw = raw.assign(method=raw.method.replace(SAME)).set_index(keys)[["source", "value"]].sort_index()
    for row in published_main(["llama-13b", "vicuna-7b"]).to_dict("records"):
        for task in (name for name in VALUES if pd.notna(row[name])):
            place = (row["model"], row["sparsity"], row["tuned"].removeprefix("yes: "), row["method"], task)
            found = raw.loc[[place]]
            values = found[found.source.isin(row["source"].split("; "))]["value"]
            assert row[task] in [float(value) for value in values], place


def test_all_of_the_papers_table_is_there_and_what_others_repeat_is_not() -> None:
    raw = read_published()
    rows = published_main([])
    papers = rows[rows.source.str.startswith("lihuang258/LoRAP")]
    assert papers[VALUES].notna().sum().sum() == (raw.table == LORAP_TABLE).sum()
    dense = rows[(rows.model == "LLaMA-7B") & (rows.method == "dense")]
    assert len(dense) == 1, "three sources print the same dense row"
    assert {"FLAP", "Wanda-sp", "LoRAPrune", "LoRAShear", "LLM-Pruner"} <= set(rows.method)


def test_other_models_are_shown_only_where_the_grid_has_them() -> None:
    assert set(published_main([]).model) == {"LLaMA-7B"}
    assert set(published_main(["vicuna-7b", "llama-2-7b"]).model) == {"LLaMA-7B", "Vicuna-7B"}
    assert set(published_main(["Vicuna-7B"]).model) == {"LLaMA-7B", "Vicuna-7B"}, "however the grid writes it"


def test_published_counts_and_units_are_read_as_numbers() -> None:
    table = published_statistics()
    dense = table[table.method == "dense"].iloc[0]
    assert (dense.parameters, dense.macs_64_tokens, dense.memory, dense.latency) == (6.74e9, 424.02e9, 12884.5, 69.32)
    assert number("15.69") == 15.69


def main(folder: Path, documents: int | None = None, **changes: object) -> pd.DataFrame:
    """The main table of the small grid, changed; measured rows by their cell."""
    spec = small_spec(documents, **changes)
    return main_table(spec, read_results(spec, fill(spec, folder))).frame


def test_the_difference_is_ours_minus_the_published_value_of_the_same_cell(tmp_path: Path) -> None:
    spec = small_spec()
    rows = main(tmp_path).dropna(subset=["cell"]).set_index("cell")
    lorap = Cell(MODEL, CALIBRATION, "lorap", 0.2)
    adapter = replace(lorap, tuning="alpaca", kept_as="adapter")
    for cell, published in ((Cell(MODEL), 12.62), (lorap, 15.69), (adapter, 16.35)):
        expected = perplexity(spec, cell, "wikitext2") - published
        assert rows.loc[cell.path, "wikitext2 difference"] == pytest.approx(expected), cell
    difference = rows["wikitext2 difference"]
    assert pd.isna(difference[replace(adapter, kept_as="exact").path]), "published rows are measured with the adapter"
    assert difference[[f"{MODEL}/{CALIBRATION}/svd-0.2", f"{MODEL}/{CALIBRATION}/lorap-1to1-0.5"]].isna().all()
    assert rows["boolq difference"][lorap.path] == pytest.approx(rows["boolq"][lorap.path] - 71.93)


def test_another_tuning_than_the_published_one_is_not_subtracted(tmp_path: Path) -> None:
    block = {"methods": ["lorap"], "sparsities": [0.2], "tune": ["alpaca", "alpaca-1k"]}
    rows = main(tmp_path, cells=[block]).dropna(subset=["cell"]).set_index("tuned")
    difference = rows["wikitext2 difference"]
    assert pd.notna(difference["yes: alpaca, adapter"])
    assert pd.isna(difference["yes: alpaca-1k, adapter"])


def test_another_model_has_no_difference(tmp_path: Path) -> None:
    assert not [name for name in main(tmp_path, models=["llama-2-7b"]).columns if "difference" in name]


def test_part_of_a_text_or_task_is_shown_and_named_but_not_subtracted(tmp_path: Path) -> None:
    rows = main(tmp_path, documents=100)
    assert "ptb difference" not in rows
    assert not [task for task in SEVEN if f"{task} difference" in rows]
    source = rows.dropna(subset=["cell"]).source.unique()
    assert list(source) == ["this run, ptb on the first 400 windows, the tasks on 100 documents of each"]


def test_a_text_in_other_windows_has_a_column_of_its_own(tmp_path: Path) -> None:
    rows = main(tmp_path, perplexity=["wikitext2-2048"])
    assert rows[rows.cell.notna()]["wikitext2"].isna().all()
    assert rows[rows.cell.notna()]["wikitext2-2048"].notna().all()
    assert rows[rows.cell.isna()]["wikitext2-2048"].isna().all()


def test_blocks_go_by_sparsity_then_without_and_with_tuning(tmp_path: Path) -> None:
    rows = main(tmp_path)
    order = list(zip(rows.sparsity, rows.tuned != "no", rows.cell.isna(), strict=True))
    assert order == sorted(order)


def test_what_was_published_by_another_protocol_is_in_no_table_with_measured_rows(tmp_path: Path) -> None:
    raw = read_published()
    others = set(raw[raw.protocol.notna()].source)
    rows = main(tmp_path, models=[MODEL, "llama-2-7b", "vicuna-7b"])
    assert {source for joined in rows.source for source in joined.split("; ")} & others == set()
    spec = small_spec(models=["llama-2-7b"])
    rivals = rivals_table(spec, read_results(spec, tmp_path))
    assert rivals.frame.cell.isna().all()
    assert set(rivals.frame.model) == {"LLaMA-7B", "LLaMA-2-7B"}


def test_every_rivals_number_is_there_with_its_source_and_protocol() -> None:
    raw = read_published()
    raw = raw[raw.protocol.notna() & raw.model.isin(["LLaMA-7B", "LLaMA-2-7B", "Vicuna-7B"])]
    rows = published_rivals(["llama-2-7b", "vicuna-7b"])
    assert rows[RIVAL_VALUES].notna().sum().sum() == len(raw) == 447
    row = rows[(rows.method == "Zero-Sum-SVD") & (rows.sparsity == 0.4)].iloc[0]
    assert (row["wikitext2"], row["c4"]) == (11.856, 37.653)
    assert row["source"].startswith("Zishan-Shao/lowrankarena@54bd750 and @298842c results/eval/*.json; 2048 tokens")
    grail = rows[(rows.method == "FLAP + GRAIL") & (rows.sparsity == 0.5)]
    assert len(grail) == 1, "one protocol, one row, whatever text it is of"
