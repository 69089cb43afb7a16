"""What a step of the workflow is, and an artifact that it makes; no torch here."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lorap.artifacts.grid import Cell
from lorap.artifacts.names import META
from lorap.artifacts.specs import Spec
from lorap.settings.method import Method
from lorap.settings.schema import Grid, Params

Methods = Mapping[str, Method]


@dataclass(frozen=True)
class Output:
    """An artifact, by paths below the folder of a grid that have the settings of a cell as wildcards.

    Attributes:
        path: The artifact: a folder, or a file.
        meta: Its meta.json.
        files: Its other files.
        root: The folder below which its meta names them.
        name: What reports call it.
    """

    path: str
    meta: str
    files: tuple[str, ...]
    root: str
    name: str

    def of(self, cell: Cell) -> "Output":
        """The artifact of a cell, its wildcards filled."""
        texts = cell.wildcards
        files = tuple(file.format_map(texts) for file in self.files)
        path, meta, root, name = (part.format_map(texts) for part in (self.path, self.meta, self.root, self.name))
        return Output(path, meta, files, root, name)


def folder(path: str, *files: str) -> Output:
    """A folder of files, with its meta among them."""
    return Output(path, f"{path}/{META}", tuple(f"{path}/{file}" for file in files), path, path)


def file(path: str) -> Output:
    """A file, with its meta beside it."""
    return Output(path, f"{path}.{META}", (path,), str(PurePosixPath(path).parent), path)


def manifest(path: str) -> Output:
    """What a grid has of a base model, whose weights lie elsewhere: its meta, and its configuration in a folder."""
    return Output(f"{path}.json", f"{path}.json", (f"{path}/config.json",), path, path)


def report(path: str, *files: str) -> Output:
    """A report: a folder with its meta, and the files of a report, which are named from the grid's folder on."""
    return Output(path, f"{path}/{META}", files, ".", path)


def _none(cell: Cell, methods: Methods) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class Step:
    """A step of the workflow.

    Attributes:
        name: Its rule.
        stage: The folder of a grid's results that it writes to; also a target of Snakemake and a stage of DVC.
        outputs: What it makes for one cell.
        cells: Those of a grid that it is run for, which may depend on what its methods are.
        spec: The settings that it is run with, from all settings, a grid's name and a cell.
        settings: The sections of params.yaml that these come from, beside the grid.
        inputs: The steps whose artifacts of the same cell it takes, by role.
        unused: The roles that a cell has no use for, which may depend on what its method is.
        takes_all: Whether it takes the artifacts of all cells instead, which then are their own roles.
        beside: The folder that its command writes instead, beside the results; all grids share it.
        on_gpu: Whether it computes on a GPU where there is one.
    """

    name: str
    stage: str
    outputs: tuple[Output, ...]
    cells: Callable[[Grid, Methods], Iterable[Cell]]
    spec: Callable[[Params, str, Cell], Spec]
    settings: tuple[str, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)
    unused: Callable[[Cell, Methods], Collection[str]] = _none
    takes_all: bool = False
    beside: str = ""
    on_gpu: bool = False

    @property
    def choosy(self) -> bool:
        """Whether some of its cells have no use for some of its inputs."""
        return self.unused is not _none

    @property
    def out(self) -> str:
        """Where a job is told to write: its artifact, or the folder of several."""
        first = self.outputs[0]
        return first.path if len(self.outputs) == 1 else first.root
