"""dvc.yaml, from the table of steps: ``python -m lorap.workflow.dvc_stages > dvc.yaml``."""

import sys
from typing import Any

import yaml

from lorap.artifacts import catalogue
from lorap.artifacts.places import needs
from lorap.artifacts.steps import STAGES

HEAD = """\
# Made from the table of steps (lorap/artifacts/steps.py) by `python -m lorap.workflow.dvc_stages > dvc.yaml`.
#
# DVC owns the versions, Snakemake the graph: every stage has Snakemake make its folder, and records what it holds.
# Folders are `persist`, so that DVC does not delete what is still good before Snakemake looks at it. The code is a
# dependency so that Snakemake is asked after an edit; it knows which artifacts the edit concerns.
"""
CODE = ["Snakefile", "lorap", "rules"]
GRID = "${item.g}"
IN_GIT: dict[str, Any] = {"cache": False, "persist": True}


def make_dvc_yaml() -> str:
    """The text of dvc.yaml."""
    stages = {stage: _stage(stage) for stage in STAGES}
    parts = [yaml.safe_dump({stage: content}, sort_keys=False, width=1000) for stage, content in stages.items()]
    indented = ["".join(f"  {line}" for line in part.splitlines(keepends=True)) for part in parts]
    return f"{HEAD}stages:\n" + "\n".join(indented)


def _stage(stage: str) -> dict[str, Any]:
    settings = sorted({section for step in STAGES[stage] for section in step.settings})
    content: dict[str, Any] = {
        "matrix": {"g": "${active}"},
        "cmd": _commands(stage),
        "deps": [*CODE, *(f"results/{GRID}/{source}" for source in needs(stage))],
        "params": [f"grids.{GRID}", *settings],
        "outs": [{f"results/{GRID}/{stage}": {"persist": True}}],
    }
    if stage == "report":
        axes = {"x": "sparsity", "y": "perplexity"}
        content["outs"] = [{f"results/{GRID}/{stage}": {**IN_GIT}}]
        content["metrics"] = [{f"results/{GRID}/{catalogue.METRICS}": {**IN_GIT}}]
        content["plots"] = [{f"results/{GRID}/{catalogue.SWEEP}": IN_GIT | axes}]
    return content


def _commands(stage: str) -> list[str]:
    verify = f"lorap verify --grid {GRID} --until {stage}"
    if not needs(stage):
        # The first to have a grid's name in its command, which Snakemake refuses where it would mean something to a
        # shell. DVC makes "--g NAME" of ${item}, and quotes it.
        return [f"sh -c 'snakemake --config \"active=[$1]\" -- stage_{stage}' ${{item}}", verify]
    make = f"snakemake --config 'active=[{GRID}]' -- stage_{stage}"
    return [f"mkdir -p results/{GRID}/{stage}", make, verify]  # a grid may have nothing for a stage


if __name__ == "__main__":
    sys.stdout.write(make_dvc_yaml())
