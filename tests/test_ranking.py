"""The ranking: one budget, means over seeds, what compressing took; whoever removed another share stands apart."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lorap.artifacts import catalogue
from lorap.artifacts.grid import Cell, recovered_cells
from lorap.artifacts.specs import ReportSpec
from lorap.report.page.origins import Origins
from lorap.report.read.facts import read_provenance
from lorap.report.read.removed_share import on_budget
from lorap.report.read.results import read_results
from lorap.report.tables.all_tables import make_tables
from lorap.report.tables.sourced import Table, records
from tests.results_folder import CALIBRATION, DENSE_PARAMETERS, LINEARS, META, MODEL, fill, perplexity, small_spec

SEEDS = [CALIBRATION, f"{CALIBRATION}-seed1", f"{CALIBRATION}-seed2"]
TEXTS = ["wikitext2", "ptb-400", "wikitext2-2048"]
METHODS = ["llm-pruner", "lorap", "lorap-plus", "svd"]
CELLS: list[dict[str, Any]] = [
    {"methods": METHODS, "sparsities": [0.5], "calibrations": SEEDS},
    {"methods": ["lorap", "svd"], "sparsities": [0.5], "calibrations": ["wikitext2-128x128"]},
    {"methods": ["lorap"], "sparsities": [0.2]},
]


@pytest.fixture
def spec() -> ReportSpec:
    return small_spec(cells=CELLS)


@pytest.fixture
def folder(spec: ReportSpec, tmp_path: Path) -> Path:
    return fill(spec, tmp_path / "results" / "small")


def made(spec: ReportSpec, folder: Path) -> tuple[Table, Table]:
    tables = make_tables(spec, read_results(spec, folder), folder)
    return tables["ranking"], tables["unranked"]


def cell(method: str, calibration: str = CALIBRATION) -> Cell:
    return Cell(MODEL, calibration, method, 0.5)


def rows_of(table: Table, corpus: str = "bookcorpus") -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in records(table.frame) if row["corpus"] == corpus}


def remove(folder: Path, method: str, points: float) -> None:
    """Makes a method's models those that have lost so many percent of the decoder's linears."""
    for seed in SEEDS:
        file = folder / "evaluate" / cell(method, seed).path / "cost.json"
        size = DENSE_PARAMETERS - round(points / 100 * LINEARS)
        file.write_text(json.dumps(json.loads(file.read_text()) | {"parameters": size}))


def test_methods_are_ranked_by_the_mean_over_seeds_of_what_they_have_over_all_texts(
    spec: ReportSpec, folder: Path
) -> None:
    ranking = rows_of(made(spec, folder)[0])
    means: dict[str, float] = {}
    for method in METHODS:
        seeds = [math.prod(perplexity(spec, cell(method, seed), text) for text in TEXTS) ** (1 / 3) for seed in SEEDS]
        means[method] = statistics.fmean(seeds)
        assert ranking[method]["all texts"] == pytest.approx(means[method])
        assert ranking[method]["all texts deviation"] == pytest.approx(statistics.stdev(seeds))
    assert [(row["rank"], name) for name, row in ranking.items()] == list(
        enumerate(sorted(METHODS, key=lambda name: means[name]), 1)
    )
    values = [perplexity(spec, cell("svd", seed), "ptb-400") for seed in SEEDS]
    assert ranking["svd"]["ptb-400"] == pytest.approx(statistics.fmean(values))
    assert ranking["svd"]["calibrations"] == 3
    assert 0.2 not in made(spec, folder)[0].frame.sparsity.unique(), "one method alone is no ranking"


def test_another_budget_is_apart_with_its_own_share_and_takes_no_rank(spec: ReportSpec, folder: Path) -> None:
    remove(folder, "lorap", 49.4)
    ranking, apart = made(spec, folder)
    assert [row["rank"] for row in rows_of(ranking).values()] == [1, 2, 3]
    assert "lorap" not in rows_of(ranking)
    assert rows_of(apart)["lorap"]["removed %"] == pytest.approx(49.4)
    assert "rank" not in apart.frame
    assert set(rows_of(ranking, "wikitext2")) == {"lorap", "svd"}, "with other windows it is within the budget"


@pytest.mark.parametrize(
    ("sparsity", "lost", "ranked"),
    [
        (0.5, [50.2, 50.1, 49.9, 49.8], [50.1, 49.9]),  # equally many nearer to the target
        (0.5, [49.8, 50.2, 50.1], [50.2, 50.1]),
        (0.5, [49.7, 50.3], []),
        (0.2, [20.05, 19.58, 19.98, 20.2], [20.05, 19.98]),  # 19.58 is what published rounding leaves of 20
        (0.5, [float("nan"), 50.0], [50.0]),
        (0.5, [], []),
    ],
)
def test_ranked_methods_are_near_the_target_and_near_each_other(
    sparsity: float, lost: list[float], ranked: list[float]
) -> None:
    series = pd.Series(lost, dtype=float)
    assert list(series[on_budget(series, sparsity)]) == ranked


def test_tuned_methods_are_ranked_by_what_compressing_has_removed(tmp_path: Path) -> None:
    """An adapter beside dense weights stores more than the factors that it was made on."""
    cells = [{"methods": ["lorap", "svd"], "sparsities": [0.5], "tune": ["alpaca"], "kept_as": ["adapter"]}]
    spec = small_spec(cells=cells)
    folder = fill(spec, tmp_path / "results" / "small")
    for tuned in recovered_cells(spec.grid):
        file = folder / "evaluate" / tuned.path / "cost.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"parameters": DENSE_PARAMETERS}))
    ranking = made(spec, folder)[0].frame
    of = {kind: table.set_index("method") for kind, table in ranking.groupby(ranking.tuned == "no")}
    assert of[False]["removed %"].to_dict() == of[True]["removed %"].to_dict()
    assert of[False]["removed %"].to_dict() == pytest.approx({"lorap": 50, "svd": 50})
    assert set(of[False].parameters) == {DENSE_PARAMETERS}


def test_gradients_and_domain_follow_from_the_parts_and_the_corpora(spec: ReportSpec, folder: Path) -> None:
    ranking = made(spec, folder)[0]
    books, wiki = rows_of(ranking), rows_of(ranking, "wikitext2")
    assert {name: row["gradients"] for name, row in books.items()} == dict.fromkeys(METHODS, "no") | {
        "llm-pruner": "yes"
    }
    assert {row["in domain"] for row in books.values()} == {"no"}
    assert {row["in domain"] for row in wiki.values()} == {"wikitext2, wikitext2-2048"}


def test_what_compressing_took_counts_the_survey_and_reads_the_workflows_benchmarks(
    spec: ReportSpec, folder: Path
) -> None:
    for seed, (own, survey) in zip(SEEDS, [(900, 1500), (1200, 1500), (2100, 1500)], strict=True):
        (folder / f"survey/{MODEL}").mkdir(parents=True, exist_ok=True)
        (folder / f"survey/{MODEL}/{seed}.safetensors.meta.json").write_text(json.dumps(META | {"wall_seconds": 7}))
        for name, peak in ((f"compress/{cell('lorap-plus', seed).path}", own), (f"survey/{MODEL}/{seed}", survey)):
            file = folder.parents[1] / "logs/small" / f"{name}.tsv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"s\th:m:s\tmax_rss\tmax_vms\n5.0\t0:00:05\t{peak}\t-\n")
    table = made(spec, folder)[0]
    rows = rows_of(table)
    assert rows["lorap-plus"]["compress s"] == pytest.approx(7 + META["wall_seconds"])
    assert rows["lorap"]["compress s"] == pytest.approx(META["wall_seconds"])
    assert rows["lorap-plus"]["compress MiB"] == 1700
    assert pd.isna(rows["lorap"]["compress MiB"]), "it has no benchmark"
    place = next(key for key in table.origins if key[1] == "compress s")
    origins = Origins(spec, read_provenance(spec, folder))
    facts = [fact for group in origins.groups[origins.number(table.origins[place])] for fact in origins.facts[group]]
    assert ("measured", "while compressing") in facts


def test_what_is_timed_with_another_calibration_is_counted_from_its_plan(spec: ReportSpec, folder: Path) -> None:
    for seed in SEEDS[1:]:
        for name in ("cost.json", "cost.json.meta.json"):
            (folder / "evaluate" / cell("svd", seed).path / name).unlink()
    rows = {row["cell"]: row for row in records(read_results(spec, folder))}
    dense, timed, counts = (rows[path] for path in (Cell(MODEL).path, cell("svd").path, cell("svd", SEEDS[1]).path))
    assert timed["prefill_seconds_1"] > 0
    assert pd.isna(counts["prefill_seconds_1"])
    assert 0 < dense["parameters"] - counts["parameters"] < dense["parameters"]
    table = made(spec, folder)[1]  # the plans in this folder lose another share than the timed one
    place = next(key for key in table.origins if table.frame.method[key[0]] == "svd" and key[1] == "parameters")
    origins = Origins(spec, read_provenance(spec, folder))
    facts = [fact for group in origins.groups[origins.number(table.origins[place])] for fact in origins.facts[group]]
    assert any(name == "counted" for name, _ in facts)


def test_what_is_not_measured_is_not_ranked(spec: ReportSpec, folder: Path) -> None:
    for seed in SEEDS:
        (folder / "evaluate" / cell("svd", seed).path / "perplexity.json").unlink()
        (folder / "evaluate" / cell("lorap", seed).path / "cost.json").unlink()
        (folder / "compress" / cell("lorap", seed).path / "config.json").unlink()
    ranking, apart = made(spec, folder)
    assert set(rows_of(ranking)) == {"llm-pruner", "lorap-plus"}
    assert set(rows_of(apart)) == {"svd", "lorap"}
    assert pd.isna(rows_of(apart)["lorap"]["removed %"])


def test_a_table_with_times_is_none_that_a_second_run_must_repeat() -> None:
    assert {"ranking", "unranked"} <= set(catalogue.MEASURED_TABLES) & set(catalogue.TABLES)


@pytest.mark.parametrize("cells", [[], CELLS[2:]])
def test_a_grid_with_nothing_to_compare_has_no_ranking(tmp_path: Path, cells: list[dict[str, Any]]) -> None:
    spec = small_spec(cells=cells)
    assert [table.frame.empty for table in made(spec, fill(spec, tmp_path))] == [True, True]
