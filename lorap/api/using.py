"""Functions that use a compressed model: load, evaluate, tune, redecompose."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.api import chosen, jobs
from lorap.api.chosen import Place, as_path
from lorap.api.devices import on_device
from lorap.api.measuring import measure as take
from lorap.api.measuring import measure_spec
from lorap.api.tuning_job import tune_model
from lorap.errors import LorapError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILES = ("text", "data", "calibration")  # the options of ``evaluate`` that are paths


def load(model: Place, adapter: Place | None = None, *, dtype: str = "auto", device: str = "auto") -> "PreTrainedModel":
    """Loads a model, dense or compressed, with an adapter where one is given, ready to be used.

    Args:
        model: The model folder.
        adapter: The folder that ``tune`` has made for this model.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``auto``, the folder's own.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...

    Returns:
        A causal language model of transformers, in evaluation mode.

    Raises:
        LorapError: One of the two cannot be read, or they do not belong together.

    Example:
        >>> import lorap
        >>> lorap.load("small", device="cpu").config.model_type
        'lorap'
    """
    from lorap.model.folder import DTYPES
    from lorap.tuning.loading import load_tuned

    if dtype != "auto" and dtype not in DTYPES:
        raise LorapError(f"dtype: got {dtype!r}, expected auto, {', '.join(DTYPES)}")
    with on_device(device, "the precision") as where:
        return load_tuned(Path(model), as_path(adapter), DTYPES.get(dtype), where)


def evaluate(
    model: Place,
    measure: str,
    *,
    adapter: Place | None = None,
    out: Place | None = None,
    device: str = "auto",
    quiet: bool = False,
    params: Place | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measures a model.

    Args:
        model: The model folder.
        measure: ``perplexity``, ``zeroshot``, ``cost`` or ``spectra``.
        adapter: Measure with this adapter beside the model.
        out: A JSON file to make, with its meta; without it nothing is written.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        quiet: No progress bars.
        params: Settings to read in place of ./params.yaml.
        **options: Those of the measure. ``perplexity``: ``text`` (a file) or ``corpus``, ``seqlen``, ``windows``,
            ``batch``, ``special_tokens``, ``dtype``; ``zeroshot``: ``tasks``, ``documents``, ``data``, ``seed``,
            ``dtype``; ``cost``: ``dtype``; ``spectra`` (of a dense model): ``calibration``, ``batch``.

    Returns:
        The numbers with the protocol that they were measured by, as ``lorap evaluate ... --json`` prints them.

    Raises:
        LorapError: The model or a text cannot be read, an option is out of range, or a number is not finite.

    Example:
        >>> import lorap
        >>> found = lorap.evaluate("small", "perplexity", text="book.txt", windows=4, quiet=True)
        >>> found["tokens"]
        508
        >>> lorap.evaluate("small", "cost", quiet=True)["tokens"]
        64
    """
    files = {name: Path(options[name]) for name in FILES if options.get(name) is not None}
    spec = measure_spec(measure, as_path(params), **(options | files))
    return take(spec, Path(model), as_path(adapter), files, as_path(out), device, quiet)


def tune(
    model: Place,
    out: Place,
    *,
    data: Place | None = None,
    tuning: str = "alpaca",
    seed: int | None = None,
    device: str = "auto",
    quiet: bool = False,
    params: Place | None = None,
    **overrides: Any,
) -> Path:
    """Tunes a LoRA adapter; a run that was cut short goes on when it is started again with the same settings.

    Args:
        model: The folder of the compressed model.
        out: The folder to make.
        data: A file of instructions (.jsonl, .json, .parquet) or of plain text, or a corpus of params.yaml; by default
            that of the tuning.
        tuning: A tuning of params.yaml.
        seed: Of the adapter and the shuffles; by default that of params.yaml.
        device: ``auto``, ``cpu`` or ``cuda``.
        quiet: No progress bar.
        params: Settings to read in place of ./params.yaml.
        **overrides: Settings in place of the tuning's own, such as ``form``, ``rank``, ``epochs``, ``max_steps``,
            ``batch`` and ``micro_batch``.

    Returns:
        ``out``.

    Raises:
        LorapError: Model or data cannot be used, a setting is unknown or out of range, or the loss diverges.

    Example:
        >>> import lorap
        >>> steps = {"max_steps": 2, "batch": 4, "cutoff": 32, "rows": 40}
        >>> lorap.tune("small", "adapter", data="book.txt", form="factored", **steps, quiet=True)
        PosixPath('adapter')
    """
    spec = chosen.tune_spec(tuning, data, overrides, seed, as_path(params))
    tune_model(spec, Path(model), as_path(data), Path(out), device, quiet)
    return Path(out)


def redecompose(
    model: Place,
    adapter: Place,
    out: Place,
    *,
    rank: str | int = "k+r",
    calibration: Place | None = None,
    batch: int | str | None = None,
    device: str = "auto",
    quiet: bool = False,
    params: Place | None = None,
) -> Path:
    """Joins an adapter to the factors of its model.

    Args:
        model: The folder of the compressed model.
        adapter: The folder that ``tune`` has made for this model.
        out: The folder to make.
        rank: ``k+r`` is exact; ``k`` or a number truncates.
        calibration: The file whose activations weigh a truncation.
        batch: Windows a forward pass; lower it when out of memory. ``auto``: as many as memory is free for.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        quiet: No progress bar.
        params: Settings to read in place of ./params.yaml.

    Returns:
        ``out``.

    Raises:
        LorapError: One of the inputs cannot be read, or they do not belong together.

    Example:
        >>> import lorap
        >>> lorap.redecompose("small", "adapter", "tuned", quiet=True)
        PosixPath('tuned')
    """
    spec = chosen.redecompose_spec(rank, batch, as_path(params))
    jobs.redecompose_model(spec, Path(model), Path(adapter), as_path(calibration), Path(out), device, quiet)
    return Path(out)
