"""The figures of a report by name."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lorap.artifacts.specs import ReportSpec
from lorap.report.figures.curves import allocation_figure, perplexity_figure, tuning_figure, zeroshot_figure
from lorap.report.figures.depth import error_figure, spectra_figure
from lorap.report.figures.pareto import pareto_figure
from lorap.report.figures.ratios import ratio_figure
from lorap.report.figures.shares import kept_figure
from lorap.report.figures.taken import taken_figure

Draw = Callable[[ReportSpec, pd.DataFrame, Path], Figure]

FIGURES: dict[str, Draw] = {
    "perplexity": perplexity_figure,
    "ratios": ratio_figure,
    "zeroshot": zeroshot_figure,
    "tuning": tuning_figure,
    "allocation": allocation_figure,
    "kept": kept_figure,
    "taken": taken_figure,
    "pareto_parameters": pareto_figure("parameters", "parameters, millions", 1e6),
    "pareto_latency": pareto_figure("prefill_seconds_1", "prefill of one prompt, milliseconds", 1e-3),
    "error_by_layer": error_figure,
    "spectra": spectra_figure,
}
