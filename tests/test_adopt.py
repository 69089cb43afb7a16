"""Results that came from elsewhere: adopt takes over what is right, and the workflow makes the rest alone."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.workflow import NOTHING, Checkout, measuring, steps_of

pytestmark = pytest.mark.system

ADAPTER = "results/demo/tune/tiny/pydoc-4x16/lorap-0.5/tiny"
MEASURED = "results/demo/evaluate/tiny/pydoc-4x16/lorap-1to1-0.5/cost.json"


@pytest.fixture
def pulled(copy_of_made: Checkout) -> Checkout:
    """As after a clone and a pull: neither base models nor Snakemake's records, and files of any age."""
    shutil.rmtree(copy_of_made.folder / ".snakemake")
    shutil.rmtree(copy_of_made.folder / "models")
    draw = random.Random(0)
    for file in sorted((copy_of_made.folder / "results").rglob("*")):
        time = 1_700_000_000 + draw.randrange(10**6)
        os.utime(file, (time, time))
    return copy_of_made


def test_what_was_pulled_is_taken_over_and_nothing_is_made_again(pulled: Checkout) -> None:
    planned = pulled.run("snakemake", "-n")
    assert "compress" in steps_of(planned), "times say nothing after a pull"
    assert "'lorap adopt' takes them over" in planned
    before = pulled.contents()
    assert pulled.run("lorap", "adopt") == "demo: 27 artifacts taken over, 0 to be made again, 0 missing\n"
    again = pulled.run("snakemake")
    assert NOTHING in again
    assert "lorap adopt" not in again
    assert pulled.contents() == before
    assert not (pulled.folder / "models").exists(), "nothing needs the weights"


@pytest.mark.slow
def test_an_edit_before_adopt_still_runs_its_chain_alone(pulled: Checkout) -> None:
    params = pulled.params()
    params["tune"]["tiny"]["learning_rate"] = 2e-3
    pulled.write_params(params)
    told = pulled.run("lorap", "adopt")
    assert f"{ADAPTER}: made from other settings (tune)\n" in told
    assert told.endswith("demo: 14 artifacts taken over, 13 to be made again, 0 missing\n")
    chain = {"tune", "redecompose", *measuring("adapter", "redecomposed"), "report"}
    assert steps_of(pulled.run("snakemake", "-n")) == chain


@pytest.mark.slow
def test_a_new_cell_of_a_pulled_tree_gets_its_base_model_by_the_manifest(pulled: Checkout) -> None:
    pulled.run("lorap", "adopt")
    before, params = pulled.stamps(), pulled.params()
    params["grids"]["demo"]["cells"].append({"methods": ["svd"], "sparsities": [0.5]})
    pulled.write_params(params)
    pulled.run("snakemake")
    after = pulled.stamps()
    assert {name for name in before if after.get(name) != before[name]} <= {
        name for name in before if "/report/" in name
    } | {
        "results/demo/metrics.json",
        "results/demo/sweep.csv",
    }
    assert (pulled.folder / "models/tiny/meta.json").read_bytes() == (
        pulled.folder / "results/demo/models/tiny.json"
    ).read_bytes()
    assert "demo: 31 of 31" in pulled.run("lorap", "verify", "--bytes")


def test_a_base_model_that_changed_at_its_source_is_refused(pulled: Checkout, tmp_path: Path) -> None:
    source = Path(shutil.copytree(pulled.params()["models"]["tiny"]["path"], tmp_path / "source"))
    manifest = pulled.folder / "results/demo/models/tiny.json"
    said = json.loads(manifest.read_text())
    said["spec"]["model"]["path"] = str(source)
    manifest.write_text(json.dumps(said))
    config = source / "config.json"
    config.write_text(config.read_text() + "\n")
    told = pulled.run("lorap", "fetch", str(manifest), "--out", "models/tiny", ok=False)
    assert told.startswith("lorap: error: models/tiny: config.json is not what the manifest says; ")
    assert not list((pulled.folder / "models").iterdir())


@pytest.mark.slow
def test_a_meta_edited_by_hand_is_found_and_its_artifact_made_again(pulled: Checkout) -> None:
    meta = pulled.folder / f"{MEASURED}.meta.json"
    said = json.loads(meta.read_text())
    said["inputs"]["model"] = "0" * 64
    meta.write_text(json.dumps(said))
    told = pulled.run("lorap", "verify", ok=False)
    assert f"{MEASURED}: made from another model than" in told
    pulled.run("lorap", "adopt")
    assert steps_of(pulled.run("snakemake", "-n")) == {"cost_compressed", "report"}
    pulled.run("snakemake")
    assert "demo: 27 of 27" in pulled.run("lorap", "verify", "--bytes")


def test_a_flipped_byte_is_found_and_made_again_with_what_follows(pulled: Checkout) -> None:
    weights = pulled.folder / ADAPTER / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "damaged, adapter_model.safetensors has other bytes" in pulled.run("lorap", "adopt", "--bytes")
    chain = {"tune", "redecompose", *measuring("adapter", "redecomposed"), "report"}
    assert steps_of(pulled.run("snakemake", "-n")) == chain


def edit(checkout: Checkout, module: str, old: str, new: str) -> None:
    file = checkout.folder / "lorap" / module
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


def test_comments_rerun_nothing_and_code_its_step_and_what_follows(copy_of_made: Checkout) -> None:
    edit(copy_of_made, "compression/run.py", "\n\n\n", "\n\n\n# A remark.\n")
    edit(copy_of_made, "report/figures/style.py", '"""', '"""Said otherwise. ')
    assert NOTHING in copy_of_made.run("snakemake", "-n")
    edit(copy_of_made, "report/figures/style.py", "\n\n", "\n\nEXTRA = 1\n")
    assert steps_of(copy_of_made.run("snakemake", "-n")) == {"report"}, "no plot recompresses a model"
    edit(copy_of_made, "tuning/rejoin.py", "\n\n\n", "\n\n\nEXTRA = 1\n\n\n")
    assert steps_of(copy_of_made.run("snakemake", "-n")) == {"redecompose", *measuring("redecomposed"), "report"}


@pytest.mark.slow
def test_a_harmless_code_change_is_accepted_by_a_command_that_is_recorded(copy_of_made: Checkout) -> None:
    edit(copy_of_made, "tuning/rejoin.py", "\n\n\n", "\n\n\nEXTRA = 1\n\n\n")
    assert "made by other code" in copy_of_made.run("lorap", "verify", ok=False)
    told = copy_of_made.run("lorap", "adopt", "--accept-code", "a constant that nothing uses")
    assert told.splitlines() == [
        "demo: today's code accepted for 2 artifacts, as their metas say",
        "demo: 27 artifacts taken over, 0 to be made again, 0 missing",
    ]
    assert NOTHING in copy_of_made.run("snakemake")
    assert "demo: 27 of 27" in copy_of_made.run("lorap", "verify", "--bytes")
    meta = copy_of_made.folder / "results/demo/redecompose/tiny/pydoc-4x16/lorap-0.5/tiny/exact/meta.json"
    assert [accepted["why"] for accepted in json.loads(meta.read_text())["accepted"]] == [
        "a constant that nothing uses"
    ]
    edit(copy_of_made, "tuning/rejoin.py", "EXTRA = 1", "EXTRA = 2")
    assert "redecompose" in steps_of(copy_of_made.run("snakemake", "-n")), "only that change was accepted"


def test_adopt_judges_by_the_settings_that_the_workflow_reads(made: Checkout) -> None:
    told = made.run("lorap", "adopt", "--params", "params.yaml", ok=False)
    assert "--params params.yaml: refused; like the workflow, 'lorap adopt' reads ./params.yaml alone" in told


def test_adopt_needs_the_workflow(made: Checkout) -> None:
    assert "Snakefile: no such file" in Checkout(made.folder / "results").run("lorap", "adopt", ok=False)
