"""`lorap verify` names every artifact that is not what params.yaml says, and what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import call, faults, succeed
from tests.whole_tree import CELL, params_with

pytestmark = pytest.mark.thorough


def test_a_whole_tree_is_right(tree: Path) -> None:
    assert succeed("verify", "--bytes") == "small: 27 of 27 artifacts are what params.yaml says\n"
    assert succeed("verify", "--until", "compress") == "small: 4 of 4 artifacts are what params.yaml says\n"
    assert succeed("prune") == ""


def edit(file: str, **changes: Any) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        meta = json.loads((tree / file).read_text())
        (tree / file).write_text(json.dumps(meta | changes))

    return apply


def write(file: str, text: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        (tree / file).write_text(text)

    return apply


def flip(file: str) -> Callable[[Path], None]:
    def apply(tree: Path) -> None:
        data = bytearray((tree / file).read_bytes())
        data[0] ^= 1
        (tree / file).write_bytes(data)

    return apply


@pytest.mark.parametrize(
    ("damage", "lines", "more"),
    [
        (flip(f"compress/{CELL}/config.json"), [f"compress/{CELL}: damaged, config.json has other bytes than"], 16),
        (flip(f"evaluate/{CELL}/cost.json"), [f"evaluate/{CELL}/cost.json: damaged, cost.json has other bytes"], 1),
        (flip("metrics.json"), ["report: damaged, metrics.json has other bytes"], 0),
        (lambda tree: (tree / f"compress/{CELL}/config.json").unlink(), [f"compress/{CELL}: incomplete, config"], 16),
        (lambda tree: (tree / f"tune/{CELL}/alpaca/meta.json").unlink(), [
            f"tune/{CELL}/alpaca: missing",
            f"redecompose/{CELL}/alpaca/exact: its adapter is missing",
            f"redecompose/{CELL}/alpaca/truncated: its adapter is missing",
            *(f"evaluate/{CELL}/alpaca/adapter/{name}.json: its adapter is missing"
              for name in ("perplexity", "zeroshot", "cost")),
            f"report: its tune/{CELL}/alpaca is missing",
        ], 6),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", id="0" * 64), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, its id does not fit",
            f"report: made from another evaluate/{CELL}/cost.json than",
        ], 0),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", sha256="0" * 64), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited",
        ], 1),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", inputs={"model": "0" * 64}), [
            f"evaluate/{CELL}/cost.json: made from another model than",
        ], 1),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", sha256=[1]), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, sha256",
        ], 1),
        (edit(f"evaluate/{CELL}/cost.json.meta.json", accepted=[{"why": "harmless"}]), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, accepted.0.code: Field required",
        ], 1),
        (write(f"evaluate/{CELL}/cost.json.meta.json", "[]"), [
            f"evaluate/{CELL}/cost.json: cost.json.meta.json was edited, the whole: Input should be",
        ], 1),
        (write(f"compress/{CELL}/meta.json", ""), [f"compress/{CELL}: damaged, "], 16),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_artifact_is_told(
    tree: Path, damage: Callable[[Path], Any], lines: list[str], more: int
) -> None:
    damage(tree)
    done = call("verify", "--bytes")
    assert done.out == f"small: {27 - len(lines) - more} of 27 artifacts are what params.yaml says\n"
    if more:
        lines = [*lines, f"{more} more are made from these"]
    found = (
        done.err.replace("lorap: error: ", "")
        .replace("\nresults/small/", "\n")
        .removeprefix("results/small/")
        .splitlines()
    )
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_a_changed_setting_makes_its_step_stale_and_no_other(tree: Path) -> None:
    params_with(seed=1)
    found = call("verify").err.splitlines()
    assert [line.split(": ", 3)[3] for line in found if "/calibrate/" in line] == ["made from other settings (seed)"]
    assert not [line for line in found if "/compress/" in line], "its own settings are right"
    assert found[-1].endswith(" more are made from these")


def test_an_unknown_step_or_grid_is_refused(tree: Path) -> None:
    assert faults(call("verify", "--until", "bake")) == [
        "--until: unknown step 'bake', expected one of models, calibrate, survey, compress, tune, redecompose, "
        "evaluate, report"
    ]
    assert faults(call("prune", "--grid", "nope"))[0].startswith("grid: unknown name 'nope', expected one of ")
