"""What commands print."""

import json
from pathlib import Path
from typing import Any


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
