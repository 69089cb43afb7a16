"""A report: every table and figure of a grid, from its result files alone (``lorap report``)."""

import time
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from lorap.artifacts import catalogue
from lorap.artifacts.meta import make_meta
from lorap.artifacts.names import META
from lorap.artifacts.specs import ReportSpec
from lorap.files import new_file, private_folder, sha256_file, write_json
from lorap.report.figures.all_figures import FIGURES
from lorap.report.figures.style import STYLE, as_svg, write_figure
from lorap.report.page.webpage import page
from lorap.report.read.facts import parted, read_provenance
from lorap.report.read.results import is_main, read_results
from lorap.report.read.scores import score_columns
from lorap.report.tables.all_tables import make_tables
from lorap.report.tables.formats import exact, write_table
from lorap.report.tables.main_table import tuned_names


def build_report(spec: ReportSpec, folder: Path) -> str:
    """Writes ``folder``/report, metrics.json and sweep.csv, the meta last; returns the main table in Markdown.

    Args:
        spec: The grid and what it uses.
        folder: The results of the grid.
    """
    started = time.monotonic()
    results = read_results(spec, folder)
    out = folder / "report"
    with private_folder(out) as partial:
        tables = make_tables(spec, results, folder)
        for name, title in catalogue.TABLES.items():
            write_table(tables[name], partial / name, title, spec.report.digits)
        (partial / "figures").mkdir()
        pictures = {}
        for name in catalogue.FIGURES:
            with mpl.rc_context(STYLE):
                figure = FIGURES[name](spec, results, folder)
                write_figure(figure, partial / "figures" / name, spec.report.dpi)
                pictures[name] = as_svg(figure)
        provenance = read_provenance(spec, folder)
        lasting, measured = parted(provenance)
        write_json(partial / catalogue.PROVENANCE, lasting)
        write_json(partial / catalogue.PROVENANCE_TIMING, measured)
        html = page(spec, folder, results, tables, pictures, provenance)
        (partial / catalogue.PAGE).write_text(html, encoding="utf-8")
        (out / META).unlink(missing_ok=True)
        for file in catalogue.report_files():
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (partial / file).rename(out / file)
    _write_metrics(spec, results, folder)
    ids = {path: meta["id"] for path, meta in provenance.items() if "id" in meta}
    hashes = {name: sha256_file(folder / name) for name in catalogue.made_files()}
    write_json(out / META, make_meta(spec, ids, hashes, started))
    return (out / "main.md").read_text(encoding="utf-8")


def _write_metrics(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> None:
    """What ``dvc metrics`` and ``dvc plots`` show: the measures by cell, and all perplexities in one long table."""
    names = [*spec.perplexity, *score_columns(spec)]
    metrics = {
        row["cell"]: {name: round(row[name], 4) for name in names if pd.notna(row[name])}
        for row in results.to_dict("records")
    }
    write_json(folder / catalogue.METRICS, metrics)
    main = results[is_main(spec, results)].assign(tuned=tuned_names(results))
    keys = ["cell", "model", "method", "sparsity", "tuned"]
    sweep = main.melt(keys, list(spec.perplexity), "text", "perplexity").dropna()
    with new_file(folder / catalogue.SWEEP) as partial:
        sweep.to_csv(partial, index=False, lineterminator="\n", float_format=exact)
