"""`lorap compare` finds every number, text and row that differs from known results, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from lorap.artifacts import catalogue
from lorap.files import write_json
from lorap.report.read.results import read_results
from lorap.report.tables.all_tables import make_tables
from lorap.report.tables.formats import write_table
from lorap.report.tables.tuning_tables import CHANGE
from lorap.workflow.comparison import compare
from lorap.workflow.snapshot import Tables
from tests.command import call, fault, succeed
from tests.comparing import AUTHOR, CELL, Edit, edited, git, put, told
from tests.results_folder import fill, small_spec

PUBLISHED = "lihuang258/LoRAP@4e34b7f figures/eval_result.png"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results whose tables are those of made-up measurements."""
    spec, results = small_spec(), tmp_path_factory.mktemp("known") / "results"
    folder = fill(spec, tmp_path_factory.mktemp("made"))
    (results / "small/report").mkdir(parents=True)
    for name, table in make_tables(spec, read_results(spec, folder), folder).items():
        write_table(table, results / "small/report" / name, catalogue.TABLES[name], spec.report.digits)
    write_json(results / "small" / catalogue.METRICS, {CELL: {"wikitext2": 105.25}})
    (results / "small" / catalogue.SWEEP).write_text(f"cell,text,perplexity\n{CELL},wikitext2,105.25\n")
    return results


@pytest.fixture
def checkout(known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The report's folder in a git checkout in which just these results are committed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(known, "results")
    grid = {"models": ["smollm2-135m-instruct"], "calibration": "pydoc-32x128", "cells": [], "perplexity": ["pydoc"]}
    Path("params.yaml").write_text(json.dumps({"active": ["small"], "grids": {"small": grid, "other": grid}}))
    git("init", "--quiet")
    git("add", "results")
    git(*AUTHOR, "commit", "--quiet", "--message", "results")
    return Path("results/small/report")


def test_the_same_results_differ_in_nothing(checkout: Path) -> None:
    lines, within, numbers = told(call("compare"))
    assert (lines, within) == ([], numbers)
    assert numbers > 200
    assert succeed("compare", "--with", "results", "--tolerance", 0).endswith("within 0 % of results\n")


def test_other_versions_are_told_where_numbers_differ_and_only_there(checkout: Path) -> None:
    meta = {"versions": {"python": "3.11.7", "torch": "2.13.0"}, "device": "A"}
    write_json(checkout / catalogue.PROVENANCE, {"compress": meta, "tune": meta | {"device": "B"}, "other": {}})
    git("add", "results")
    git(*AUTHOR, "commit", "--quiet", "--message", "provenance")
    versions = {"python": "3.12.1", "torch": "2.13.0"}
    write_json(checkout / catalogue.PROVENANCE, {"compress": meta | {"versions": versions, "device": "B"}})
    assert told(call("compare"))[0] == []
    put("main.csv", "wikitext2", "999")(checkout)
    assert told(call("compare"))[0][-1] == "made with python 3.12.1 (was 3.11.7), device B (was A and B)"
    (checkout / catalogue.PROVENANCE).write_text("[]")
    assert fault(call("compare")) == "results/small: provenance.json is not what lorap writes; make the report again"


def test_measured_times_may_differ(checkout: Path) -> None:
    put("timing.csv", "memory MiB", "77")(checkout)
    (checkout / "tuning_cost.csv").unlink()
    assert told(call("compare"))[0] == []


W = f"main.csv: {CELL}: wikitext2: was 102.25, is"
SOURCE = "this run, ptb on the first 400 windows"


@pytest.mark.parametrize(
    ("edit", "line", "missed"),
    [
        (put("main.csv", "wikitext2", "103.1"), f"{W} 103.1 (+0.831%)", 0),
        (put("main.csv", "wikitext2", "101.1"), f"{W} 101.1 (-1.125%, beyond)", 1),
        (put("main.csv", "wikitext2", ""), f"{W} empty", 1),
        (put("main.csv", "wikitext2", "inf"), f"{W} inf (+inf%, beyond)", 1),
        (put("main.csv", "wikitext2", "nan"), f"{W} nan (+nan%, beyond)", 1),
        (put("main.csv", "wikitext2", "few"), f"{W} few", 1),
        (put("main.csv", "source", "a run"), f"main.csv: {CELL}: source: was {SOURCE}, is a run", 0),
        (put("allocation.csv", "attention", "svd"), f"allocation.csv: {CELL}: attention: was awsvd, is svd", 0),
        (put("allocation.csv", "keep_least", ""), f"allocation.csv: {CELL}: keep_least: was 0.01, is empty", 0),
        (put("allocation.csv", "sparsity", "0.501"), f"allocation.csv: {CELL}: sparsity: was 0.5, is 0.501", 0),
        (edited("main.csv", lambda frame: frame.replace("15.69", "15.70")),
         f"main.csv: 0.2, no, LLaMA-7B, LoRAP, {PUBLISHED}: wikitext2: was 15.69, is 15.70 (+0.064%, beyond)", 0),
        (lambda report: write_json(report.parent / "metrics.json", {CELL: {"wikitext2": 210.5}}),
         f"metrics.json: {CELL}: wikitext2: was 105.25, is 210.5 (+100.000%, beyond)", 1),
    ],
)  # fmt: skip
def test_what_differs_is_told(checkout: Path, edit: Edit, line: str, missed: int) -> None:
    before = told(call("compare"))[1]
    edit(checkout)
    lines, within, numbers = told(call("compare"))
    assert (lines, within, numbers) == ([line], before - missed, before)


def test_rows_and_tables_of_one_side_alone_are_told(checkout: Path) -> None:
    put("main.csv", "cell", f"{CELL}/more")(checkout)
    (checkout / "cost.csv").unlink()
    lines, within, numbers = told(call("compare"))
    assert lines == [
        "cost.csv: was there, is no such table",
        f"main.csv: {CELL}: was there, is no such row",
        f"main.csv: {CELL}/more: was no such row, is there",
    ]
    assert within == numbers


def test_a_difference_of_numbers_that_are_compared_is_not_compared_again(checkout: Path) -> None:
    edited("tuning.csv", lambda frame: frame.assign(**{f"wikitext2, {CHANGE}": "-3"}))(checkout)
    assert told(call("compare"))[0] == []


def test_measured_numbers_are_counted_once_each_and_published_ones_not() -> None:
    head = "sparsity,tuned,model,method,wikitext2,ptb,parameters kept,source,cell\n"
    text = head + "0.5,no,small,lorap,9.5,,0,this run,small/lorap-0.5\n0.5,no,LLaMA-7B,LoRAP,56.96,7,,paper,\n"
    found = compare(Tables("one", {"main.csv": text}), Tables("other", {"main.csv": text.replace(",0,", ",1,")}), 0.5)
    assert (found.within, found.numbers) == (1, 2)
    assert [str(difference) for difference in found.differences] == [
        "main.csv: small/lorap-0.5: parameters kept: was 0, is 1 (+inf%, beyond)"
    ]


def test_a_folder_and_a_revision_are_known_results_alike(checkout: Path, known: Path) -> None:
    put("main.csv", "wikitext2", "204.5")(checkout)
    git("tag", "published")
    git(*AUTHOR, "commit", "--quiet", "--all", "--message", "new")
    assert told(call("compare"))[0] == []
    for reference in ("published", known):
        printed = json.loads(call("compare", "--grid", "small", "--with", reference, "--json").out)["small"]
        assert (printed["with"], printed["numbers"] - printed["within"]) == (str(reference), 1)
        assert [difference["now"] for difference in printed["differences"]] == ["204.5"]
        assert call("compare", "--with", reference).out.startswith(f"small: {W} 204.5 (+100.000%, beyond)\n")
    assert call("compare", "--results", known, "--with", "published").code == 0


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--with", "nope"], "--with nope: no such git revision, and no folder"),
        (["--with=--output=x"], "--with --output=x: no such git revision, and no folder"),
        (["--grid", "dmeo"], "grid: unknown name 'dmeo', expected one of "),
        (["--grid", "other"], "--with HEAD: it has no tables in results/other"),
        (["--with", "."], "small: no tables there; make them with "),
        (["--results", "elsewhere"], "elsewhere/small: no tables there; make them with 'snakemake' or 'lorap report"),
        (["--tolerance", "-1"], "--tolerance: got -1, expected a share of at least 0, such as 0.01"),
    ],
)
def test_what_cannot_be_compared_is_refused(checkout: Path, options: list[str], line: str) -> None:
    assert fault(call("compare", *options)).startswith(line)


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("report/ffn.csv", "model,ffn\nsmall,prune\n", "ffn.csv {}, it has no column cell; make the report again"),
        ("report/ffn.csv", "cell,ffn\nsmall\n", "ffn.csv {}, a row is not as long as its head"),
        ("report/ffn.csv", "cell,ffn\na,b\na,b\n", "ffn.csv {}, two rows are of a;"),
        ("metrics.json", "[1]", "metrics.json {} ("),
        ("metrics.json", "{", "metrics.json {} ("),
    ],
)
def test_a_table_of_another_form_is_refused(checkout: Path, file: str, text: str, line: str) -> None:
    (checkout.parent / file).write_text(text)
    told = line.format("is not what this version of lorap writes")
    assert fault(call("compare")).startswith(f"results/small: {told}")


def test_outside_of_a_checkout_a_folder_is_asked_for(known: Path, checkout: Path) -> None:
    shutil.rmtree(".git")
    assert fault(call("compare")).startswith(f"--with HEAD: {Path.cwd()} is in no git checkout; give a folder")
    assert call("compare", "--with", known).code == 0
