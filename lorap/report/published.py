"""Published numbers, each with its source; what is not known there is not in any table."""

from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("published.csv")
MAIN_TABLE = "LoRAP README main table (LLaMA-7B)"
STATISTICS = "LLM-Pruner README statistics"
DENSE_ROW = "LLaMA-7B* (re-evaluated)"
PREFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9}


def read_published() -> pd.DataFrame:
    """All published values: source, table, model, sparsity, tuned, method, task, unit, value as text."""
    return pd.read_csv(FILE, dtype={"value": str})


def published_main() -> pd.DataFrame:
    """The published main table without tuning: model, method, sparsity, source, and a column for every text."""
    rows = read_published()
    rows = rows[(rows.table == MAIN_TABLE) & (rows.unit == "perplexity") & (rows.tuned == "no")]
    return _wide(rows.assign(method=rows.method.replace(DENSE_ROW, "dense")))


def published_statistics() -> pd.DataFrame:
    """Published parameters, MACs of 64 tokens, memory in MiB and latency in seconds of LLaMA-7B, as numbers."""
    rows = read_published()
    rows = rows[rows.table == STATISTICS]
    method = rows.method.where(rows.method == "dense", "LLM-Pruner " + rows.method)
    return _wide(rows.assign(method=method))


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(value=rows.value.map(number))
    keys = ["model", "sparsity", "method", "source"]
    return rows.pivot_table(index=keys, columns="task", values="value", aggfunc="first").reset_index()


def number(text: str) -> float:
    """The number in a published cell such as ``6.74B``, ``12884.5MiB`` or ``69.32s``."""
    text = text.removesuffix("MiB").removesuffix("s")
    if text[-1] in PREFIXES:
        return float(text[:-1]) * PREFIXES[text[-1]]
    return float(text)
