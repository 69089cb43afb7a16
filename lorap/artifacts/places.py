"""Where the artifacts of a grid are, below the grid's folder; no torch here."""

from lorap.artifacts.grid import Cell


def base(model: str) -> str:
    """The folder with the configuration of a base model, whose weights are shared by all grids and lie elsewhere."""
    return f"models/{model}"


def manifest(model: str) -> str:
    """The meta of a base model."""
    return f"{base(model)}.json"


def calibration(model: str, name: str | None) -> str:
    """A calibration file."""
    return f"calibrate/{model}/{name}.safetensors"


def compressed(cell: Cell) -> str:
    """The folder of the compressed model that a cell is, or was tuned from."""
    return f"compress/{cell.compressed.path}"


def tuned(cell: Cell) -> str:
    """The folder of the adapter that a cell has, or was factored from."""
    return f"tune/{cell.tuned.path}"


def redecomposed(cell: Cell) -> str:
    """The folder of a tuned model that is factored again."""
    return f"redecompose/{cell.path}"


def measured(cell: Cell) -> str:
    """The folder of a cell's measurements."""
    return f"evaluate/{cell.path}"


def spectra(model: str) -> str:
    """The file with the spectra of a base model."""
    return f"evaluate/{model}/spectra.json"
