# Settings, paths and resources that the rules share. The specs come from lorap.artifacts.grid, the only place that makes them.
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from lorap.artifacts import names, places
from lorap.settings.config import load_params, lookup
from lorap.errors import LorapError
from lorap.artifacts.grid import (
    Cell,
    all_cells,
    calibrate_spec,
    calibrations,
    compress_spec,
    compressed_cells,
    fetch_spec,
    redecompose_spec,
    redecomposed_cells,
    report_spec,
    spectra_spec,
    suite_spec,
    tune_spec,
    tuned_cells,
)
from lorap.artifacts.names import META
from lorap.workflow.one_run import free_dead_lock, hold
from lorap.report import catalogue

# Jobs stop at their first error, as Snakemake has it, and find this environment's `lorap`, activated or not.
shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

try:
    PARAMS = load_params(Path("params.yaml"))
    ACTIVE = config.get("active", PARAMS.active)
    if unknown := set(config) - {"active"}:
        raise LorapError(f"--config: unknown key {sorted(unknown)[0]!r}, expected active, as in 'active=[paper]'")
    if not isinstance(ACTIVE, list):
        raise LorapError(f"--config: active is {ACTIVE!r}, expected a list, as in 'active=[paper]'")
    GRIDS = {name: lookup(PARAMS.grids, name, "grid") for name in ACTIVE}
except LorapError as error:
    raise WorkflowError(str(error)) from None

MANIFESTS = [path for grid in ACTIVE for path in Path("results", grid, "models").glob("*.json")]
if MANIFESTS and not Path(".snakemake/metadata").is_dir():
    logger.warning("These results were made elsewhere: 'lorap adopt' takes them over, else they may be made again.")

# Snakemake asks for its own lock after this; ours, held from onstart on, decides where two runs start at once.
free_dead_lock()

REPORT_FILES = [*catalogue.made_files(), f"report/{META}"]
MODEL_FILES = [*names.MODEL_FILES, META]
ADAPTER_FILES = [*names.ADAPTER_FILES, META]

CELL = "{grid}/compress/{model}/{calibration}/{method}-{sparsity}"
TUNED = "{grid}/tune/{model}/{calibration}/{method}-{sparsity}/{tuning}"
REDECOMPOSED = "{grid}/redecompose/{model}/{calibration}/{method}-{sparsity}/{tuning}/{kept_as}"
MEASURED = "{grid}/evaluate/{model}/{calibration}/{method}-{sparsity}"

FAILED = re.compile(r"> (logs/\S+\.log) 2>&1.*' (?:returned|died)")  # as Snakemake quotes the command of a job
LOG_END = 20  # lines of a failed job's log that are shown


wildcard_constraints:
    grid=r"[A-Za-z0-9._-]+",
    model=r"[A-Za-z0-9._-]+",
    calibration=r"[A-Za-z0-9._-]+",
    method=r"[A-Za-z0-9._-]+",
    sparsity=r"[0-9.]+",
    tuning=r"[A-Za-z0-9._-]+",
    kept_as=r"exact|truncated",


def take_turn():
    """Keeps this folder to this run."""
    try:
        hold(workflow.executor_plugin.common_settings.local_exec)
    except LorapError as error:
        raise WorkflowError(str(error)) from None


def with_meta(path, name="file"):
    """An artifact that is a file, and the meta beside it, by name."""
    return {name: path, f"{name}_meta": f"{path}.{META}"}


def measured(folder):
    """The results of one cell, their metas among them."""
    return [f for file in names.MEASUREMENTS for f in with_meta(f"results/{folder}/{file}").values()]


def shown(path):
    """Marks what `snakemake --report` puts into its page: tables as CSV, figures as PNG."""
    kind = {".csv": "Tables", ".png": "Figures"}.get(Path(path).suffix)
    return report(path, category=kind, subcategory="{grid}") if kind else path


def tell_failures(logs):
    """Prints the end of the log of every job that failed: Snakemake itself shows none when it is quiet about rules."""
    for name in sorted({name for log in logs for name in FAILED.findall(Path(log).read_text())}):
        lines = Path(name).read_text().splitlines()[-LOG_END:]
        print(f"{name}:", *lines, sep="\n    ", file=sys.stderr)


def model_files(grid):
    """The manifests and configurations of a grid's base models; the models themselves are shared and stay out of DVC."""
    made = [f for model in GRIDS[grid].models for f in (places.manifest(model), f"{places.base(model)}/config.json")]
    return [f"results/{grid}/{f}" for f in made]


def calibration_of(grid, model, name):
    """A calibration file and its meta."""
    return with_meta(f"results/{grid}/{places.calibration(model, name)}", "calibration")


def calibration_files(grid):
    """The calibration files of a grid."""
    pairs = calibrations(GRIDS[grid])
    return [f for model, name in pairs for f in calibration_of(grid, model, name).values()]


def compressed_files(grid):
    """The files of every compressed model of a grid."""
    cells = compressed_cells(GRIDS[grid])
    return [f"results/{grid}/{places.compressed(cell)}/{file}" for cell in cells for file in MODEL_FILES]


def adapter_files(grid):
    """The adapters of a grid."""
    cells = tuned_cells(GRIDS[grid])
    return [f"results/{grid}/{places.tuned(cell)}/{file}" for cell in cells for file in ADAPTER_FILES]


def redecomposed_files(grid):
    """The files of every tuned model of a grid that is factored again."""
    cells = redecomposed_cells(GRIDS[grid])
    return [f"results/{grid}/{places.redecomposed(cell)}/{file}" for cell in cells for file in MODEL_FILES]


def suite_of(wildcards):
    """The spec of measuring the cell that wildcards name, as a string."""
    return suite_spec_of(wildcards).canonical()


def suite_spec_of(wildcards):
    """The spec of measuring the cell that wildcards name."""
    cell = {name: value for name, value in wildcards.items() if name not in ("grid", "kept_as")}
    if "sparsity" in cell:
        cell["sparsity"] = float(cell["sparsity"])
    return suite_spec(PARAMS, GRIDS[wildcards.grid], Cell(**cell))


def evaluation_files(grid):
    """The measurements of every cell of a grid, and the spectra of its base models."""
    results = [f for cell in all_cells(GRIDS[grid]) for f in measured(f"{grid}/{places.measured(cell)}")]
    spectra = [with_meta(f"results/{grid}/{places.spectra(model)}") for model in GRIDS[grid].models]
    return results + [f for files in spectra for f in files.values()]


def report_files(grid):
    """The tables and figures of a grid, and what DVC shows of them."""
    return [f"results/{grid}/{file}" for file in REPORT_FILES]


STAGES = {
    "models": model_files,
    "calibrate": calibration_files,
    "compress": compressed_files,
    "tune": adapter_files,
    "redecompose": redecomposed_files,
    "evaluate": evaluation_files,
    "report": report_files,
}
