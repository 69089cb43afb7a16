"""The table of steps as the rules of Snakemake want it: paths with wildcards, and functions of a job's wildcards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from lorap.artifacts import places
from lorap.artifacts.grid import Cell
from lorap.artifacts.places import output
from lorap.artifacts.specs import Spec
from lorap.artifacts.step import Output, Step
from lorap.artifacts.steps import STAGES, STEPS
from lorap.errors import LorapError
from lorap.machine.need import Need
from lorap.machine.streaming import Model, read_model
from lorap.settings.config import lookup
from lorap.settings.schema import Params
from lorap.workflow.resources import need_of

Wildcards = Any  # Snakemake's
OfJob = Callable[[Wildcards], Any]


def active_grids(params: Params, config: Mapping[str, Any]) -> list[str]:
    """The grids of a run: those of params.yaml, unless ``--config`` names others.

    Raises:
        LorapError: The configuration has another key, or is no list, or names an unknown grid.
    """
    if unknown := set(config) - {"active"}:
        raise LorapError(f"--config: unknown key {sorted(unknown)[0]!r}, expected active, as in 'active=[paper]'")
    active = config.get("active", params.active)
    if not isinstance(active, list):
        raise LorapError(f"--config: active is {active!r}, expected a list, as in 'active=[paper]'")
    for name in active:
        lookup(params.grids, name, "grid")
    return active


@dataclass(frozen=True)
class Wiring:
    """What a rule takes from the table, by its name.

    Attributes:
        params: The settings.
        gpus: GPUs that a job has where it can use one: 0 or 1.
    """

    params: Params
    gpus: int

    def inputs(self, rule: str) -> dict[str, Any]:
        """The files that a job takes, by role, and the meta of each artifact as ``ROLE_meta``."""
        step = STEPS[rule]
        if step.takes_all:
            return {source: self._files_of_all(source) for source in step.inputs}
        found: dict[str, Any] = {}
        for role, source in step.inputs.items():
            (made,) = STEPS[source].outputs
            found[role] = self._taken(step, role, made.files)
            found[f"{role}_meta"] = self._taken(step, role, (made.meta,))
        return found

    def outputs(self, rule: str) -> list[str]:
        """The files that a job makes; the meta of an artifact is the last of its own."""
        return [f"results/{{grid}}/{file}" for made in STEPS[rule].outputs for file in _files(made)]

    def options(self, rule: str) -> dict[str, str | OfJob]:
        """What a job tells its command: its spec, where its inputs are by role, and where to write.

        Where some jobs have no use for some inputs, each of these comes with its option, or is empty.
        """
        step = STEPS[rule]
        places = {role: STEPS[source] for role, source in step.inputs.items() if not step.takes_all}
        told = {role: self._told(step, role, other) for role, other in places.items()}
        out = step.beside or self._place(step, step.out)  # the others repeat an input, which lint wants as functions
        return {"spec": self._spec(step), **told, "out": out}

    def _told(self, step: Step, role: str, source: Step) -> str | OfJob:
        place = source.beside or self._place_of_job(source.out)
        if isinstance(place, str) or not step.choosy:
            return place
        return lambda wildcards: f"--{role} {place(wildcards)}" if self._uses(step, role, wildcards) else ""

    def log(self, rule: str, kind: str = "log") -> str:
        """The log of a job, or the table of its benchmark: ``tsv``."""
        return places.log(rule, kind)

    def resources(self, rule: str) -> dict[str, Any]:
        """GPUs, memory and time of a job; a second try asks for twice the memory and time.

        Before its model is there, nobody knows what a job needs; Snakemake asks again when it submits the job.
        """
        step = STEPS[rule]
        gpus = self.gpus if step.on_gpu else 0

        def mem_mb(wildcards: Wildcards, attempt: int) -> int:
            return attempt * self._need(step, wildcards).memory(gpus > 0)

        def runtime(wildcards: Wildcards, attempt: int, threads: int) -> int:
            return attempt * self._need(step, wildcards).minutes(gpus > 0, threads)

        return {"gpu": gpus, "mem_mb": mem_mb, "runtime": runtime}

    def stage(self, stage: str, grid: str) -> list[str]:
        """All files that a stage makes of a grid."""
        return [file for step in STAGES[stage] for file in self._all_files(step, grid)]

    def _all_files(self, step: Step, grid: str) -> list[str]:
        made = (
            each.of(cell) for cell in step.cells(self.params.grids[grid], self.params.methods) for each in step.outputs
        )
        return [f"results/{grid}/{file}" for one in made for file in _files(one)]

    def _files_of_all(self, source: str) -> OfJob:
        return lambda wildcards: self._all_files(STEPS[source], wildcards.grid)

    def _place(self, step: Step, path: str) -> str | OfJob:
        """A path of what a job takes; a function of the job where the grid adds to what its own path says."""
        if _wildcards(path) <= _wildcards(step.out):
            return f"results/{{grid}}/{path}"
        return self._place_of_job(path)

    def _taken(self, step: Step, role: str, paths: Sequence[str]) -> list[str | OfJob] | str | OfJob:
        """Paths of what a job takes, none for a job that has no use for them; Snakemake takes no list of functions."""
        if step.choosy:
            places = [self._place_of_job(path) for path in paths]
            return lambda wildcards: [place(wildcards) for place in places if self._uses(step, role, wildcards)]
        found = [self._place(step, path) for path in paths]
        return found if len(found) > 1 else found[0]

    def _uses(self, step: Step, role: str, wildcards: Wildcards) -> bool:
        return role not in step.unused(self._cell(wildcards), self.params.methods)

    def _place_of_job(self, path: str) -> OfJob:
        return lambda wildcards: f"results/{wildcards.grid}/{path.format_map(self._cell(wildcards).wildcards)}"

    def _spec(self, step: Step) -> OfJob:
        return lambda wildcards: self._make_spec(step, wildcards).canonical()

    def _make_spec(self, step: Step, wildcards: Wildcards) -> Spec:
        return step.spec(self.params, wildcards.grid, self._cell(wildcards))

    def _cell(self, wildcards: Wildcards) -> Cell:
        """The cell of a job; where its path names no calibration, it has the grid's."""
        texts: dict[str, Any] = dict(wildcards.items())
        grid = lookup(self.params.grids, texts.pop("grid"), "grid")
        sparsity = float(texts.pop("sparsity", 0))
        return Cell(**({"model": "", "calibration": grid.calibration} | texts), sparsity=sparsity)

    def _need(self, step: Step, wildcards: Wildcards) -> Need:
        cell = self._cell(wildcards)

        def model() -> Model:
            files = output(step.inputs["model"], cell).files
            return _model(next(f"results/{wildcards.grid}/{file}" for file in files if file.endswith("/config.json")))

        return need_of(self._make_spec(step, wildcards), model, self.params.calibrate[str(cell.calibration)])


def _files(made: Output) -> list[str]:
    return [*made.files, made.meta]


def _wildcards(path: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(path) if name}


@cache
def _model(config: str) -> Model:
    return read_model(Path(config))
