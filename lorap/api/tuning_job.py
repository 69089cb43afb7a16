"""The job of tuning: one writer among several processes, and checkpoints that a later run goes on from."""

import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lorap.api.devices import on_device
from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import TuneSpec
from lorap.artifacts.unfinished import prepare
from lorap.errors import LorapError
from lorap.files import hidden, only_one


def tune_model(spec: TuneSpec, model: Path, data: Path | None, out: Path, device: str, quiet: bool) -> None:
    """Tunes an adapter; under torchrun every process runs this, and the first one writes.

    Raises:
        LorapError: The device is a single one of several; model, data or settings cannot be used.
    """
    import datasets  # noqa: F401  (where it is missing, nothing must have been made yet)

    from lorap.tuning.train import data_origin, train

    data = None if spec.source else data
    inputs = {"model": model} | ({"data": data} if data else {})
    checkpoints = hidden(out, "checkpoints")
    first = is_first()
    with (
        only_one(checkpoints) if first else nullcontext(),
        on_device(device, "--micro-batch (tune.NAME.micro_batch)") as where,
    ):
        if ":" in str(where) and "LOCAL_RANK" not in os.environ:
            raise LorapError(f"--device {where}: expected auto, cpu or cuda; choose GPUs with CUDA_VISIBLE_DEVICES")
        origin = data_origin(spec)
        if first:
            prepare(checkpoints, spec, inputs)
        folder: Any = new_artifact(out, spec, inputs, str(where), folder=True, origin=origin)
        try:
            with folder if first else nullcontext() as partial:
                train(spec, model, data, checkpoints, partial, where, quiet)
        except LorapError:  # only a run that was cut short may go on; one at fault would fail again
            shutil.rmtree(checkpoints, ignore_errors=True)
            raise
        if first:
            shutil.rmtree(checkpoints)


def is_first() -> bool:
    """Whether this process is the first of those that torchrun has started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
