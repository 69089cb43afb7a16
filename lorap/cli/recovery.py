"""The commands of recovery: tuning an adapter, and joining it to the factors."""

import os
import shutil
import sys
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lorap.artifacts.specs import RedecomposeSpec, TuneSpec
from lorap.cli.options import TUNE_OVERRIDES
from lorap.cli.work import announce, checked, model_inputs, on_device, spec_from
from lorap.errors import LorapError
from lorap.files import hidden, only_one
from lorap.settings.config import load_params, lookup, parse_spec
from lorap.settings.schema import Tune
from lorap.settings.sources import CorpusSource

OWN_HELD_OUT = 0.1  # of a user's own file, which may have fewer rows than the published data hold out


def tune(arguments: Namespace) -> None:
    """``lorap tune``; under torchrun every process runs it, and the first one writes."""
    from lorap.artifacts.meta import artifact_id, new_artifact
    from lorap.tuning.checkpoints import prepare_checkpoints
    from lorap.tuning.train import data_origin, train

    spec = parse_spec(TuneSpec, arguments.spec) if arguments.spec else _tune_spec(arguments)
    data = Path(arguments.data) if spec.source is None and arguments.data else None
    inputs = {"model": arguments.model} | ({"data": data} if data else {})
    checkpoints = hidden(arguments.out, "checkpoints")
    first = os.environ.get("RANK", "0") == "0"
    with (
        only_one(checkpoints) if first else nullcontext(),
        on_device(arguments.device, "--micro-batch (tune.NAME.micro_batch)") as device,
    ):
        if ":" in str(device):
            raise LorapError(f"--device {device}: expected auto, cpu or cuda; choose a GPU with CUDA_VISIBLE_DEVICES")
        origin = data_origin(spec)
        if first:
            ids = {role: artifact_id(path) for role, path in inputs.items()}
            if prepare_checkpoints(checkpoints, spec, ids):
                print(f"{checkpoints}: checkpoints of other settings or of another model, removed", file=sys.stderr)
        folder: Any = new_artifact(arguments.out, spec, inputs, str(device), folder=True, origin=origin)
        try:
            with folder if first else nullcontext() as out:
                train(spec, arguments.model, data, checkpoints, out, device.type, arguments.quiet)
        except LorapError:  # only a run that was cut short may go on; one at fault would fail again
            shutil.rmtree(checkpoints, ignore_errors=True)
            raise
        if first:
            shutil.rmtree(checkpoints)
    if first:
        announce(arguments.out)


def _tune_spec(arguments: Namespace) -> TuneSpec:
    params = load_params(arguments.params)
    chosen = lookup(params.tune, arguments.tuning, "tuning")
    names = [option.removeprefix("--").replace("-", "_") for option, _, _ in TUNE_OVERRIDES]
    names += ["form", "dtype", "gradient_checkpointing"]
    overrides = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    source: CorpusSource | None = params.corpora[chosen.corpus]
    if arguments.data in params.corpora:
        overrides["corpus"], source = arguments.data, params.corpora[arguments.data]
    elif arguments.data is not None:
        if not Path(arguments.data).is_file():
            known = ", ".join(sorted(params.corpora))
            raise LorapError(f"--data: {arguments.data!r} is no file, and no corpus of {known}")
        overrides, source = {"held_out": OWN_HELD_OUT} | overrides | {"corpus": "file"}, None
    seed = params.seed if arguments.seed is None else arguments.seed
    return spec_from(TuneSpec, tune=checked(Tune, **(chosen.model_dump() | overrides)), source=source, seed=seed)


def redecompose(arguments: Namespace) -> None:
    """``lorap redecompose``."""
    from lorap.artifacts.meta import new_artifact
    from lorap.data.calibration import read_calibration
    from lorap.model.folder import find_tokenizer
    from lorap.tuning.rejoin import redecompose as factor_again

    if arguments.spec:
        spec = parse_spec(RedecomposeSpec, arguments.spec)
    else:
        rank = int(arguments.rank) if arguments.rank.isdecimal() else arguments.rank
        if rank not in ("k+r", "k") and not (isinstance(rank, int) and rank > 0):
            raise LorapError(f"--rank: got {arguments.rank!r}, expected k+r, k or a whole number of at least 1")
        batch = load_params(arguments.params).compress.batch if arguments.batch is None else arguments.batch
        spec = spec_from(RedecomposeSpec, rank=rank, batch=batch)
    inputs, input_ids = model_inputs(arguments), None
    if arguments.calibration and spec.rank != "k+r":  # exact joining weighs nothing
        inputs["calibration"] = arguments.calibration
        input_ids = read_calibration(arguments.calibration, find_tokenizer(arguments.model))
    with (
        on_device(arguments.device, "--batch (compress.batch)") as device,
        new_artifact(arguments.out, spec, inputs, str(device), folder=True) as folder,
    ):
        factor_again(spec, arguments.model, arguments.adapter, input_ids, folder, device, arguments.quiet)
    announce(arguments.out)
