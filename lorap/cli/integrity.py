"""The commands that keep results honest: verify, adopt and prune."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from lorap.artifacts.meta import meta_beside
from lorap.cli.work import grids_of
from lorap.errors import LorapError
from lorap.settings.config import load_params
from lorap.settings.schema import Params
from lorap.workflow.expected import STEPS, Artifact, artifacts, strays
from lorap.workflow.faults import Fault, Kind, accept_code, faults


def verify(arguments: Namespace) -> None:
    """``lorap verify``."""
    params = load_params(arguments.params)
    told = []
    for name in grids_of(arguments, params):
        found = list(faults(_chosen(params, name, arguments), arguments.bytes))
        wrong = [(artifact, fault) for artifact, fault in found if fault]
        print(f"{name}: {len(found) - len(wrong)} of {len(found)} artifacts are what params.yaml says")
        told += _lines(wrong)
    if told:
        raise LorapError("\n".join(told))


def adopt(arguments: Namespace) -> None:
    """``lorap adopt``."""
    from lorap.workflow.takeover import drop, require_workflow, take_over

    require_workflow()
    if arguments.params:
        raise LorapError(f"--params {arguments.params}: the workflow reads ./params.yaml alone, so must 'lorap adopt'")
    params = load_params()
    for name in grids_of(arguments, params):
        if arguments.accept_code:
            _accept(params, name, arguments)
        found = list(faults(artifacts(params, name, arguments.results), arguments.bytes))
        stale = [(artifact, fault) for artifact, fault in found if fault and fault.kind != Kind.MISSING]
        for artifact, _ in stale:
            drop(artifact)
        print("".join(f"{line}\n" for line in _lines(stale)), end="")
        if fresh := [artifact for artifact, fault in found if fault is None]:
            take_over(name, fresh)
        missing = len(found) - len(fresh) - len(stale)
        print(f"{name}: {len(fresh)} artifacts taken over, {len(stale)} to be made again, {missing} missing")


def _accept(params: Params, name: str, arguments: Namespace) -> None:
    """Accepts today's code for every artifact whose settings are right and whose code is not."""
    found = faults(artifacts(params, name, arguments.results))
    other = [artifact for artifact, fault in found if fault and fault.kind == Kind.OTHER_CODE]
    for artifact in other:
        accept_code(artifact, arguments.accept_code)
    print(f"{name}: today's code accepted for {len(other)} artifacts, as their metas say")


def prune(arguments: Namespace) -> None:
    """``lorap prune``."""
    params = load_params(arguments.params)
    for name in grids_of(arguments, params):
        found = strays(params, name, arguments.results)
        for path in found:
            if arguments.remove:
                _remove(path)
            print(f"{path}: {'removed' if arguments.remove else 'of no cell of the grid'}")
        if found and not arguments.remove:
            print(f"{name}: {len(found)} strays; 'lorap prune --remove' removes them")


def _lines(wrong: list[tuple[Artifact, Fault]]) -> list[str]:
    """What is wrong with each artifact; those that are only made from such a one are counted."""
    told = [f"{artifact.path}: {fault}" for artifact, fault in wrong if fault.kind != Kind.DERIVED]
    derived = len(wrong) - len(told)
    made_from = "more are made from these" if told else "are made from what is missing"
    return [*told, f"{derived} {made_from}"] if derived else told


def _chosen(params: Params, name: str, arguments: Namespace) -> Iterator[Artifact]:
    """The artifacts of a grid, up to those of one of its steps."""
    last = arguments.until or STEPS[-1]
    if last not in STEPS:
        raise LorapError(f"--until: unknown step {last!r}, expected one of {', '.join(STEPS)}")
    wanted = STEPS[: STEPS.index(last) + 1]
    folder = arguments.results / name
    return (a for a in artifacts(params, name, arguments.results) if a.path.relative_to(folder).parts[0] in wanted)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    path.unlink(missing_ok=True)
    meta_beside(path).unlink(missing_ok=True)
