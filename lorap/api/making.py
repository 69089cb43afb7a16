"""Functions that make a smaller model: plan, compress, export."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.api import chosen, jobs
from lorap.api.chosen import MethodChoice, Place, as_path

if TYPE_CHECKING:
    from lorap.compression.planning import Plan


def plan(
    model: Place,
    *,
    sparsity: float,
    method: MethodChoice = "lorap",
    form: str | None = None,
    calibration: Place | None = None,
    survey: Place | None = None,
    quiet: bool = False,
    params: Place | None = None,
    **overrides: Any,
) -> "Plan":
    """Says what a method will do to a model, from the configuration alone where its share is uniform.

    Args:
        model: The model folder, or its config.json.
        sparsity: Fraction of the weights to remove, in [0, 1).
        method: A method of params.yaml, or its settings as a mapping.
        form: ``factored``, or ``dense`` for factors multiplied out.
        calibration: The file that ``calibrate`` has made, for a share that scores the units of all layers.
        survey: The file that ``survey`` has made, for a share that asks for one.
        quiet: No progress bar.
        params: Settings to read in place of ./params.yaml.
        **overrides: Settings in place of the method's own, such as ``keep_least``.

    Returns:
        The plan of every layer (``layers``); ``as_dict(tokens)`` adds the parameters, and the MACs of that many tokens.

    Raises:
        LorapError: The model is not supported, or a setting is unknown or out of range.

    Example:
        >>> import lorap
        >>> plan = lorap.plan("model", sparsity=0.5, allocation=1)
        >>> plan.layers[0].channels
        48
    """
    spec = chosen.compress_spec(method, sparsity, overrides, as_path(params), form=form)
    return jobs.plan_model(spec, Path(model), as_path(calibration), as_path(survey), quiet)


def compress(
    model: Place,
    calibration: Place,
    out: Place,
    *,
    sparsity: float,
    method: MethodChoice = "lorap",
    survey: Place | None = None,
    form: str | None = None,
    dtype: str | None = None,
    batch: int | str | None = None,
    offload: bool | str | None = None,
    device: str = "auto",
    quiet: bool = False,
    params: Place | None = None,
    **overrides: Any,
) -> Path:
    """Compresses a model.

    Args:
        model: The model folder.
        calibration: The file that ``calibrate`` has made.
        out: The folder to make.
        sparsity: Fraction of the weights to remove, in [0, 1).
        method: A method of params.yaml, or its settings as a mapping.
        survey: The file that ``survey`` has made of this model with this calibration, where the method asks for one.
        form: ``factored``, or ``dense`` for factors multiplied out.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``auto``, the model's own.
        batch: Windows a forward pass; lower it when out of memory. ``auto``: as many as memory is free for.
        offload: Keep activations in the CPU's memory, or with ``disk`` in a file beside ``out``.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        quiet: No progress bar.
        params: Settings to read in place of ./params.yaml.
        **overrides: Settings in place of the method's own, such as ``keep_least``.

    Returns:
        ``out``, which transformers loads with ``trust_remote_code=True``, and ``load`` without.

    Raises:
        LorapError: The model is not supported or the calibration not its own, a setting is unknown or out of range, or
            an activation is not finite.

    Example:
        >>> import lorap
        >>> lorap.compress("model", "calibration.safetensors", "small", sparsity=0.5, quiet=True)
        PosixPath('small')
        >>> ffn_only = {"attention": "none", "ffn": "prune"}
        >>> lorap.compress("model", "calibration.safetensors", "ffn", sparsity=0.5, method=ffn_only, quiet=True)
        PosixPath('ffn')
    """
    settings = {"form": form, "dtype": dtype, "batch": batch, "offload": offload}
    spec = chosen.compress_spec(method, sparsity, overrides, as_path(params), **settings)
    jobs.compress_model(spec, Path(model), Path(calibration), as_path(survey), Path(out), device, quiet)
    return Path(out)


def export(model: Place, out: Place) -> Path:
    """Makes a stock checkpoint of a compressed model, its factors multiplied out, for any runtime.

    Args:
        model: The folder of the compressed model.
        out: The folder to make.

    Returns:
        ``out``.

    Raises:
        LorapError: The model is a stock one already, or cannot be read.

    Example:
        >>> import lorap
        >>> lorap.export("small", "small-dense")
        PosixPath('small-dense')
    """
    jobs.export_model(chosen.export_spec("dense"), Path(model), Path(out))
    return Path(out)
