"""A method that wants a survey, in the workflow: one survey for all sparsities, and none for other methods."""

import re

import pytest

from tests.workflow import NOTHING, Checkout, steps_of

pytestmark = [pytest.mark.system, pytest.mark.slow]
SURVEY = "survey/tiny/pydoc-4x16.safetensors"


def test_a_survey_is_made_once_and_its_edit_makes_those_cells_anew_alone(copy_of_made: Checkout) -> None:
    params, before = copy_of_made.params(), copy_of_made.stamps()
    params["grids"]["demo"]["cells"].append({"methods": ["lorap-plus"], "sparsities": [0.2, 0.5]})
    copy_of_made.write_params(params)
    planned = copy_of_made.run("snakemake", "-n")
    made = {"survey", "compress", "evaluate_compressed", "cost_compressed", "report"}
    assert steps_of(planned) == made
    assert re.search(r"^survey +1\b", planned, re.MULTILINE)
    copy_of_made.run("snakemake")
    after = copy_of_made.stamps()
    assert {name for name in before if after[name] != before[name] and "/report/" not in name} <= {
        "results/demo/metrics.json", "results/demo/sweep.csv"
    }  # fmt: skip
    assert f"results/demo/{SURVEY}" in after
    assert NOTHING in copy_of_made.run("snakemake")
    assert copy_of_made.run("lorap", "verify", "--bytes").startswith("demo: ")
    params["survey"] = params["survey"] | {"pruned": 0.5}
    copy_of_made.write_params(params)
    told = copy_of_made.run("lorap", "verify", ok=False)
    assert f"{SURVEY}: made from other settings (survey)" in told
    again = copy_of_made.run("snakemake", "-n")
    assert steps_of(again) == made
    assert re.search(r"^compress +2\b", again, re.MULTILINE), "and no other method's models"
