"""``lorap estimate``: hours, memory and disk of a grid on a machine, by a written model; and the model's constants."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.cli import options
from lorap.cli.grids import grids_of
from lorap.cli.output import announce, print_json
from lorap.errors import LorapError
from lorap.settings.config import load_params

if TYPE_CHECKING:
    from lorap.machine.speeds import Machine

MACHINE = Path("machine.json")
COLUMNS = ("", "jobs", "hours", "GPU-hours", "core-hours", "host GiB", "GPU GiB", "disk GB")
NOT_IN_IT = "downloads of texts and waiting for a queue are not in it; memory is an upper bound"


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap estimate``."""
    options.add_grid(parser)
    options.add_results(parser)
    parser.add_argument("--gpu", metavar="NAME", help="a GPU by its data sheet: h100, h200, a100, rtx4090, rtx3090")
    measured = "the measured constants of a machine (default: ./machine.json, if there); with --gpu those of its host"
    parser.add_argument("--machine", type=Path, metavar="FILE", help=measured)
    parser.add_argument("--measure", action="store_true", help="measure this machine, a minute, and write the file")
    options.add_device(parser)
    parser.add_argument("--cores", type=int, metavar="N", help="cores of a job (default: those of the machine)")
    options.add_json(parser)
    options.add_common(parser, run, "lorap estimate --grid paper --gpu h100")


def run(arguments: Namespace) -> None:
    """Prints the estimate, or measures the machine."""
    if arguments.cores is not None and arguments.cores < 1:
        raise LorapError(f"--cores: got {arguments.cores}, expected at least 1")
    if arguments.measure:
        _measure(arguments)
    else:
        _estimate(arguments)


def _measure(arguments: Namespace) -> None:
    import torch

    from lorap.api.devices import on_device
    from lorap.files import write_json
    from lorap.machine.stopwatch import measure

    if arguments.gpu or arguments.grid:
        raise LorapError("--measure: measures this machine alone; leave --gpu and --grid out")
    if arguments.cores:
        torch.set_num_threads(arguments.cores)
    out = arguments.machine or MACHINE
    with on_device(arguments.device, "nothing, choose a larger device") as device:
        machine = measure(device, out.absolute().parent)
    write_json(out, machine.model_dump())
    if arguments.json:
        print_json(machine.model_dump())
    else:
        announce(out)


def _estimate(arguments: Namespace) -> None:
    from lorap.workflow.forecast import forecast, summed

    params = load_params(arguments.params)
    grids, machine = grids_of(arguments.grid, params), _machine(arguments)
    found: dict[str, Any] = {}
    for grid in grids:
        jobs = list(forecast(params, grid, machine, arguments.results))
        rules = dict.fromkeys(job.rule for job in jobs)
        by_rule = {rule: summed([job for job in jobs if job.rule == rule], machine) for rule in rules}
        found[grid] = {"rules": by_rule, "total": summed(jobs, machine)}
    if arguments.json:
        print_json({"machine": machine.model_dump(), "grids": found})
        return
    for grid, sums in found.items():
        print("\n".join(_lines(grid, sums, machine)))


def _machine(arguments: Namespace) -> "Machine":
    """The machine that is meant, with the cores that are.

    Raises:
        LorapError: None is, or it is unknown.
    """
    from lorap.machine.named import named_gpu
    from lorap.machine.speeds import read_machine

    file = arguments.machine or (MACHINE if MACHINE.is_file() else None)
    measured = read_machine(file) if file else None
    if arguments.gpu:
        machine = named_gpu(arguments.gpu, measured)
    elif measured:
        machine = measured
    else:
        raise LorapError("estimate: for which machine? Give --gpu NAME, or measure this one with --measure first")
    return machine.with_cores(arguments.cores) if arguments.cores else machine


def _lines(grid: str, sums: dict[str, Any], machine: "Machine") -> Iterator[str]:
    """The estimate for a person: a line a rule, the sum, and what the hours go into."""
    yield f"{grid} on {machine.name}, {machine.cores} cores, one job after the other"
    rows = [COLUMNS, *(_row(rule, of_rule) for rule, of_rule in (sums["rules"] | {"in all": sums["total"]}).items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join([f"{first.strip():<{widths[0]}}", *others])
    terms = sums["total"]["terms"]
    hours = ", ".join(f"{name} {seconds / 3600:,.2f}" for name, seconds in sorted(terms.items(), key=lambda t: -t[1]))
    yield f"hours by what takes them: {hours}"
    assumed = "assumptions" if any("assumed" in one.source for one in machine.constants.values()) else "measured"
    yield f"constants: {assumed}, see --json for the source of each; {NOT_IN_IT}"


def _row(name: str, of: dict[str, Any]) -> tuple[str, ...]:
    gib = (f"{of[key] / 2**30:,.1f}" for key in ("host_bytes", "device_bytes"))
    hours = (f"{of[key]:,.2f}" for key in ("gpu_hours", "core_hours"))
    return (name, str(of["jobs"]), f"{of['seconds'] / 3600:,.2f}", *hours, *gib, f"{of['disk_bytes'] / 1e9:,.1f}")
