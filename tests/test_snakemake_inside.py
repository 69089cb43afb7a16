"""What the workflow uses of Snakemake without a promise of its manual: each use shown with the real Snakemake."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.workflow import BIN, ROOT

pytestmark = pytest.mark.system

INSIDE = ROOT / "lorap/workflow/snakemake_inside.py"
DOCUMENTED = {"snakemake.utils", "snakemake.logging", "snakemake.exceptions"}  # what its manual has users import
HEAD = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from lorap.errors import LorapError
from lorap.workflow import snakemake_inside as inside
"""


def snakemake(folder: Path, rules: str, *options: str, ok: bool = True, **variables: str) -> str:
    """Runs a workflow of a few rules in a folder; returns what is printed."""
    (folder / "Snakefile").write_text(HEAD + rules)
    command = [str(BIN / "snakemake"), "--cores", "2", *options]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_only_one_module_knows_snakemake_from_inside() -> None:
    for rules in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        text = rules.read_text()
        assert not re.findall(r"(?<!lorap\.)\bworkflow\.\w+", text), f"{rules}: ask {INSIDE.name} instead"
        assert set(re.findall(r"^(?:from|import) (snakemake[\w.]*)", text, re.M)) <= DOCUMENTED, rules
    for file in set((ROOT / "lorap").rglob("*.py")) - {INSIDE}:
        for node in ast.walk(ast.parse(file.read_text())):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in found if name.startswith(("snakemake.", "snakemake_"))], file


def test_a_job_holds_the_lock_of_its_run_and_its_standard_input_is_its_own(tmp_path: Path) -> None:
    rules = """
onstart:
    inside.take_turn(workflow)

rule all:
    output: "held", "input"
    shell: "ls -l /proc/self/fd > {output[0]}; readlink /proc/self/fd/0 > {output[1]}"
"""
    snakemake(tmp_path, rules)
    assert "/.snakemake/lorap.lock" in (tmp_path / "held").read_text()
    assert (tmp_path / "input").read_text() == "/dev/null\n"


def test_snakemake_has_as_much_to_do_after_many_jobs_as_before(tmp_path: Path) -> None:
    rules = """
onstart:
    inside.wait_without_timers(workflow)

rule all:
    input: expand("{job}.threads", job=range(40))

rule one:
    output: "{job}.threads"
    shell: "sleep 0.2; grep Threads /proc/$PPID/status > {output}"
"""
    snakemake(tmp_path, rules)
    assert max(int(file.read_text().split()[1]) for file in tmp_path.glob("*.threads")) < 20


def test_a_run_in_a_folder_where_another_is_at_work_is_refused_without_a_traceback(tmp_path: Path) -> None:
    rules = """
import fcntl, os

onstart:
    other = os.open(".snakemake/lorap.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    inside.take_turn(workflow)

rule all:
    output: "made"
    shell: "touch {output}"
"""
    printed = snakemake(tmp_path, rules, ok=False)
    assert "another run is at work here" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("options", [(), ("--quiet", "rules"), ("--quiet", "all")])
def test_the_end_of_a_failed_jobs_log_is_shown_and_of_no_other(tmp_path: Path, options: tuple[str, ...]) -> None:
    rules = """
inside.show_failed_logs()

rule all:
    input: "good", "bad"

rule good:
    output: "good"
    log: "logs/good.log"
    shell: "echo fine > {log}; touch {output}"

rule bad:
    output: "bad"
    log: "logs/bad.log"
    shell: "seq 30 > {log}; echo that was it >> {log}; false"
"""
    printed = snakemake(tmp_path, rules, "--keep-going", *options, ok=False)
    lines = "\n    ".join([*map(str, range(12, 31)), "that was it"])
    assert f"logs/bad.log:\n    {lines}\n" in printed
    assert "\n    11\n" not in printed
    assert "fine" not in printed


def test_a_job_that_dies_is_one_that_failed(tmp_path: Path) -> None:
    rules = """
inside.show_failed_logs()

rule all:
    output: "made"
    log: "its.log"
    shell: "echo last words > {log}; kill -9 $$"
"""
    assert "its.log:\n    last words\n" in snakemake(tmp_path, rules, ok=False)


@pytest.mark.parametrize(
    ("devices", "options", "told"),
    [
        ("", ("--cores", "1"), "1 1"),
        ("", ("--cores", "2"), "2 1"),
        ("", ("--cores", "5", "--resources", "gpu=4"), "5 2"),
        ("0,1,2,3", ("--cores", "16", "--resources", "gpu=1"), "16 8"),
        ("0,1,2,3", ("--cores", "16", "--resources", "gpu=3"), "16 5"),
        ("0,1,2,3", ("--cores", "16", "--resources", "gpu=8"), "16 4"),
        ("0,1,2,3", ("--cores", "16"), "16 4"),
        ("0,1,2,3", ("--cores", "2"), "2 1"),
    ],
)
def test_a_job_may_take_all_cores_or_its_share(
    tmp_path: Path, devices: str, options: tuple[str, ...], told: str
) -> None:
    rules = """
print("cores", *inside.cores_of_a_job(workflow), file=sys.stderr)

rule all:
    output: "made"
    shell: "touch {output}"
"""
    assert f"cores {told}\n" in snakemake(tmp_path, rules, "-n", *options, CUDA_VISIBLE_DEVICES=devices)


@pytest.mark.parametrize(("devices", "gpus"), [("", 0), ("0,1", 1)])
def test_a_job_on_this_machine_has_a_gpu_where_there_is_one(tmp_path: Path, devices: str, gpus: int) -> None:
    rules = """
print("gpus", inside.gpus_of_a_job(workflow), file=sys.stderr)

rule all:
    output: "made"
    shell: "touch {output}"
"""
    assert f"gpus {gpus}\n" in snakemake(tmp_path, rules, "-n", CUDA_VISIBLE_DEVICES=devices)


def test_an_error_of_ours_is_shown_without_a_traceback(tmp_path: Path) -> None:
    rules = """
with inside.in_snakemakes_words():
    raise LorapError("params.yaml: wrong")
"""
    printed = snakemake(tmp_path, rules, ok=False)
    assert "params.yaml: wrong" in printed
    assert "Traceback" not in printed


def test_snakemake_has_records_once_it_has_made_something(tmp_path: Path) -> None:
    rules = """
print("records", inside.has_records(), file=sys.stderr)

rule all:
    output: "made"
    shell: "touch {output}"
"""
    assert "records False" in snakemake(tmp_path, rules)
    assert "records True" in snakemake(tmp_path, rules)


def test_weights_as_an_input_would_make_a_new_cell_rerun_the_others(tmp_path: Path) -> None:
    """Why rules/models.smk has jobs fetch what they read: if this fails, the weights may become an `ancient` input."""
    rules = """
rule all:
    input: [f"{cell}.json" for cell in sys.argv[-1].partition("=")[2]]

rule weights:
    output: "weights"
    shell: "touch {output}"

rule cell:
    input: ancient("weights")
    output: "{cell}.json"
    shell: "touch {output}"
"""
    rules = rules.replace('sys.argv[-1].partition("=")[2]', 'config["cells"]')
    snakemake(tmp_path, rules, "--config", "cells=ab")
    (tmp_path / "weights").unlink()  # as after a pull
    assert "Nothing to be done" in snakemake(tmp_path, rules, "-n", "--config", "cells=ab")
    planned = snakemake(tmp_path, rules, "-n", "--config", "cells=abc")
    assert sorted(re.findall(r"output: (\w+).json", planned)) == ["a", "b", "c"]
