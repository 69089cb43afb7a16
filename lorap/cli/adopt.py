"""``lorap adopt``: take over results that were pulled or copied, so that the workflow makes only the others."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.cli import options
from lorap.cli.grids import fault_lines, grids_of
from lorap.errors import LorapError
from lorap.settings.config import load_params
from lorap.settings.schema import Params
from lorap.workflow.expected import artifacts
from lorap.workflow.faults import Kind, accept_code, faults
from lorap.workflow.takeover import drop, require_workflow, take_over

RESULTS = Path("results")  # where the workflow has them


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap adopt``."""
    options.add_grid(parser)
    options.add_bytes(parser)
    why = "keep what other code made; the reason is recorded with each artifact"
    parser.add_argument("--accept-code", metavar="WHY", help=why)
    options.add_common(parser, run, "lorap adopt --grid demo")


def run(arguments: Namespace) -> None:
    """Takes over what is right, and leaves what is stale to the workflow."""
    import snakemake  # noqa: F401  (a process of its own runs it, whose traceback would say that it is missing)

    require_workflow()
    if arguments.params:
        raise LorapError(
            f"--params {arguments.params}: refused; like the workflow, 'lorap adopt' reads ./params.yaml alone"
        )
    params = load_params()
    for name in grids_of(arguments.grid, params):
        if arguments.accept_code:
            _accept(params, name, arguments.accept_code)
        found = list(faults(artifacts(params, name, RESULTS), arguments.bytes))
        stale = [(artifact, fault) for artifact, fault in found if fault and fault.kind != Kind.MISSING]
        for artifact, _ in stale:
            drop(artifact)
        print("".join(f"{line}\n" for line in fault_lines(stale)), end="")
        if fresh := [artifact for artifact, fault in found if fault is None]:
            take_over(name, fresh)
        missing = len(found) - len(fresh) - len(stale)
        print(f"{name}: {len(fresh)} artifacts taken over, {len(stale)} to be made again, {missing} missing")


def _accept(params: Params, name: str, reason: str) -> None:
    """Accepts today's code for every artifact whose settings are right and whose code is not."""
    found = faults(artifacts(params, name, RESULTS))
    other = [artifact for artifact, fault in found if fault and fault.kind == Kind.OTHER_CODE]
    for artifact in other:
        accept_code(artifact, reason)
    print(f"{name}: today's code accepted for {len(other)} artifacts, as their metas say")
