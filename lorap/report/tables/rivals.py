"""What others have published of rival methods: in a table of its own, since no protocol there is that of a grid."""

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.report.read.published import RIVAL_VALUES, published_rivals
from lorap.report.tables.main_table import KEYS
from lorap.report.tables.sourced import CELL, SOURCE, Table, with_origins


def rivals_table(spec: ReportSpec, results: pd.DataFrame) -> Table:
    """Perplexities and accuracies as published, one block a sparsity; notes name the source and the protocol."""
    rows = published_rivals(spec.grid.models).assign(**{CELL: float("nan")})
    rows = rows.sort_values(["sparsity", "tuned", "model"], kind="stable")
    return with_origins(rows[[*KEYS, *RIVAL_VALUES, SOURCE, CELL]], dict.fromkeys(RIVAL_VALUES, "published"))
