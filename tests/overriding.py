"""Files that override params.yaml: what they come to, or what they are refused with."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lorap.errors import LorapError
from lorap.settings.config import load_params
from lorap.settings.schema import Params


def overridden(folder: Path, text: str) -> Params:
    file = folder / "override.yaml"
    file.write_text(text)
    return load_params(file)


def faults_of(folder: Path, override: dict[str, Any] | str) -> list[str]:
    """The lines that an override file is refused with, without the file's name that each must begin with."""
    file = folder / "override.yaml"
    file.write_text(override if isinstance(override, str) else yaml.safe_dump(override))
    with pytest.raises(LorapError) as raised:
        load_params(file)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return [line.removeprefix(f"{file}: ") for line in lines]
