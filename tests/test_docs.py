"""The documentation names files, anchors, commands and options that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorap.cli.main import parse
from tests.test_structure import LAYERS

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *sorted((ROOT / "docs").iterdir())]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
PLACES = ("lorap/", "tests/", "docs/", "rules/", "profiles/", "benchmarks/", "results/")


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """The commands of lorap in the shell's blocks of a page, without the remarks beside them."""
    for language, block in FENCE.findall(page.read_text()):
        if language == "bash":
            lines = re.sub(r"\\\n", " ", block).splitlines()
            yield from (line for line in lines if line.startswith("lorap "))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`([\w./-]+)`", page.read_text())
    assert [name for name in named if name.startswith(PLACES) and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    for command in commands(page):
        parse(shlex.split(command, comments=True)[1:])


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_picture_of_the_rooms_has_them_all_and_shows_imports_that_are_allowed() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text().partition("flowchart BT")[2].partition("```")[0]
    assert set(re.findall(r"(\w+)\[", picture)) == set(LAYERS) - {"bare"}
    arrows = re.findall(r"(\w+)\[.*\] --> (.*)", picture)
    shown = {(room, other) for room, others in arrows for other in others.split(" & ")}
    assert [(room, other) for room, other in shown if other not in LAYERS[room]] == []
