"""The files of a report, known before it is made."""

TABLES = {
    "main": "Perplexity and zero-shot accuracy (percent) at each sparsity",
    "ranking": "Ranking at each sparsity, by the geometric mean of the perplexities, of the methods whose shares of "
    "removed decoder weights are within 0.5 % of the sparsity and of each other, adapters not counted. Mean and "
    "deviation over calibration seeds; times and memory vary from run to run",
    "unranked": "Not in the ranking: methods that removed another share of the decoder weights, or are not measured",
    "tuning": "Tuning: before it, with its adapter, and with the adapter folded into the factors",
    "redecompose": "Folding an adapter into the factors: exactly, at a higher rank, or truncated to the old one",
    "cost": "Parameters and multiply-accumulates",
    "allocation": "Attention: its treatments and their allocation",
    "ffn": "FFN: its treatments",
    "keep_least": "FFN: the settings of its treatment",
    "calibration": "Calibration: corpus and size",
    "seeds": "Calibration seeds: mean, standard deviation and count",
    "ratio": "Perplexity over that of the grid's first method with the same calibration windows, and the geometric "
    "mean over the texts; mean and deviation over seeds",
    "steps": "What each part of a method adds: the same geometric mean, by the text that was calibrated on",
    "paired": "Zero-shot accuracy above that of the grid's first method on the same documents, in points of the mean "
    "over the tasks and over seeds",
    "rivals": "Published numbers of rival methods, each with its protocol; none is that of this grid",
    "timing": "Memory, latency and throughput (they vary from run to run)",
    "tuning_cost": "Time and memory of tuning (they vary from run to run)",
}
FIGURES = {
    "perplexity": "Perplexity against sparsity, by method",
    "ratios": "What each method has of the first one's perplexity with the same windows, in the geometric mean over "
    "the texts, by the text that was calibrated on; bars are deviations over seeds",
    "zeroshot": "Zero-shot accuracy against sparsity, by method",
    "tuning": "Loss during tuning: on the training rows (thin) and on held-out rows (with markers)",
    "allocation": "Perplexity against the allocation, by treatment of the attention",
    "kept": "What each part of a layer keeps of its weights, at every sparsity, where a method gives layers shares of "
    "their own. There is one set of curves for each way of sharing, under the first method that has it",
    "taken": "What each method takes from which layer at the highest sparsity: heads, channels, and the rank of the "
    "weights that are left. Methods that take the same share one curve, and what a method leaves alone it has none of",
    "pareto_parameters": "Perplexity against parameters; the line joins the models that no smaller one beats",
    "pareto_latency": "Perplexity against the time to read a prompt, which varies from run to run",
    "error_by_layer": "Relative error of the compressed weights by layer, in the norm that the method minimises and, "
    "where it is recorded, in the plain Frobenius norm. Only the plain one compares methods that minimise different "
    "norms. There is one curve for each treatment of the sub-layer, under the first method that has it",
    "spectra": "Share of the rank that holds 90 % of a weight's activation-weighted energy, by layer",
}
MEASURED_TABLES = ("ranking", "unranked", "timing", "tuning_cost")  # of what no second run repeats
TABLE_FORMATS = ("csv", "md", "tex")
FIGURE_FORMATS = ("png", "pdf")
PAGE = "index.html"
PROVENANCE = "provenance.json"
PROVENANCE_TIMING = "provenance_timing.json"
METRICS = "metrics.json"
SWEEP = "sweep.csv"


def report_files() -> list[str]:
    """Names of all files of a report."""
    tables = [f"{name}.{kind}" for name in TABLES for kind in TABLE_FORMATS]
    figures = [f"{name}.{kind}" for name in FIGURES for kind in FIGURE_FORMATS]
    return [PAGE, *tables, *(f"figures/{file}" for file in figures), PROVENANCE, PROVENANCE_TIMING]


def made_files() -> list[str]:
    """All that a report is, below the grid's folder, its meta aside."""
    return [*(f"report/{file}" for file in report_files()), METRICS, SWEEP]
