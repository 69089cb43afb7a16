"""The files of a report, known before it is made."""

TABLES = {
    "main": "Perplexity and zero-shot accuracy (percent) at each sparsity, measured and published",
    "tuning": "Tuning: without it, with its adapter, and factored again",
    "redecompose": "A tuned model factored again: at the rank that holds it exactly, or truncated",
    "cost": "Parameters and multiply-accumulates",
    "allocation": "Attention: factorisation by allocation",
    "ffn": "FFN: pruned or decomposed",
    "keep_least": "FFN: share of the least important channels that stays",
    "calibration": "Calibration corpus and size",
    "seeds": "Calibration seeds: mean, standard deviation, number",
    "timing": "Memory, latency and throughput; these differ from run to run",
    "tuning_cost": "Time and memory of tuning; these differ from run to run",
}
FIGURES = {
    "perplexity": "Perplexity against sparsity, by method",
    "zeroshot": "Zero-shot accuracy against sparsity, by method",
    "tuning": "Loss against the steps of tuning",
    "allocation": "Perplexity by allocation and factorisation",
    "pareto_parameters": "Perplexity against parameters",
    "pareto_latency": "Perplexity against the time to read a prompt; differs from run to run",
    "error_by_layer": "Weighted relative error of the compressed weights, by depth",
    "spectra": "Share of the rank that holds 90 % of a weight's activation-weighted energy, by depth",
}
MEASURED_TABLES = ("timing", "tuning_cost")  # of what no second run repeats
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
