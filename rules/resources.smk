# What a job asks of the machine that it runs on: cores, a GPU, memory and time.
import shutil
import subprocess
from functools import cache

from snakemake.common.tbdstring import TBDString

from lorap.machine import needs
from lorap.machine.gpu import devices
from lorap.model.sizes import read_sizes


def cores_of_a_job():
    """The most cores that a job takes, and half of them, which is enough for one that also loads and writes.

    Inside a job of Slurm both are what the job has been given, whatever the node has.
    """
    if workflow.remote_exec and (given := os.getenv("SLURM_CPUS_PER_TASK")):
        return int(given), int(given)
    cores = workflow.cores or 1
    return cores, max(1, cores // 2)


def gpus_of_a_job():
    """1 where jobs run on a GPU: this machine's, or one of the cluster that they are sent to; else 0."""
    if workflow.remote_exec and "SLURM_JOB_ID" in os.environ:
        return 1 if "SLURM_GPUS" in os.environ else 0
    if workflow.nodes is None or shutil.which("sinfo") is None:
        return 1 if devices() else 0
    asked = subprocess.run(["sinfo", "--noheader", "--format=%G"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise WorkflowError(f"sinfo: the cluster does not answer ({asked.stderr.strip()})")
    return 1 if "gpu" in asked.stdout else 0


ALL, HALF = cores_of_a_job()
GPU = gpus_of_a_job()


def asked(need, gpu=0):
    """The resources of a rule.

    A second try asks for twice the memory and time. Before its model is there, nobody knows what a job needs; it is
    looked up again when the job is submitted.

    Args:
        need: Maps the wildcards of a job to its needs.Need.
        gpu: GPUs of a job.
    """

    def mem_mb(wildcards, attempt):
        return _known(lambda: attempt * need(wildcards).memory(bool(gpu)))

    def runtime(wildcards, attempt, threads):
        return _known(lambda: attempt * need(wildcards).minutes(bool(gpu), threads))

    return {"gpu": gpu, "mem_mb": mem_mb, "runtime": runtime}


def _known(number):
    try:
        return number()
    except FileNotFoundError:
        return TBDString()


@cache
def shape_in(folder):
    """The sizes of the model in a folder."""
    return read_sizes(Path(folder) / "config.json")


def base_of(wildcards):
    """The folder with the configuration of a base model."""
    return f"results/{wildcards.grid}/{places.base(wildcards.model)}"


def fetching(wildcards):
    return needs.fetch(lookup(PARAMS.models, wildcards.model, "model"))


def calibrating(wildcards):
    return needs.calibrate(calibrate_spec(PARAMS, wildcards.calibration).source)


def compressing(wildcards):
    shape = shape_in(base_of(wildcards))
    spec = compress_spec(PARAMS, wildcards.method, float(wildcards.sparsity))
    return needs.compress(shape, spec, PARAMS.calibrate[wildcards.calibration])


def finding_spectra(wildcards):
    shape = shape_in(base_of(wildcards))
    return needs.spectra(shape, PARAMS.calibrate[GRIDS[wildcards.grid].calibration], PARAMS.compress.batch)


def tuning(wildcards):
    shape = shape_in(f"results/{CELL}".format(**wildcards))
    return needs.tune(shape, tune_spec(PARAMS, wildcards.tuning))


def redecomposing(wildcards):
    shape = shape_in(f"results/{CELL}".format(**wildcards))
    spec = redecompose_spec(PARAMS, wildcards.kept_as)
    return needs.redecompose(shape, spec, PARAMS.calibrate[wildcards.calibration])


def measuring(wildcards):
    dense = "method" not in wildcards.keys()
    shape = shape_in(base_of(wildcards) if dense else f"results/{CELL}".format(**wildcards))
    return needs.evaluate(shape, suite_spec_of(wildcards))


def reporting(wildcards):
    return needs.report()
