# Settings, paths and resources that the rules share. The specs come from lorap.grid, the only place that makes them.
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from lorap import grid as plan
from lorap.integrity.artifacts import MEASURES
from lorap.config import load_params, lookup
from lorap.errors import LorapError
from lorap.integrity.one_run import free_dead_lock, hold
from lorap.report import catalogue

# Jobs must find this environment's `lorap`, whether or not it is activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

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

# Snakemake asks for its own lock after this; ours, held from onstart on, decides where two runs start at once.
free_dead_lock()

REPORT_FILES = [*catalogue.made_files(), "report/meta.json"]
MODEL_FILES = ["config.json", "model.safetensors", "layers.json", "meta.json"]
ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors", "history.json", "timing.json", "meta.json"]

CELL = "{grid}/compress/{model}/{calibration}/{method}-{sparsity}"
TUNED = "{grid}/tune/{model}/{calibration}/{method}-{sparsity}/{tuning}"
REDECOMPOSED = "{grid}/redecompose/{model}/{calibration}/{method}-{sparsity}/{tuning}/{kept_as}"
MEASURED = "{grid}/evaluate/{model}/{calibration}/{method}-{sparsity}"

# Imports and loading use one core: two jobs side by side keep a machine busier than one on all cores.
HALF = max(1, (workflow.cores or 1) // 2)
ALL = workflow.cores or 1
GPU = 1 if Path("/dev/nvidiactl").exists() else 0
FAILED = re.compile(r"> (logs/\S+\.log) 2>&1' (?:returned|died)")  # as Snakemake quotes the command of a job
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


def tell_failures(logs):
    """Prints the end of the log of every job that failed: Snakemake itself shows none when it is quiet about rules."""
    for name in sorted({name for log in logs for name in FAILED.findall(Path(log).read_text())}):
        lines = Path(name).read_text().splitlines()[-LOG_END:]
        print(f"{name}:", *lines, sep="\n    ", file=sys.stderr)


def with_meta(path):
    """An artifact that is a file, and the meta beside it."""
    return [path, f"{path}.meta.json"]


def model_files(grid):
    """The manifests of a grid's base models; the models themselves are shared and stay out of DVC."""
    return [f"results/{grid}/models/{model}.json" for model in GRIDS[grid].models]


def calibration_files(grid):
    """The calibration files of a grid."""
    pairs = plan.calibrations(GRIDS[grid])
    return [f for model, name in pairs for f in with_meta(f"results/{grid}/calibrate/{model}/{name}.safetensors")]


def compressed_files(grid):
    """The files of every compressed model of a grid."""
    cells = plan.compressed_cells(GRIDS[grid])
    return [f"results/{grid}/compress/{cell.path}/{file}" for cell in cells for file in MODEL_FILES]


def adapter_files(grid):
    """The adapters of a grid."""
    cells = plan.tuned_cells(GRIDS[grid])
    return [f"results/{grid}/tune/{cell.path}/{file}" for cell in cells for file in ADAPTER_FILES]


def redecomposed_files(grid):
    """The files of every tuned model of a grid that is factored again."""
    cells = plan.redecomposed_cells(GRIDS[grid])
    return [f"results/{grid}/redecompose/{cell.path}/{file}" for cell in cells for file in MODEL_FILES]


def suite_of(wildcards):
    """The spec of measuring the cell that wildcards name."""
    cell = {name: value for name, value in wildcards.items() if name not in ("grid", "kept_as")}
    if "sparsity" in cell:
        cell["sparsity"] = float(cell["sparsity"])
    return plan.suite_spec(PARAMS, GRIDS[wildcards.grid], plan.Cell(**cell)).canonical()


def evaluation_files(grid):
    """The measurements of every cell of a grid, and the spectra of its base models."""
    measured = [f"results/{grid}/evaluate/{cell.path}/{m}" for cell in plan.all_cells(GRIDS[grid]) for m in MEASURES]
    spectra = [f"results/{grid}/evaluate/{model}/spectra.json" for model in GRIDS[grid].models]
    return [f for path in measured + spectra for f in with_meta(path)]


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
