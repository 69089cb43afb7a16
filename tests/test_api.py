"""The library: the functions of ``lorap``, their examples, and what importing it costs."""

import doctest
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import lorap
import lorap.api
from lorap.data.corpora import pydoc_rows
from lorap.files import sha256_file
from tests.command import succeed

FUNCTIONS = [name for name in lorap.__all__ if name != "LorapError"]
CHAIN = ["fetch", "calibrate", "survey", "plan", "compress", "load", "evaluate", "export", "tune", "redecompose"]
HEAVY = {"torch", "transformers", "pydantic", "yaml", "numpy", "lorap.api"}


@dataclass(frozen=True)
class Ran:
    """A working folder in which the examples of all functions were run, in the order of the chain."""

    folder: Path
    results: dict[str, doctest.TestResults]


@pytest.fixture(scope="module")
def ran(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The examples, run on a tiny model and a text."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "downloads").mkdir()
    (folder / "downloads/model").symlink_to(tiny_folder)
    (folder / "book.txt").write_text("\n\n".join(pydoc_rows("tuning")[:40]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Ran(folder, {name: run_example(name) for name in CHAIN})


def run_example(name: str) -> doctest.TestResults:
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(lorap.api, name), name)
    return doctest.DocTestRunner().run(example)


def test_every_function_has_an_example_that_runs(ran: Ran) -> None:
    assert sorted(CHAIN) == FUNCTIONS == sorted(lorap.api.__all__)
    assert {name: result.failed for name, result in ran.results.items()} == dict.fromkeys(CHAIN, 0)
    assert all(result.attempted > 1 for result in ran.results.values())


def test_a_function_makes_what_the_command_makes(ran: Ran) -> None:
    data = ("--calibration", "calibration.safetensors")
    succeed("compress", "--model", "model", *data, "--sparsity", 0.5, "--keep-least", 0.2, "--out", "by-command")
    lorap.compress(
        Path("model"), Path("calibration.safetensors"), Path("by-call"), sparsity=0.5, keep_least=0.2, quiet=True
    )
    ids = [json.loads(Path(made, "meta.json").read_text())["id"] for made in ("by-command", "by-call")]
    assert ids[0] == ids[1]
    found = lorap.evaluate("by-call", "perplexity", text="book.txt", windows=2, out="by-call.json", quiet=True)
    text = ("--text", "book.txt", "--windows", 2)
    shown = succeed("evaluate", "perplexity", "--model", "by-command", *text, "--json", "--out", "by-command.json")
    assert json.loads(shown) == found
    assert sha256_file(Path("by-call.json")) == sha256_file(Path("by-command.json"))


def test_a_measurement_without_a_place_writes_nothing(ran: Ran) -> None:
    before = sorted(ran.folder.iterdir())
    assert lorap.evaluate("model", "cost", device="cpu", quiet=True)["parameters"] > 0
    assert sorted(ran.folder.iterdir()) == before


def test_what_cannot_be_done_is_an_error_of_lorap(ran: Ran) -> None:
    with pytest.raises(lorap.LorapError, match=r"keep-most: none of .* has such a setting"):
        lorap.plan("model", sparsity=0.5, keep_most=1)
    with pytest.raises(lorap.LorapError, match="unknown name 'speed', expected one of perplexity"):
        lorap.evaluate("model", "speed")
    with pytest.raises(lorap.LorapError, match="dtype: got 'int8'"):
        lorap.load("model", dtype="int8")
    with pytest.raises(AttributeError, match="no attribute 'squeeze'"):
        lorap.squeeze  # noqa: B018


def test_a_function_is_not_hidden_by_a_room_of_the_package() -> None:
    rooms = {path.name for path in Path(lorap.__file__).parent.iterdir()}
    assert not rooms & {*lorap.__all__, *(f"{name}.py" for name in lorap.__all__)}


def test_importing_the_library_loads_nothing_that_takes_seconds(tmp_path: Path) -> None:
    code = "import sys, lorap; print(*sys.modules); lorap.compress; print(*sys.modules)"
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | path, cwd=tmp_path, capture_output=True)
    first, then = (set(line.split()) for line in done.stdout.decode().splitlines())
    assert not first & HEAVY
    assert "lorap.api" in then
    assert not then & {"torch", "transformers"}
