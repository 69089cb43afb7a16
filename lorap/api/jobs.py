"""One job a step: from a spec and the places of its inputs to an artifact with its meta.

The functions of the library and the commands, which may be given a whole spec by the workflow, both end here.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from lorap.api.batch import settled
from lorap.api.devices import on_device
from lorap.artifacts.meta import artifact_id, is_made_from, meta_path, new_artifact
from lorap.artifacts.specs import CalibrateSpec, CompressSpec, ExportSpec, FetchSpec, RedecomposeSpec, SurveySpec
from lorap.artifacts.unfinished import going_on
from lorap.errors import LorapError
from lorap.files import hidden, only_one, read_json

if TYPE_CHECKING:
    from lorap.compression.planning import Plan

LOWER_BATCH = "--batch (compress.batch)"


def fetch_model(spec: FetchSpec, out: Path) -> bool:
    """Gets a model, unless it is there; returns whether it was not."""
    from lorap.data import download

    inputs = download.local_inputs(spec.model)
    with only_one(out):
        if is_made_from(out, spec, inputs):
            return False
        origin: dict[str, str] = {}
        with new_artifact(out, spec, inputs, folder=True, origin=origin) as folder:
            origin |= download.fetch(spec.model, folder)
    return True


def fetch_manifest(manifest: Path, out: Path) -> bool:
    """Makes the folder that a manifest describes, unless it is there; returns whether it was not.

    Raises:
        LorapError: It is no manifest, or its source holds something else now.
    """
    wanted = read_json(manifest)
    try:
        spec = FetchSpec.model_validate(wanted["spec"])
    except (ValueError, KeyError, TypeError) as error:
        raise LorapError(f"{manifest}: is no manifest of a model, expected the meta.json of one") from error
    for key, kind in (("id", str), ("origin", dict), ("sha256", dict)):
        if not isinstance(wanted.get(key), kind):
            raise LorapError(f"{manifest}: is no manifest of a model, it has no {key}")
    with only_one(out):  # several jobs may want it at once
        if meta_path(out).is_file() and artifact_id(out) == wanted["id"]:
            return False
        from lorap.data.download import fetch_again

        fetch_again(wanted, spec.model, out)
    return True


def make_calibration(spec: CalibrateSpec, model: Path, text: Path | None, out: Path) -> None:
    """Draws calibration windows with a model's tokenizer."""
    from lorap.data.draw import calibrate
    from lorap.model.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model)
    origin: dict[str, str] = {}
    inputs = {"model": model} | ({"text": text} if text else {})
    with new_artifact(out, spec, inputs, origin=origin) as file:
        origin |= calibrate(spec, tokenizer, text, file)


def survey_model(spec: SurveySpec, model: Path, calibration: Path, out: Path, device: str, quiet: bool) -> None:
    """Surveys a dense model; a run that was cut short is gone on with."""
    from lorap.compression import surveying
    from lorap.compression.survey_file import write_survey
    from lorap.data.calibration import read_calibration
    from lorap.model.tokenizer import find_tokenizer

    input_ids = read_calibration(calibration, find_tokenizer(model))
    inputs = {"model": model, "calibration": calibration}
    unfinished = hidden(out, "checkpoints")
    taken: dict[str, int] = {}
    with (
        only_one(unfinished),
        on_device(device, LOWER_BATCH) as where,
        new_artifact(out, spec, inputs, str(where), taken=taken) as file,
    ):
        batched = settled(spec, model, input_ids, where, taken)
        with going_on(unfinished, batched, inputs):
            layers = surveying.survey_model(batched, model, input_ids, where, quiet, out.parent, unfinished)
            write_survey(file, layers)


def plan_model(spec: CompressSpec, model: Path, calibration: Path | None, survey: Path | None, quiet: bool) -> "Plan":
    """Plans every layer of a model, after a sweep that scores its units where the method's share asks for one."""
    from lorap.compression.scoring import plan_for
    from lorap.compression.survey_file import read_survey
    from lorap.data.calibration import read_calibration
    from lorap.model.folder import read_config
    from lorap.model.tokenizer import find_tokenizer

    config = read_config(model)
    input_ids = read_calibration(calibration, find_tokenizer(model)) if calibration else None
    found = read_survey(survey, {"model": model} if model.is_dir() else {}) if survey else ()
    with on_device("auto" if calibration else "cpu", LOWER_BATCH) as where:
        batched = spec if input_ids is None else settled(spec, model, input_ids, where)
        return plan_for(batched, model, config, input_ids, where, quiet, found)


def compress_model(
    spec: CompressSpec, model: Path, calibration: Path, survey: Path | None, out: Path, device: str, quiet: bool
) -> None:
    """Compresses a model; a run that was cut short is gone on with."""
    from lorap.compression.run import compress
    from lorap.compression.survey_file import read_survey
    from lorap.data.calibration import read_calibration
    from lorap.model.tokenizer import find_tokenizer

    input_ids = read_calibration(calibration, find_tokenizer(model))
    inputs = {"model": model, "calibration": calibration}
    found = read_survey(survey, inputs) if survey else ()
    inputs |= {"survey": survey} if survey else {}
    unfinished = hidden(out, "checkpoints")
    taken: dict[str, int] = {}
    with (
        only_one(unfinished),
        on_device(device, LOWER_BATCH) as where,
        new_artifact(out, spec, inputs, str(where), folder=True, taken=taken) as folder,
    ):
        batched = settled(spec, model, input_ids, where, taken)
        with going_on(unfinished, batched, inputs):
            compress(batched, model, input_ids, folder, where, quiet, unfinished, found)


def redecompose_model(
    spec: RedecomposeSpec,
    model: Path,
    adapter: Path,
    calibration: Path | None,
    out: Path,
    device: str,
    quiet: bool,
) -> None:
    """Joins an adapter to the factors of its model."""
    from lorap.data.calibration import read_calibration
    from lorap.model.tokenizer import find_tokenizer
    from lorap.tuning.rejoin import redecompose

    inputs, input_ids = {"model": model, "adapter": adapter}, None
    if calibration is not None and spec.rank != "k+r":  # exact joining weighs nothing
        inputs["calibration"] = calibration
        input_ids = read_calibration(calibration, find_tokenizer(model))
    taken: dict[str, int] = {}
    with (
        on_device(device, LOWER_BATCH) as where,
        new_artifact(out, spec, inputs, str(where), folder=True, taken=taken) as folder,
    ):
        batched = spec if input_ids is None else settled(spec, model, input_ids, where, taken)
        redecompose(batched, model, adapter, input_ids, folder, where, quiet)


def export_model(spec: ExportSpec, model: Path, out: Path) -> None:
    """Makes a stock checkpoint."""
    from lorap.compression.dense import export_dense

    with new_artifact(out, spec, {"model": model}, folder=True) as folder:
        export_dense(model, folder)
