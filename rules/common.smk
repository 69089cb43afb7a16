# What the rules share: the settings, and the table of steps (lorap/artifacts/steps.py) as rules want it.
import shlex
import sys
from pathlib import Path

from snakemake.logging import logger

from lorap.artifacts.steps import STAGES
from lorap.settings.config import load_params
from lorap.workflow import snakemake_inside
from lorap.workflow.one_run import free_dead_lock
from lorap.workflow.wiring import Wiring, active_grids

# Jobs stop at their first error, as Snakemake has it, and find this environment's `lorap`, activated or not.
shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

with snakemake_inside.in_snakemakes_words():
    PARAMS = load_params(Path("params.yaml"))
    ACTIVE = active_grids(PARAMS, config)
    STEPS = Wiring(PARAMS, gpus=snakemake_inside.gpus_of_a_job(workflow))

ALL, SHARE = snakemake_inside.cores_of_a_job(workflow)

MANIFESTS = [path for grid in ACTIVE for path in Path("results", grid, "models").glob("*.json")]
if MANIFESTS and not snakemake_inside.has_records():
    logger.warning("These results were made elsewhere: 'lorap adopt' takes them over, else they may be made again.")

# Snakemake asks for its own lock after this; ours, held from onstart on, decides where two runs start at once.
free_dead_lock(snakemake_inside.LOCKS)
snakemake_inside.show_failed_logs()


wildcard_constraints:
    grid=r"[A-Za-z0-9._+-]+",
    model=r"[A-Za-z0-9._+-]+",
    calibration=r"[A-Za-z0-9._+-]+",
    method=r"[A-Za-z0-9._+-]+",
    sparsity=r"[0-9.]+",
    tuning=r"[A-Za-z0-9._+-]+",
    kept_as=r"exact|truncated",


def shown(path):
    """Marks what `snakemake --report` puts into its page: tables as CSV, figures as PNG."""
    kind = {".csv": "Tables", ".png": "Figures"}.get(Path(path).suffix)
    return report(path, category=kind, subcategory="{grid}") if kind else path
