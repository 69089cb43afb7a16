"""GPUs by name (gpus.json): by their data sheets, or as somebody has measured one; every constant says which."""

from pathlib import Path
from typing import Any

from lorap.files import read_json
from lorap.machine.speeds import RATES, Constant, Machine
from lorap.settings.config import lookup

SHEETS = Path(__file__).with_name("gpus.json")
WIDTH = 4096  # at which seconds of a solver are written down; at others they go with the cube
FULL_RATE = 0.4  # of float32's peak; GPUs whose float64 is slower have 1/64 of it


def gpu_names() -> tuple[str, ...]:
    """The GPUs that gpus.json knows."""
    return tuple(read_json(SHEETS)["gpus"])


def named_gpu(name: str, host: Machine | None = None) -> Machine:
    """A machine with a GPU of a name.

    Args:
        name: One of ``gpu_names``.
        host: Where disk, hashing, network and start-up were measured; None means the assumptions in gpus.json.

    Raises:
        LorapError: gpus.json has none of that name.
    """
    sheets = read_json(SHEETS)
    sheet, assumed = lookup(sheets["gpus"], name, "--gpu"), sheets["assumptions"]
    cores = host.cores if host else sheets["host"]["cores"]["value"]
    found = assumed_host()
    if host:
        found = {key: host.constants[key] for key in found}
    if "measured" in sheet:
        full = sheet["full_rate"]
        found |= {key: Constant(value=value, source=sheet["source"]) for key, value in sheet["measured"].items()}
    else:
        full = sheet["tflops"]["float64"] >= FULL_RATE * sheet["tflops"]["float32"]
        found |= _by_data_sheet(sheet, assumed)
    return Machine(name=sheet["name"], device="gpu", cores=cores, full_rate=full, constants=found)


def assumed_host() -> dict[str, Constant]:
    """What is assumed of a host where nothing was measured."""
    host = read_json(SHEETS)["host"]
    return {key: Constant(value=float(one["value"]), source=one["why"]) for key, one in host.items() if key != "cores"}


def _by_data_sheet(sheet: dict[str, Any], assumed: dict[str, Any]) -> dict[str, Constant]:
    rates = {rate: _rate(sheet, rate, assumed["multiply"]) for rate in RATES}
    moves = {"move": _share(sheet, "bandwidth", assumed["move"]), "transfer": _share(sheet, "bus", assumed["transfer"])}
    return rates | moves | _solvers(sheet, assumed)


def _rate(sheet: dict[str, Any], rate: str, assumed: dict[str, Any]) -> Constant:
    """Multiply-accumulates a second: a data sheet counts two operations for each."""
    dtype = rate.split()[1]
    peak = sheet["tflops"][dtype]
    told = f"data sheet {sheet['source']} ({peak} TFLOPS; {sheet['note']}) x {assumed['share']}: {assumed['why']}"
    return Constant(value=peak * 1e12 / 2 * assumed["share"], source=told)


def _share(sheet: dict[str, Any], key: str, assumed: dict[str, Any]) -> Constant:
    told = f"data sheet {sheet['source']} ({sheet[key]:.4g} bytes/s) x {assumed['share']}: {assumed['why']}"
    return Constant(value=sheet[key] * assumed["share"], source=told)


def _solvers(sheet: dict[str, Any], assumed: dict[str, Any]) -> dict[str, Constant]:
    eigen, inertia = assumed["eigenvectors"], assumed["inertia"]
    double = 9 * WIDTH**3 / (eigen["operations_per_byte"] * sheet["bandwidth"])
    counting = WIDTH**3 / 3 / (inertia["share"] * sheet["tflops"]["float32"] * 1e12 / 2)
    seconds = {
        "eigenvectors float64": (double, eigen["why"]),
        "eigenvectors float32": (double / 2, eigen["why"]),
        "inertia float32": (counting, inertia["why"]),
    }
    return {name: Constant(value={str(WIDTH): value}, source=why) for name, (value, why) in seconds.items()}
