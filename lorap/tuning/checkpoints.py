"""The checkpoints of a tuning run that was cut short: only what is whole, and of the same run, is gone on from."""

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorap.artifacts.specs import TuneSpec
from lorap.errors import LorapError
from lorap.files import read_json, sha256_file, write_json

SETTINGS = "spec.json"  # what the run is made from
HASHES = "sha256.json"  # of a checkpoint's files, written last


def prepare_checkpoints(checkpoints: Path, spec: TuneSpec, inputs: dict[str, str]) -> bool:
    """Makes the folder for checkpoints, without what another run left there; returns whether there was such a thing.

    Args:
        checkpoints: The private folder.
        spec: The settings of this run.
        inputs: Ids of the model and the data.
    """
    made_from = {"spec": json.loads(spec.canonical()), "inputs": inputs}
    file = checkpoints / SETTINGS
    stale = checkpoints.exists() and not _says(file, made_from)
    if stale:
        shutil.rmtree(checkpoints)
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(file, made_from)
    return stale


def last_checkpoint(checkpoints: Path) -> str | None:
    """The newest checkpoint that is what was written, to the byte."""
    whole = [folder for folder in checkpoints.glob("checkpoint-*") if _is_whole(folder)]
    return str(max(whole, key=_step)) if whole else None


class Seal(TrainerCallback):
    """Hashes every checkpoint that the Trainer has written."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes the hashes beside the files, once for all processes."""
        if state.is_world_process_zero:
            folder = max(Path(str(args.output_dir)).glob("checkpoint-*"), key=_step)
            write_json(folder / HASHES, _hashes(folder))


def _is_whole(checkpoint: Path) -> bool:
    return _says(checkpoint / HASHES, _hashes(checkpoint))


def _says(file: Path, expected: Any) -> bool:
    try:
        return bool(read_json(file) == expected)
    except LorapError:  # it was being written when the run was cut short, or is damaged
        return False


def _hashes(folder: Path) -> dict[str, str]:
    """Hashes by name, but for files of single processes, which may not be there yet."""
    files = (file for file in sorted(folder.iterdir()) if file.name != HASHES and not file.match("rng_state_*"))
    return {file.name: sha256_file(file) for file in files if file.is_file()}


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
