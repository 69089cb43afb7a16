"""The files of a report, known before it is made."""

TABLES = {
    "main": "Perplexity at each sparsity, measured and published",
    "cost": "Parameters and multiply-accumulates",
    "allocation": "Attention: factorisation by allocation, perplexity",
    "ffn": "FFN: pruned or decomposed, perplexity",
    "keep_least": "FFN: share of the least important channels that stays, perplexity",
    "calibration": "Calibration corpus and size, perplexity",
    "timing": "Memory, latency and throughput; these differ from run to run",
}
FIGURES = {
    "perplexity": "Perplexity against sparsity, by method",
    "allocation": "Perplexity by allocation and factorisation",
    "pareto_parameters": "Perplexity against parameters",
    "pareto_latency": "Perplexity against the time to read a prompt; differs from run to run",
    "error_by_layer": "Weighted relative error of the compressed weights, by depth",
    "spectra": "Share of the rank that holds 90 % of a weight's activation-weighted energy, by depth",
}
TABLE_FORMATS = ("csv", "md", "tex")
FIGURE_FORMATS = ("png", "pdf")
PROVENANCE = "provenance.json"
METRICS = "metrics.json"
SWEEP = "sweep.csv"


def report_files() -> list[str]:
    """Names of all files of a report."""
    tables = [f"{name}.{kind}" for name in TABLES for kind in TABLE_FORMATS]
    figures = [f"{name}.{kind}" for name in FIGURES for kind in FIGURE_FORMATS]
    return [*tables, *(f"figures/{file}" for file in figures), PROVENANCE]
