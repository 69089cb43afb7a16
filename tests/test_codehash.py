"""The hash of a step's code: what makes its artifacts out of date, and what does not."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lorap.artifacts import specs
from lorap.artifacts.codehash import closure, module_file
from tests.test_structure import PACKAGE

pytestmark = pytest.mark.thorough

STEPS = sorted({kind.module for kind in vars(specs).values() if hasattr(kind, "sealed") and hasattr(kind, "module")})
Edit = Callable[[str], str]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be edited."""
    shutil.copytree(PACKAGE, tmp_path / "lorap", ignore=shutil.ignore_patterns("__pycache__", "params.yaml"))
    return tmp_path / "lorap"


def hashes(package: Path) -> dict[str, str]:
    """The hash of every step's code, in a process that knows only the copy."""
    code = f"from lorap.artifacts.codehash import code_hash\nfor step in {STEPS}: print(step, code_hash(step))"
    path = {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, cwd=package.parent, capture_output=True, check=True
    )
    return dict(line.split() for line in done.stdout.decode().splitlines())


def changed(package: Path, file: str, edit: Edit) -> set[str]:
    """The steps whose hash an edit of a file changes."""
    before = hashes(package)
    text = (package / file).read_text()
    assert edit(text) != text
    (package / file).write_text(edit(text))
    after = hashes(package)
    return {step for step in STEPS if before[step] != after[step]}


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\n# a remark\n",
        lambda text: re.sub(r'"""(?=\w)', '"""Said otherwise. ', text),
        lambda text: text.replace("\n\n\n", "\n\n\n\n"),
        lambda text: text.replace(" = ", "  =  "),
    ],
    ids=["comment", "docstring", "blank lines", "spaces"],
)
def test_words_and_spaces_leave_every_artifact_fresh(package: Path, edit: Edit) -> None:
    assert changed(package, "core/budget.py", edit) == set()


def test_code_that_a_step_reaches_through_others_makes_it_stale_and_no_other_step(package: Path) -> None:
    stale = changed(package, "core/budget.py", lambda text: text.replace("int(", "round("))
    assert {"lorap.compression.run", "lorap.compression.dense"} <= stale
    assert "lorap.data.draw" not in stale


def test_a_figure_does_not_recompress_a_model(package: Path) -> None:
    assert changed(package, "report/figures/style.py", lambda text: text + "\nCOLOURS = 3\n") == {"lorap.report.build"}


def test_a_template_is_part_of_the_step_that_fills_it(package: Path) -> None:
    for file in ("report/page/page.html.j2", "report/page/page.css.j2", "report/read/published.csv"):
        assert changed(package, file, lambda text: text + "\n") == {"lorap.report.build"}


def test_the_command_line_and_the_library_are_no_part_of_any_step(package: Path) -> None:
    for file in ("cli/compress.py", "api/jobs.py", "__init__.py", "__main__.py"):
        assert changed(package, file, lambda text: text + "\nNEW = 1\n") == set()


def test_a_string_that_is_no_docstring_counts(package: Path) -> None:
    stale = changed(package, "compression/run.py", lambda text: text.replace('unit="layer"', 'unit="block"'))
    assert "lorap.compression.run" in stale


def test_a_new_import_brings_in_what_it_names_even_inside_a_function(package: Path) -> None:
    (package / "extra.py").write_text('"""New."""\n\nVALUE = 1\n')
    use = "\n\ndef _use() -> int:\n    from lorap import extra\n\n    return extra.VALUE\n"
    (package / "data" / "windows.py").write_text((package / "data" / "windows.py").read_text() + use)
    stale = changed(package, "extra.py", lambda text: text.replace("1", "2"))
    assert "lorap.data.draw" in stale
    assert "lorap.compression.run" not in stale


@pytest.mark.parametrize("step", STEPS)
def test_every_step_starts_in_a_module_that_exists_and_reaches_no_command_and_no_function_of_the_library(
    step: str,
) -> None:
    assert module_file(step) is not None
    assert not [name for name in closure(step) if name.startswith(("lorap.cli", "lorap.api"))]


def test_a_treatment_is_part_of_its_own_methods_alone(package: Path) -> None:
    def of_methods() -> dict[str, str]:
        code = (
            "from lorap.artifacts.specs import CompressSpec\n"
            "for name in ('svd', 'awsvd', 'afm'):\n"
            "    method = {'attention': name, 'ffn': 'prune'}\n"
            "    run = {'sparsity': 0.5, 'form': 'factored', 'dtype': 'auto', 'batch': 1, 'offload': False}\n"
            "    print(name, CompressSpec(method=method, **run).sealed().code)\n"
        )
        path = {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | path, cwd=package.parent, capture_output=True, check=True
        )
        return dict(line.split() for line in done.stdout.decode().splitlines())

    def stale(file: str, text: str) -> set[str]:
        before = of_methods()
        (package / file).write_text((package / file).read_text() + text if (package / file).exists() else text)
        after = of_methods()
        return {name for name in before if before[name] != after[name]}

    assert stale("methods/brand_new.py", '"""New."""\n\nVALUE = 1\n') == set()
    assert stale("methods/afm.py", "\nVALUE = 1\n") == {"afm"}
    assert stale("methods/prune_channels.py", "\nVALUE = 1\n") == {"svd", "awsvd", "afm"}
