"""Runs lorap as if optional packages were not installed: nothing of them is found."""

import importlib.machinery
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
BLOCKED: set[str] = set()


def distributions(requirements: list[str]) -> set[str]:
    """The names of all that pip would install for these requirements, as far as it is installed here."""
    todo = [Requirement(requirement) for requirement in requirements]
    found: dict[str, None] = {}
    while todo:
        wanted = todo.pop()
        if (key := f"{canonical(wanted.name)}{sorted(wanted.extras)}") in found:
            continue
        found[key] = None
        try:
            needs = [Requirement(text) for text in metadata.requires(wanted.name) or []]
        except metadata.PackageNotFoundError:
            continue
        extras = wanted.extras or {""}
        todo += [n for n in needs if n.marker is None or any(n.marker.evaluate({"extra": e}) for e in extras)]
    return {key.partition("[")[0] for key in found}


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def optional_modules() -> set[str]:
    """The modules here that ``pip install lorap`` does not bring."""
    core = distributions(PROJECT["dependencies"]) | {"lorap"}
    return {
        module
        for module, names in metadata.packages_distributions().items()
        if not {canonical(name) for name in names} & core
    }


class Finder(importlib.machinery.PathFinder):
    """Finds what Python finds, but for what is blocked."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Nothing for a blocked module, as if it were not installed."""
        return None if fullname.partition(".")[0] in BLOCKED else super().find_spec(fullname, path, target)


def block(modules: set[str]) -> None:
    """Hides modules from every later import of this process."""
    BLOCKED.update(modules)
    finders: list[Any] = sys.meta_path
    finders[finders.index(importlib.machinery.PathFinder)] = Finder


def run(modules: set[str], commands: list[list[str]], folder: Path) -> list[tuple[int, str]]:
    """Runs commands one after the other in one process that lacks modules; returns the exit code and errors of each."""
    command = [sys.executable, "-m", __name__, ",".join(sorted(modules))]
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "CI": "true"}
    done = subprocess.run(
        command, cwd=folder, env=variables, input=json.dumps(commands), capture_output=True, text=True, check=True
    )
    return [(code, err) for code, err in json.loads(done.stdout.splitlines()[-1])]


def _run_here(commands: list[list[str]]) -> list[tuple[int, str]]:
    from tests.command import call

    ended = [call(*command) for command in commands]
    return [(done.code, done.err) for done in ended]


if __name__ == "__main__":
    block(set(sys.argv[1].split(",")))
    print(json.dumps(_run_here(json.load(sys.stdin))))
