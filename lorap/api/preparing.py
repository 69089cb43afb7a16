"""Functions that prepare a compression: fetch, calibrate, survey."""

from pathlib import Path

from lorap.api import chosen, jobs
from lorap.api.chosen import Place, as_path


def fetch(
    name: Place, out: Place, *, revision: str | None = None, dtype: str | None = None, params: Place | None = None
) -> Path:
    """Gets a model as a plain Hugging Face folder, unless it is there already.

    Args:
        name: A model of params.yaml, a hub id (``owner/name``), a GGUF file, a folder, or the meta.json of one.
        out: The folder to make.
        revision: Branch, tag or commit of a hub id.
        dtype: Of a GGUF file's unpacked weights.
        params: Settings to read in place of ./params.yaml.

    Returns:
        ``out``.

    Raises:
        LorapError: The source cannot be had, or is no model that lorap reads.

    Example:
        >>> import lorap
        >>> lorap.fetch("downloads/model", "model")
        PosixPath('model')
    """
    if str(name).endswith(".json"):
        jobs.fetch_manifest(Path(name), Path(out))
    else:
        jobs.fetch_model(chosen.fetch_spec(str(name), revision, dtype, as_path(params)), Path(out))
    return Path(out)


def calibrate(
    model: Place,
    out: Place,
    *,
    text: Place | None = None,
    corpus: str | None = None,
    nsamples: int = 128,
    seqlen: int = 128,
    seed: int | None = None,
    params: Place | None = None,
) -> Path:
    """Draws calibration windows from a text, with the tokenizer of a model.

    Args:
        model: The model folder.
        out: The safetensors file to make.
        text: A text file, plain or .gz, in the language and style that the model will work on.
        corpus: In place of a text, a corpus of params.yaml.
        nsamples: Windows.
        seqlen: Tokens a window.
        seed: Of the draws; by default that of params.yaml.
        params: Settings to read in place of ./params.yaml.

    Returns:
        ``out``.

    Raises:
        LorapError: The text cannot be read or is too short, or the model has no tokenizer.

    Example:
        >>> import lorap
        >>> lorap.calibrate("model", "calibration.safetensors", text="book.txt", nsamples=32)
        PosixPath('calibration.safetensors')
    """
    spec = chosen.calibrate_spec(as_path(text), corpus, nsamples, seqlen, seed, as_path(params))
    jobs.make_calibration(spec, Path(model), as_path(text), Path(out))
    return Path(out)


def survey(
    model: Place,
    calibration: Place,
    out: Place,
    *,
    windows: int | None = None,
    dtype: str | None = None,
    batch: int | str | None = None,
    offload: bool | str | None = None,
    device: str = "auto",
    quiet: bool = False,
    params: Place | None = None,
) -> Path:
    """Measures what each part of a model's layers loses when it gets smaller, once for all sparsities.

    Args:
        model: The model folder.
        calibration: The file that ``calibrate`` has made.
        out: The safetensors file to make.
        windows: How many of the calibration to look at, spread over all, in place of every one; 32 make nearly the
            same plan in less time.
        dtype: To compute in: ``float32``, ``float16``, ``bfloat16`` or ``auto``, the model's own.
        batch: Windows a forward pass; lower it when out of memory. ``auto``: as many as memory is free for.
        offload: Keep activations in the CPU's memory, or with ``disk`` in a file beside ``out``.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        quiet: No progress bar.
        params: Settings to read in place of ./params.yaml.

    Returns:
        ``out``.

    Raises:
        LorapError: The model is not supported or the calibration not its own, or an activation is not finite.

    Example:
        >>> import lorap
        >>> lorap.survey("model", "calibration.safetensors", "survey.safetensors", quiet=True)
        PosixPath('survey.safetensors')
    """
    spec = chosen.survey_spec(as_path(params), windows, dtype=dtype, batch=batch, offload=offload)
    jobs.survey_model(spec, Path(model), Path(calibration), Path(out), device, quiet)
    return Path(out)
