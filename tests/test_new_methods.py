"""A new method is one source file and one entry of params.yaml: everything else finds it, and nothing goes stale."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import save_file
from torch import Tensor

from tests.workflow import ROOT, Checkout

pytestmark = pytest.mark.thorough

TOYS = Path(__file__).parent / "toys"
ENTRIES = {
    "toy": {"attention": "awsvd", "ffn": "smallest", "power": 1.0},
    "toy-global": {"attention": {"name": "awsvd"}, "ffn": {"name": "prune"}, "share": {"name": "by-score"}},
}


def add_toys(project: Path) -> None:
    """Adds both toy methods to a copy of the project, as CONTRIBUTING.md says."""
    for toy in TOYS.glob("*.py"):
        shutil.copy(toy, project / "lorap" / "methods")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["methods"] |= ENTRIES
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def environment(project: Path) -> dict[str, str]:
    """The variables of a program that runs this copy's code."""
    return os.environ | {
        "PYTHONPATH": str(project),
        "CI": "true",
        "COLUMNS": "200",
    }


def run(project: Path, *command: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", *map(str, command)]
    return subprocess.run(program, cwd=project, env=environment(project), capture_output=True, text=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with both toys in it."""
    copy = tmp_path_factory.mktemp("project")
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("lorap", "tests"):
        shutil.copytree(ROOT / part, copy / part, symlinks=True, ignore=ignored)
    for file in ("params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / file, copy)
    add_toys(copy)
    return copy


def test_the_command_line_offers_them(project: Path) -> None:
    told = run(project, "lorap", "compress", "--help").stdout
    ffns = "--ffn decompose|flap|llm-pruner|magnitude-sp|obs|prune|slimllm|smallest|wanda-sp|none"
    shares = "--share by-score|global-threshold|log-tails|some-layers|uniform|water-filling|whole-budget"
    for option in (ffns, shares, "--power P"):
        assert option in told


@pytest.mark.slow
def test_a_plan_of_a_uniform_one_needs_the_configuration_alone(project: Path, tiny_folder: Path) -> None:
    plan = ("lorap", "plan", "--model", tiny_folder / "config.json", "--sparsity", 0.5, "--json")
    found = json.loads(run(project, *plan, "--method", "toy").stdout)
    usual = json.loads(run(project, *plan).stdout)
    assert found["layers"] == usual["layers"]
    assert found["removed"] == usual["removed"]


def test_a_global_one_scores_the_model_and_gives_every_layer_its_own(
    project: Path, tiny_folder: Path, windows: Tensor, tmp_path: Path
) -> None:
    save_file({"input_ids": windows}, tmp_path / "c.safetensors")
    of = ("--model", tiny_folder, "--method", "toy-global", "--sparsity", 0.5)
    refused = run(project, "lorap", "plan", *of, "--json")
    assert refused.returncode == 1
    assert refused.stderr == ("lorap: error: share by-score: has to know the model's layers, give --calibration FILE\n")
    windowed = (*of, "--calibration", tmp_path / "c.safetensors")
    plan = json.loads(run(project, "lorap", "plan", *windowed, "--json").stdout)
    uniform = json.loads(run(project, "lorap", "plan", "--model", tiny_folder, "--sparsity", 0.5, "--json").stdout)
    channels = [layer["channels"] for layer in plan["layers"]]
    assert len(set(channels)) > 1
    assert sum(channels) == sum(layer["channels"] for layer in uniform["layers"])
    done = run(project, "lorap", "compress", *windowed, "--out", tmp_path / "small")
    assert done.returncode == 0, done.stderr
    assert [layer["channels"] for layer in json.loads((tmp_path / "small/layers.json").read_text())] == channels
    exported = run(project, "lorap", "export", "--model", tmp_path / "small", "--out", tmp_path / "dense")
    assert exported.returncode == 0, exported.stderr
    assert json.loads((tmp_path / "dense/config.json").read_text())["intermediate_size"] == max(channels)


def test_an_option_that_the_chosen_parts_lack_is_refused(project: Path, tiny_folder: Path) -> None:
    done = run(project, "lorap", "plan", "--model", tiny_folder, "--sparsity", 0.5, "--power", 3)
    assert done.returncode == 1
    assert re.fullmatch(r"lorap: error: --power: none of attention awsvd, ffn prune, .*; leave it out\n", done.stderr)


@pytest.mark.system
def test_the_oracle_tests_them_too(project: Path) -> None:
    chosen = ("-k", "(smallest or by-score) and llama-gqa and 0.5", "-p", "no:cacheprovider")
    done = run(project, "pytest", "-q", "tests/test_oracle.py", *chosen)
    assert re.search(r"^2 passed", done.stdout.splitlines()[-1]), done.stdout[-2000:]


@pytest.mark.system
def test_the_report_shows_them_with_their_settings(project: Path, tmp_path: Path) -> None:
    cells = [{"methods": ["lorap", "toy", "toy-global"], "sparsities": [0.5]}]
    code = "from pathlib import Path; from lorap.report.build import build_report\n"
    code += "from tests.results_folder import fill, small_spec\n"
    code += f"spec = small_spec(cells={cells}); build_report(spec, fill(spec, Path({str(tmp_path)!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, env=environment(project), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert "toy-global" in (tmp_path / "report/main.csv").read_text()
    ablation = (tmp_path / "report/ffn.csv").read_text().splitlines()
    assert {"ffn", "power"} <= set(ablation[0].split(","))
    assert any(",smallest," in row for row in ablation[1:])


@pytest.mark.system
def test_a_new_method_and_a_new_setting_make_nothing_else_stale(copy_of_made: Checkout) -> None:
    copy = copy_of_made
    assert "0 of" not in copy.run("lorap", "verify")
    add_toys(copy.folder)
    setting(copy.folder / "lorap/methods/afm.py", 'name: Literal["afm"] = "afm"')
    copy.run("lorap", "verify")


@pytest.mark.system
def test_a_new_setting_of_a_treatment_makes_what_it_made_stale_and_what_follows(copy_of_made: Checkout) -> None:
    copy = copy_of_made
    setting(copy.folder / "lorap/methods/awsvd.py", 'name: Literal["awsvd"] = "awsvd"')
    told = copy.run("lorap", "verify", ok=False)
    faulty = set(re.findall(r"results/demo/(\w+)", told))
    assert faulty == {"compress", "report"}
    assert "more are made from these" in told


def setting(file: Path, behind: str) -> None:
    """Adds a setting with a default to a part."""
    text = file.read_text()
    assert behind in text
    file.write_text(text.replace(behind, f"{behind}\n    strength: float = 1.0"))


@pytest.mark.parametrize("taken", ["batch", "attention", "allocation"])
def test_a_setting_whose_name_is_taken_is_refused_with_its_file(project: Path, taken: str) -> None:
    text = (TOYS / "smallest.py").read_text().replace("Smallest", "Clash").replace('"smallest"', '"clash"')
    file = project / "lorap/methods/clash.py"
    file.write_text(text.replace("    power: Annotated[float", f"    {taken}: bool = True\n    power: Annotated[float"))
    try:
        done = run(project, "lorap", "plan", "--help")
    finally:
        file.unlink()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"lorap: error: lorap.methods.clash: setting '{taken}': the name is taken")
