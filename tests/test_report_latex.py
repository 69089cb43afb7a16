"""LaTeX tables: escaped, and compiled by a real engine."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from lorap.artifacts import catalogue
from lorap.report.build import build_report
from lorap.report.tables.formats import write_table
from lorap.report.tables.latex import escaped
from lorap.report.tables.sourced import Table
from tests.results_folder import fill, small_spec

pytestmark = pytest.mark.system

ENGINES = {"pdflatex": ["-interaction=nonstopmode", "-halt-on-error"], "tectonic": []}
PREAMBLE = r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}\begin{document}"
SPECIAL = r"a_b & 100 % of $5 #1 {x} ~y ^z <w> |v| \u"


def compiled(folder: Path, names: list[str]) -> str:
    """Compiles tables in one document; returns the engine's log."""
    engine = next((name for name in ENGINES if shutil.which(name)), None)
    if engine is None:
        pytest.skip(f"no LaTeX engine, one of {', '.join(ENGINES)}")
    body = [rf"\input{{{name}.tex}}\clearpage" for name in names]
    (folder / "all.tex").write_text("\n".join([PREAMBLE, *body, r"\end{document}"]))
    command = [engine, *ENGINES[engine], "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "all.pdf").stat().st_size > 0
    return done.stdout


def test_all_tables_compile_in_one_document_and_fit_its_page(tmp_path: Path) -> None:
    spec = small_spec()
    build_report(spec, fill(spec, tmp_path))
    log = compiled(tmp_path / "report", list(catalogue.TABLES))
    assert "Overfull" not in log
    assert "Float too large" not in log


def test_a_table_too_high_for_a_page_becomes_a_float_a_sparsity(tmp_path: Path) -> None:
    sparsities = [sparsity for sparsity in (0.2, 0.5) for _ in range(40)]
    frame = pd.DataFrame({"sparsity": sparsities, "method": "lorap", "source": ["one"] * 40 + ["two"] * 40})
    write_table(Table(frame), tmp_path / "high", "High", 2)
    log = compiled(tmp_path, ["high"])
    assert "Float too large" not in log
    text = (tmp_path / "high.tex").read_text()
    assert (text.count(r"\begin{table}"), text.count("one"), text.count("two")) == (2, 1, 1)
    assert "High: sparsity 0.2" in text


def test_tables_without_a_row_compile(tmp_path: Path) -> None:
    build_report(small_spec(cells=[]), tmp_path)
    compiled(tmp_path / "report", list(catalogue.TABLES))


def test_what_latex_would_read_is_printed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"keep_least": [SPECIAL], "source": [SPECIAL]})
    write_table(Table(frame), tmp_path / "special", SPECIAL, 2)
    compiled(tmp_path, ["special"])
    assert escaped("50 % of a_b & c") == r"50 \% of a\_b \& c"
