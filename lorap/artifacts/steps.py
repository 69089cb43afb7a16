"""The table of steps: what every step makes, for which cells, of what, and by which settings; no torch here.

The rules of Snakemake, ``lorap verify``, ``adopt`` and ``prune``, dvc.yaml and what a report knows of the steps follow
from it.
"""

from lorap.artifacts import catalogue, names
from lorap.artifacts.grid import (
    ADAPTER,
    COMPRESSED,
    DENSE,
    KEPT,
    TUNED,
    Cell,
    all_cells,
    calibrations,
    compressed_cells,
    is_surveyed,
    redecomposed_cells,
    surveyed_cells,
    timed_cells,
    tuned_cells,
)
from lorap.artifacts.grid_specs import (
    calibrate_spec,
    compress_spec,
    cost_spec,
    fetch_spec,
    redecompose_spec,
    report_spec,
    spectra_spec,
    suite_spec,
    survey_spec,
    tune_spec,
)
from lorap.artifacts.step import Step, file, folder, manifest, report


def measured_by(cell: Cell) -> str:
    """The name of the step that measures how good a cell is."""
    return f"evaluate_{_kind(cell)}"


def _kind(cell: Cell) -> str:
    if cell.method is None:
        return "dense"
    if cell.tuning is None:
        return "compressed"
    return "adapter" if cell.kept_as == ADAPTER else "redecomposed"


def _of_kind(kind: str, cells: list[Cell]) -> list[Cell]:
    return [cell for cell in cells if _kind(cell) == kind]


def _measure(kind: str, path: str, **inputs: str) -> tuple[Step, Step]:
    """The two steps that measure a kind of cells: how good they are, and what they cost.

    Two, because times are taken alone on the machine, and no other measurement should have to wait for that.
    """
    quality = Step(
        f"evaluate_{kind}",
        stage="evaluate",
        inputs=inputs,
        outputs=tuple(file(f"evaluate/{path}/{measurement}") for measurement in names.QUALITY),
        cells=lambda grid, _: _of_kind(kind, all_cells(grid)),
        spec=lambda params, grid, cell: suite_spec(params, params.grids[grid], cell),
        settings=("corpora", "evaluate.batch", "evaluate.perplexity", "evaluate.zeroshot", "seed"),
        on_gpu=True,
    )
    cost = Step(
        f"cost_{kind}",
        stage="evaluate",
        inputs=inputs,
        outputs=(file(f"evaluate/{path}/{names.COST}"),),
        cells=lambda grid, _: _of_kind(kind, timed_cells(grid)),
        spec=lambda params, grid, cell: cost_spec(params),
        settings=("evaluate.cost",),
        on_gpu=True,
    )
    return quality, cost


_TO_REPORT = (
    Step(
        "fetch",
        stage="models",
        outputs=(manifest("models/{model}"),),
        beside="models/{model}",
        cells=lambda grid, _: map(Cell, grid.models),
        spec=lambda params, grid, cell: fetch_spec(params, cell.model),
        settings=("models",),
    ),
    Step(
        "calibrate",
        stage="calibrate",
        inputs={"model": "fetch"},
        outputs=(file("calibrate/{model}/{calibration}.safetensors"),),
        cells=lambda grid, _: [Cell(model, calibration) for model, calibration in calibrations(grid)],
        spec=lambda params, grid, cell: calibrate_spec(params, str(cell.calibration)),
        settings=("calibrate", "corpora", "seed"),
    ),
    Step(
        "survey",
        stage="survey",
        inputs={"model": "fetch", "calibration": "calibrate"},
        outputs=(file("survey/{model}/{calibration}.safetensors"),),
        cells=surveyed_cells,
        spec=lambda params, grid, cell: survey_spec(params),
        settings=("compress", "survey"),
        on_gpu=True,
    ),
    Step(
        "compress",
        stage="compress",
        inputs={"model": "fetch", "calibration": "calibrate", "survey": "survey"},
        unused=lambda cell, methods: [] if is_surveyed(cell, methods) else ["survey"],
        outputs=(folder(f"compress/{COMPRESSED}", *names.MODEL_FILES),),
        cells=lambda grid, _: compressed_cells(grid),
        spec=lambda params, grid, cell: compress_spec(params, str(cell.method), cell.sparsity),
        settings=("compress", "methods"),
        on_gpu=True,
    ),
    Step(
        "tune",
        stage="tune",
        inputs={"model": "compress"},
        outputs=(folder(f"tune/{TUNED}", *names.ADAPTER_FILES),),
        cells=lambda grid, _: tuned_cells(grid),
        spec=lambda params, grid, cell: tune_spec(params, str(cell.tuning)),
        settings=("corpora", "seed", "tune"),
        on_gpu=True,
    ),
    Step(
        "redecompose",
        stage="redecompose",
        inputs={"model": "compress", "adapter": "tune", "calibration": "calibrate"},
        unused=lambda cell, _: ["calibration"] if cell.kept_as == "exact" else [],  # exact joining weighs nothing
        outputs=(folder(f"redecompose/{KEPT}", *names.MODEL_FILES),),
        cells=lambda grid, _: redecomposed_cells(grid),
        spec=lambda params, grid, cell: redecompose_spec(params, str(cell.kept_as)),
        settings=("compress.batch",),
        on_gpu=True,
    ),
    *_measure("dense", DENSE, model="fetch"),
    *_measure("compressed", COMPRESSED, model="compress"),
    *_measure("adapter", f"{TUNED}/{ADAPTER}", model="compress", adapter="tune"),
    *_measure("redecomposed", KEPT, model="redecompose"),
    Step(
        "spectra",
        stage="evaluate",
        inputs={"model": "fetch", "calibration": "calibrate"},
        outputs=(file("evaluate/{model}/spectra.json"),),
        cells=lambda grid, _: [Cell(model, grid.calibration) for model in grid.models],
        spec=lambda params, grid, cell: spectra_spec(params),
        settings=("compress.batch",),
        on_gpu=True,
    ),
)
_REPORT = Step(
    "report",
    stage="report",
    inputs={step.name: step.name for step in _TO_REPORT},
    takes_all=True,
    outputs=(report("report", *catalogue.made_files()),),
    cells=lambda grid, _: [Cell("")],  # the whole grid, so no cell of it
    spec=lambda params, grid, cell: report_spec(params, grid),
    settings=("calibrate", "corpora", "evaluate.perplexity", "evaluate.zeroshot", "methods", "report", "tune"),
)
STEPS = {step.name: step for step in (*_TO_REPORT, _REPORT)}  # each after those whose artifacts it takes
STAGES = {
    stage: [step for step in STEPS.values() if step.stage == stage]
    for stage in dict.fromkeys(step.stage for step in STEPS.values())
}
