"""The tables of a report: measured and published rows side by side, an empty cell where nothing is known."""

from collections.abc import Callable

import pandas as pd

from lorap.report.published import published_main, published_statistics
from lorap.specs import ReportSpec

KEYS = ["sparsity", "model", "method"]
MEASURED = "this run"
TEXTS = ("wikitext2", "ptb")  # of the published main table, in its order


def main_table(spec: ReportSpec, results: pd.DataFrame) -> pd.DataFrame:
    """Perplexity of every cell beside the published rows, and the difference where model, method and text agree."""
    protocols = list(spec.perplexity)
    own = results[_is_main(spec, results)][[*KEYS, *protocols]].assign(source=MEASURED)
    published = published_main()
    texts = list(TEXTS)
    for text in (text for text in texts if text in protocols):
        reference = published.assign(model=published.model.str.lower(), method=published.method.str.lower())
        reference = reference[[*KEYS, text]].rename(columns={text: "reference"})
        matched = own.merge(reference, on=KEYS, how="left")["reference"].to_numpy()
        if pd.notna(matched).any():
            own[f"{text} difference"] = own[text] - matched
    both = pd.concat([own, published[[*KEYS, "source", *texts]]], ignore_index=True)
    columns = [
        *KEYS,
        *dict.fromkeys([*protocols, *texts]),
        *(c for c in own.columns if c.endswith("difference")),
        "source",
    ]
    return _in_blocks(both[columns])


def cost_table(spec: ReportSpec, results: pd.DataFrame) -> pd.DataFrame:
    """Parameters and MACs of every cell, as counts and as shares of the dense model, beside the published ones."""
    own = results[_is_main(spec, results)]
    dense = own[own.method == "dense"].set_index("model")
    table = own[[*KEYS, "parameters", "macs"]].assign(source=MEASURED)
    for column in ("parameters", "macs"):
        table[f"{column} kept"] = table[column] / table.model.map(dense[column])
    published = published_statistics().rename(columns={"macs_64_tokens": "macs"})
    both = pd.concat([table, published[[*KEYS, "parameters", "macs", "source"]]], ignore_index=True)
    return _in_blocks(both[[*KEYS, "parameters", "parameters kept", "macs", "macs kept", "source"]])


def timing_table(spec: ReportSpec, results: pd.DataFrame) -> pd.DataFrame:
    """Measured memory (MiB), prefill seconds and decoding speed of every cell, beside published memory and latency."""
    own = results[_is_main(spec, results)]
    timings = [column for column in own.columns if column.startswith(("prefill_seconds", "decode_tokens_per_second"))]
    table = own[[*KEYS, *timings]].assign(memory=own.peak_memory_bytes / 2**20, source=MEASURED)
    both = pd.concat([table, published_statistics()[[*KEYS, "memory", "latency", "source"]]], ignore_index=True)
    both = both.rename(columns={"memory": "memory MiB", "latency": "published latency s"} | _timing_names(timings))
    return _in_blocks(both[[*KEYS, "memory MiB", *_timing_names(timings).values(), "published latency s", "source"]])


def ablation(vary: list[str]) -> Callable[[ReportSpec, pd.DataFrame], pd.DataFrame]:
    """A table of the cells that differ from another cell only in the settings named in ``vary``."""
    settings = ["attention", "ffn", "allocation", "keep_least", "calibration"]
    fixed = ["model", "sparsity", *(name for name in settings if name not in vary)]

    def table(spec: ReportSpec, results: pd.DataFrame) -> pd.DataFrame:
        cells = results[results.method != "dense"]
        groups = cells.groupby(fixed, dropna=False)
        cells = cells[groups["method"].transform("size") > 1]
        return cells[[*fixed, *vary, *spec.perplexity]].sort_values([*fixed, *vary]).reset_index(drop=True)

    return table


TABLES: dict[str, Callable[[ReportSpec, pd.DataFrame], pd.DataFrame]] = {
    "main": main_table,
    "cost": cost_table,
    "allocation": ablation(["attention", "allocation"]),
    "ffn": ablation(["ffn"]),
    "keep_least": ablation(["keep_least"]),
    "calibration": ablation(["calibration"]),
    "timing": timing_table,
}


def _is_main(spec: ReportSpec, results: pd.DataFrame) -> "pd.Series[bool]":
    """The dense rows and those of the grid's own calibration."""
    return (results.method == "dense") | (results.calibration == spec.grid.calibration)


def _in_blocks(table: pd.DataFrame) -> pd.DataFrame:
    """One block a sparsity; in it this run's rows in the grid's order, then the published ones."""
    order = (table.source != MEASURED).astype(int)
    return table.assign(order=order).sort_values(["sparsity", "order"], kind="stable").drop(columns="order")


def _timing_names(columns: list[str]) -> dict[str, str]:
    named = {"prefill_seconds": "prefill s", "decode_tokens_per_second": "decode tokens/s"}
    return {c: f"{named[c.rsplit('_', 1)[0]]}, batch {c.rsplit('_', 1)[1]}" for c in columns}
