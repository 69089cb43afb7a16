"""A copy of the workflow in a temporary folder, with a tiny model, driven by the real snakemake, dvc and git."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PARTS = ("Snakefile", "rules", "profiles", "dvc.yaml", ".dvc/config", ".dvcignore", ".gitignore", "lorap")
NOTHING = "Nothing to be done"  # as Snakemake says it
LIMIT = 600  # seconds that no call comes near, unless it hangs


@dataclass(frozen=True)
class Checkout:
    """A folder with the workflow in it."""

    folder: Path

    def run(self, *command: str, ok: bool = True, limit: int = LIMIT, **variables: str) -> str:
        """Runs a program of the environment for at most ``limit`` seconds, with variables for it alone.

        Returns:
            All that it printed.
        """
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            check=False,
        )
        assert (done.returncode == 0) == ok, done.stdout[-5000:] + self.logs()
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Starts one of the environment's programs in a process group of its own; ``output`` tells what it prints."""
        with self.output.open("w") as file:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    @property
    def output(self) -> Path:
        """What the program that was started last has printed."""
        return self.folder.with_name(f"{self.folder.name}.output")

    def environment(self) -> dict[str, str]:
        """The variables of a program that runs here."""
        return os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "CI": "true",
            "DVC_NO_ANALYTICS": "true",
        }

    def logs(self) -> str:
        """The end of every log of a job."""
        return "".join(f"\n{log}:\n{log.read_text()[-500:]}" for log in self.folder.glob("logs/**/*.log"))

    def params(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "params.yaml").read_text())

    def write_params(self, params: dict[str, Any]) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, default_flow_style=False, sort_keys=False))

    def commit(self) -> None:
        """Makes the folder a git repository with all that is not ignored in it, as DVC wants one."""
        if not (self.folder / ".git").exists():
            self.run("git", "init", "--quiet")
            self.run("git", "config", "user.email", "test@example.org")
            self.run("git", "config", "user.name", "test")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "test", "--allow-empty")

    def artifacts(self) -> list[Path]:
        """Every file of the results."""
        files = (self.folder / "results").rglob("*")
        return [file for file in files if file.is_file() and file.name != ".gitignore"]

    def stamps(self) -> dict[str, int]:
        """When each artifact was last written."""
        return {str(file.relative_to(self.folder)): file.stat().st_mtime_ns for file in self.artifacts()}

    def contents(self) -> dict[str, bytes]:
        """The bytes of each artifact."""
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in self.artifacts()}


def steps_of(planned: str) -> set[str]:
    """The rules of a plan that make something."""
    table = planned.partition("Job stats:")[2].partition("total")[0]
    return {line.split()[0] for line in table.splitlines() if line[-1:].isdigit()} - {"all"}


def measuring(*kinds: str) -> set[str]:
    """The rules that measure cells of some kinds."""
    return {f"{rule}_{kind}" for rule in ("evaluate", "cost") for kind in kinds}


def make_checkout(folder: Path, model: Path) -> Checkout:
    """A checkout whose demo grid has two cells of a tiny local model."""
    folder.mkdir(parents=True)
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    checkout = Checkout(folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["models"] = {"tiny": {"source": "folder", "path": str(model)}}
    params["calibrate"] = {"pydoc-4x16": {"corpus": "pydoc", "nsamples": 4, "seqlen": 16}}
    params["evaluate"]["perplexity"] = {"pydoc": {"corpus": "pydoc", "seqlen": 16, "windows": 8}}
    params["evaluate"]["cost"] |= {"prompt": 8, "new_tokens": 2, "batches": [1], "repeats": 1}
    tune = params["tune"]["pydoc-factored"] | {"rows": 24, "held_out": 4, "cutoff": 16, "max_steps": 2, "batch": 4}
    params["tune"] = {"tiny": tune | {"micro_batch": 4, "evaluate_every": 1}}
    params["evaluate"]["zeroshot"] = {"pydoc": {"tasks": ["pydoc"], "documents": 4}}
    lorap: dict[str, Any] = {"methods": ["lorap"], "sparsities": [0.5], "zeroshot": True}
    tuned = lorap | {"tune": ["tiny"], "kept_as": ["adapter", "exact", "truncated"]}
    grid: dict[str, Any] = {
        "models": ["tiny"],
        "calibration": "pydoc-4x16",
        "perplexity": ["pydoc"],
        "zeroshot": "pydoc",
    }
    grid["cells"] = [tuned, {"methods": ["lorap-1to1"], "sparsities": [0.5]}]
    params["grids"] = {"demo": grid}
    checkout.write_params(params)
    return checkout
