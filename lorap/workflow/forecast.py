"""What the jobs of a grid take on a machine: seconds by what takes them, memory, disk; no torch here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from lorap.artifacts import specs
from lorap.artifacts.grid import Cell
from lorap.artifacts.places import jobs
from lorap.artifacts.specs import Spec
from lorap.artifacts.step import Step
from lorap.machine import layerwise, whole
from lorap.machine.need import Need
from lorap.machine.speeds import Machine
from lorap.machine.streaming import Model, Terms
from lorap.model.layer_plan import LayerPlan
from lorap.settings.schema import Calibrate, Params
from lorap.workflow.architectures import model_of
from lorap.workflow.resources import need_of

HOST_ALONE = 1  # cores that are counted for a job that computes nothing


@dataclass(frozen=True)
class Job:
    """One job of a grid on a machine.

    Attributes:
        rule: Its step.
        cell: What it is for.
        terms: Seconds by what takes them; work that is done beside other work is taken off as "overlap".
        need: Its memory, in upper bounds.
        stored: Bytes that its result takes on the disk, where it is a model or an adapter.
        computes: Whether it computes: on the GPU where there is one, else on all cores.
    """

    rule: str
    cell: Cell
    terms: Terms
    need: Need
    stored: int
    computes: bool

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(self.terms.values())


def forecast(params: Params, grid: str, machine: Machine, results: Path) -> Iterator[Job]:
    """Every job of a grid, in the order of the table of steps.

    Raises:
        LorapError: The sizes of one of its models are unknown.
    """

    @cache
    def model(name: str) -> Model:
        return model_of(params, grid, name, results)

    for step, cell in jobs(params.grids[grid], params.methods):
        yield job_of(params, grid, step, cell, machine, model)


def job_of(params: Params, grid: str, step: Step, cell: Cell, machine: Machine, model: Callable[[str], Model]) -> Job:
    """One of these jobs; ``model`` gives the sizes of a model by its name."""
    spec = step.spec(params, grid, cell)
    windows = params.calibrate[cell.calibration or params.grids[grid].calibration]
    made = _Made(params, cell, model)
    need = need_of(spec, lambda: made.model, windows)
    return Job(step.name, cell, _terms(spec, machine, made, windows), need, made.stored(spec), step.on_gpu)


@dataclass(frozen=True)
class _Made:
    """What the layers of a cell's model are, once it is compressed."""

    params: Params
    cell: Cell
    models: Callable[[str], Model]

    @cached_property
    def model(self) -> Model:
        return self.models(self.cell.model)

    @cached_property
    def plan(self) -> LayerPlan:
        """After compression alone."""
        if self.cell.method is None:
            return self.model.dense
        return self.model.plan(self.params.methods[self.cell.method], self.cell.sparsity)

    @property
    def adapter(self) -> int:
        """The rank of its tuning's adapter."""
        return self.params.tune[self.cell.tuning].rank if self.cell.tuning else 0

    @property
    def beside(self) -> int:
        """The rank of an adapter that stays beside the weights."""
        return self.adapter if self.cell.kept_as == "adapter" else 0

    @property
    def kept(self) -> LayerPlan:
        """After re-decomposition, too."""
        joined = self.cell.kept_as == "exact"
        return layerwise.joined_plan(self.plan, self.model, self.adapter) if joined else self.plan

    def stored(self, spec: Spec) -> int:
        """Bytes of what a job makes."""
        match spec:
            case specs.FetchSpec():
                return self.model.stored(self.model.dense, self.model.sizes.width())
            case specs.CompressSpec():
                return self.model.stored(self.plan, self.model.sizes.width(spec.dtype))
            case specs.RedecomposeSpec():
                return self.model.stored(self.kept, self.model.sizes.width())
            case specs.TuneSpec():
                adapter = whole.adapter_parameters(self.model, self.plan, self.adapter)
                return 4 * self.model.sizes.layers * adapter  # peft keeps float32
            case _:
                return 0


def _terms(spec: Spec, machine: Machine, made: _Made, windows: Calibrate) -> Terms:
    match spec:
        case specs.FetchSpec():
            return whole.fetching(machine, made.model, spec.model)
        case specs.CalibrateSpec():
            return whole.calibrating(machine)
        case specs.CompressSpec():
            return layerwise.compressing(machine, made.model, spec, windows)
        case specs.SurveySpec():
            return layerwise.surveying(machine, made.model, spec, windows)
        case specs.TuneSpec():
            return whole.tuning(machine, made.model, spec, made.plan)
        case specs.RedecomposeSpec():
            return layerwise.redecomposing(machine, made.model, spec, windows, made.plan, made.adapter)
        case specs.SuiteSpec():
            return whole.measuring(machine, made.model, spec, made.kept, made.beside)
        case specs.CostSpec():
            return whole.timing(machine, made.model, spec, made.kept, made.beside)
        case specs.SpectraSpec():
            return layerwise.spectral(machine, made.model, windows)
        case specs.ReportSpec():
            return whole.reporting(machine)
        case _:
            raise TypeError(f"{type(spec).__name__}: no step of the workflow has such a spec")


def summed(jobs: list[Job], machine: Machine) -> dict[str, object]:
    """The sum of jobs that run one after the other.

    Returns:
        ``jobs``, ``seconds``, ``gpu_hours`` and ``core_hours``, the ``terms`` of the seconds; the largest
        ``host_bytes`` and ``device_bytes``; and ``disk_bytes``, for all that stays.
    """
    gpu = machine.gpu
    names = list(dict.fromkeys(name for job in jobs for name in job.terms))
    on_gpu = sum(job.seconds for job in jobs if gpu and job.computes)
    on_cores = sum(job.seconds * (machine.cores if job.computes else HOST_ALONE)
                   for job in jobs if not (gpu and job.computes))  # fmt: skip
    return {
        "jobs": len(jobs),
        "seconds": sum(job.seconds for job in jobs),
        "gpu_hours": on_gpu / 3600,
        "core_hours": on_cores / 3600,
        "host_bytes": max(job.need.memory(gpu and job.computes) for job in jobs) * 2**20,
        "device_bytes": max(job.need.device_memory() if gpu and job.computes else 0 for job in jobs) * 2**20,
        "disk_bytes": sum(job.stored for job in jobs),
        "terms": {name: sum(job.terms.get(name, 0) for job in jobs) for name in names},
    }
