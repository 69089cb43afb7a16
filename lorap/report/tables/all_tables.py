"""The tables of a report by name."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from lorap.artifacts.specs import ReportSpec
from lorap.report.read.columns import options_of
from lorap.report.tables.ablations import ablation, seeds_table
from lorap.report.tables.cost_tables import cost_table, timing_table, tuning_cost_table
from lorap.report.tables.main_table import main_table
from lorap.report.tables.paired_table import paired_table
from lorap.report.tables.ranking import ranking_table, unranked_table
from lorap.report.tables.ratio_tables import ratio_table, steps_table
from lorap.report.tables.rivals import rivals_table
from lorap.report.tables.sourced import Table
from lorap.report.tables.tuning_tables import redecompose_table, tuning_table

TABLES: dict[str, Callable[[ReportSpec, pd.DataFrame], Table]] = {
    "main": main_table,
    "tuning": tuning_table,
    "redecompose": redecompose_table,
    "cost": cost_table,
    "allocation": ablation(lambda spec: ["attention", *options_of(spec, "attention")]),
    "ffn": ablation(lambda spec: ["ffn"]),
    "keep_least": ablation(lambda spec: options_of(spec, "ffn")),
    "calibration": ablation(lambda spec: ["calibration"]),
    "seeds": seeds_table,
    "ratio": ratio_table,
    "steps": steps_table,
    "rivals": rivals_table,
    "timing": timing_table,
}


def make_tables(spec: ReportSpec, results: pd.DataFrame, folder: Path) -> dict[str, Table]:
    """All tables, those of the results, and those of single answers and of what jobs have recorded."""
    tables = {name: make(spec, results) for name, make in TABLES.items()}
    records = {
        "ranking": ranking_table,
        "unranked": unranked_table,
        "paired": paired_table,
        "tuning_cost": tuning_cost_table,
    }
    return tables | {name: make(spec, results, folder) for name, make in records.items()}
