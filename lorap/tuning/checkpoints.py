"""The checkpoints of a tuning run that was cut short: only what is whole, and of the same run, is gone on from."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lorap.artifacts.unfinished import says
from lorap.files import sha256_file, write_json

HASHES = "sha256.json"  # of a checkpoint's files, written last


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
    return says(checkpoint / HASHES, _hashes(checkpoint))


def _hashes(folder: Path) -> dict[str, str]:
    """Hashes by name, but for files of single processes, which may not be there yet."""
    files = (file for file in sorted(folder.iterdir()) if file.name != HASHES and not file.match("rng_state_*"))
    return {file.name: sha256_file(file) for file in files if file.is_file()}


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
