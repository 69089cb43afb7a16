"""Published numbers, each with its source; what is not known there is not in any table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lorap.report.read.scores import AVERAGE, SEVEN, TEXTS

FILE = Path(__file__).with_name("published.csv")
STATISTICS = "LLM-Pruner README statistics"
PAPER_MODEL = "LLaMA-7B"  # its published rows stand beside any grid
SOURCES = ("lihuang258/LoRAP", "horseee/LLM-Pruner", "CASIA-IVA-Lab/FLAP")  # where they repeat each other, the first
SAME = {
    "LLaMA-7B* (re-evaluated)": "dense",
    "LLaMA-7B (as published by LLaMA authors)": "dense (as published by LLaMA authors)",
    "LLaMA-7B": "dense",
    "Vicuna-7B": "dense",
    "Dense": "dense",
    "LLM-Pruner (w/ LoRA)": "LLM-Pruner",
    "LLM-Pruner* (w/ LoRA)": "LLM-Pruner",
}
PREFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9}
KEYS = ["model", "sparsity", "tuned", "method"]
VALUES = [*TEXTS, *SEVEN, AVERAGE]
RIVAL_VALUES = [*TEXTS, "c4", *SEVEN, AVERAGE]
JOIN = "; "  # between the sources of one row


def read_published() -> pd.DataFrame:
    """All published values: source, table, model, sparsity, tuned, method, task, unit, value as text, protocol.

    Those without a protocol are by that of the paper's own tables, or are no measurements of quality.
    """
    return pd.read_csv(FILE, dtype={"value": str})


def published_main(models: Sequence[str]) -> pd.DataFrame:
    """Published perplexities and accuracies of the paper's model and of those named.

    Returns:
        A row a model, sparsity, tuning, method and repository, with its sources and a column a text and task; rows that
        only repeat another repository's are left out.
    """
    rows = _of_models(models)
    rows = rows[rows.unit.isin(["perplexity", "accuracy"]) & rows.protocol.isna()]
    rows = rows.assign(
        method=rows.method.replace(SAME),
        tuned=rows.tuned.where(rows.tuned.isin(["no", "yes"]), "yes: " + rows.tuned),
        value=rows.value.map(number),
        order=rows.source.str.split("@").str[0].map(SOURCES.index),
    )
    keys = ["order", *KEYS]
    table = rows.groupby([*keys, "task"], sort=False)["value"].first().unstack()
    sources = rows.groupby(keys, sort=False)["source"].agg(lambda s: JOIN.join(dict.fromkeys(s)))
    table = table.reindex(columns=VALUES).join(sources).sort_index(level="order", sort_remaining=False).reset_index()
    return table[_says_something_new(table)].drop(columns="order").reset_index(drop=True)


def published_rivals(models: Sequence[str]) -> pd.DataFrame:
    """What others published by protocols of their own, of the paper's model and of those named.

    Returns:
        A row a model, sparsity, tuning, method, source and protocol, which stand together as its source, with a column
        a text and task.
    """
    rows = _of_models(models)
    rows = rows[rows.protocol.notna()]
    rows = rows.assign(source=rows.source + JOIN + rows.protocol, value=rows.value.map(number))
    table = rows.groupby([*KEYS, "source", "task"], sort=False)["value"].first().unstack()
    return table.reindex(columns=RIVAL_VALUES).reset_index().rename_axis(columns=None)


def published_statistics() -> pd.DataFrame:
    """Published parameters, MACs of 64 tokens, memory in MiB and latency in seconds of LLaMA-7B, as numbers."""
    rows = read_published()
    rows = rows[rows.table == STATISTICS]
    method = rows.method.where(rows.method == "dense", "LLM-Pruner " + rows.method)
    rows = rows.assign(method=method, value=rows.value.map(number))
    keys = ["model", "sparsity", "method", "source"]
    return rows.pivot_table(index=keys, columns="task", values="value", aggfunc="first").reset_index()


def number(text: str) -> float:
    """The number in a published cell such as ``6.74B``, ``12884.5MiB`` or ``69.32s``."""
    text = text.removesuffix("MiB").removesuffix("s")
    if text[-1] in PREFIXES:
        return float(text[:-1]) * PREFIXES[text[-1]]
    return float(text)


def _of_models(models: Sequence[str]) -> pd.DataFrame:
    """The published values of the paper's model and of those named, however they are written."""
    rows = read_published()
    return rows[rows.model.str.lower().isin([PAPER_MODEL.lower(), *map(str.lower, models)])]


def _says_something_new(table: pd.DataFrame) -> list[bool]:
    """Whether a row has a value that no earlier row of the same model, sparsity and tuning has."""
    seen: dict[tuple[str, float, str], list[dict[str, float]]] = {}
    new = []
    for row in table.to_dict("records"):
        earlier = seen.setdefault((row["model"], row["sparsity"], row["tuned"]), [])
        values = {name: row[name] for name in VALUES if pd.notna(row[name])}
        new.append(not any(values.items() <= other.items() for other in earlier))
        earlier.append(values)
    return new
