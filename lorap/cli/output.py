"""What commands print."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorap.model.layer_plan import LayerPlan, LayerShape


def announce(path: Path, did: str = "written") -> None:
    """Says what was made, and how large it is."""
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    print(f"{path}: {did} ({size_in_words(size)})")


def size_in_words(size: int) -> str:
    """Bytes in the unit that suits them."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def print_json(value: Any) -> None:
    """JSON alone on standard output."""
    print(json.dumps(value, indent=2))


def layer_lines(layers: "Iterable[tuple[LayerPlan, LayerShape]]") -> Iterator[tuple[str, str]]:
    """A name and a text for every run of equal layers with the same plan."""
    for (plan, shape), run in groupby(enumerate(layers), key=lambda numbered: numbered[1]):
        numbers = [number for number, _ in run]
        span = f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {numbers[0]}-{numbers[-1]}"
        yield span, plan.words(shape)
