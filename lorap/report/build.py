"""A report: every table and figure of a grid, from its result files alone (``lorap report``)."""

import shutil
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from lorap.files import new_file, write_json
from lorap.report import catalogue
from lorap.report.figures import FIGURES, STYLE, write_figure
from lorap.report.formats import write_table
from lorap.report.results import read_provenance, read_results
from lorap.report.tables import TABLES
from lorap.specs import ReportSpec


def build_report(spec: ReportSpec, folder: Path) -> str:
    """Writes ``folder``/report, metrics.json and sweep.csv; returns the main table in Markdown.

    Args:
        spec: The grid and what it uses.
        folder: The results of the grid.
    """
    results = read_results(spec, folder)
    out = folder / "report"
    partial = folder / ".report.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "figures").mkdir(parents=True)
    for name, title in catalogue.TABLES.items():
        write_table(TABLES[name](spec, results), partial / name, title, spec.report.digits)
    for name in catalogue.FIGURES:
        with mpl.rc_context(STYLE):
            write_figure(FIGURES[name](spec, results, folder), partial / "figures" / name, spec.report.dpi)
    write_json(partial / catalogue.PROVENANCE, read_provenance(spec, folder))
    for file in catalogue.report_files():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (partial / file).rename(out / file)
    shutil.rmtree(partial)
    _write_metrics(spec, results, folder)
    return (out / "main.md").read_text(encoding="utf-8")


def _write_metrics(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> None:
    """What ``dvc metrics`` and ``dvc plots`` show: perplexities by cell, and all of them in one long table."""
    main = results[(results.method == "dense") | (results.calibration == spec.grid.calibration)]
    metrics: dict[str, dict[str, float]] = {}
    for row in main.to_dict("records"):
        cell = f"{row['model']}/{row['method']}-{row['sparsity']:g}"
        metrics[cell] = {name: round(row[name], 4) for name in spec.perplexity if pd.notna(row[name])}
    write_json(folder / catalogue.METRICS, metrics)
    sweep = main.melt(["model", "method", "sparsity"], list(spec.perplexity), "text", "perplexity").dropna()
    with new_file(folder / catalogue.SWEEP) as partial:
        sweep.to_csv(partial, index=False, lineterminator="\n", float_format="%.6g")
