"""What the commands on whole grids share: which grids are meant, and what is wrong with their artifacts."""

from lorap.settings.config import lookup
from lorap.settings.schema import Params
from lorap.workflow.expected import Artifact
from lorap.workflow.faults import Fault, Kind


def grids_of(grid: str | None, params: Params) -> list[str]:
    """The grid that was asked for, else the active ones.

    Raises:
        LorapError: There is no grid of that name.
    """
    names = [grid] if grid else params.active
    for name in names:
        lookup(params.grids, name, "grid")
    return names


def fault_lines(wrong: list[tuple[Artifact, Fault]]) -> list[str]:
    """What is wrong with each artifact; those that are only made from such a one are counted."""
    told = [f"{artifact.path}: {fault}" for artifact, fault in wrong if fault.kind != Kind.DERIVED]
    derived = len(wrong) - len(told)
    made_from = "more are made from these" if told else "are made from what is missing"
    return [*told, f"{derived} {made_from}"] if derived else told
