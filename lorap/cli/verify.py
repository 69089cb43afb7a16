"""``lorap verify``: is every artifact of a grid what params.yaml says."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from lorap.artifacts.steps import STAGES
from lorap.cli import options
from lorap.cli.grids import fault_lines, grids_of
from lorap.errors import LorapError
from lorap.settings.config import load_params
from lorap.settings.schema import Params
from lorap.workflow.expected import Artifact, artifacts
from lorap.workflow.faults import faults


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap verify``."""
    options.add_grid(parser)
    options.add_results(parser)
    parser.add_argument("--until", metavar="STEP", help="leave out what comes after a step, such as compress")
    options.add_bytes(parser)
    options.add_common(parser, run, "lorap verify --grid demo --bytes")


def run(arguments: Namespace) -> None:
    """Prints how many artifacts are right; a LorapError has a line for every other one."""
    params = load_params(arguments.params)
    told = []
    for name in grids_of(arguments.grid, params):
        found = list(faults(_chosen(params, name, arguments), arguments.bytes))
        wrong = [(artifact, fault) for artifact, fault in found if fault]
        print(f"{name}: {len(found) - len(wrong)} of {len(found)} artifacts are what params.yaml says")
        told += fault_lines(wrong)
    if told:
        raise LorapError("\n".join(told))


def _chosen(params: Params, name: str, arguments: Namespace) -> Iterator[Artifact]:
    """The artifacts of a grid, up to those of one of its steps."""
    stages = list(STAGES)
    last = arguments.until or stages[-1]
    if last not in stages:
        raise LorapError(f"--until: unknown step {last!r}, expected one of {', '.join(stages)}")
    wanted = stages[: stages.index(last) + 1]
    folder = arguments.results / name
    return (a for a in artifacts(params, name, arguments.results) if a.path.relative_to(folder).parts[0] in wanted)
