"""The job of measuring: what each measure may be asked, and the measurement itself."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorap.api.batch import settled
from lorap.api.chosen import checked, corpus_of, sealed
from lorap.api.devices import on_device
from lorap.artifacts.meta import new_artifact
from lorap.artifacts.specs import CostSpec, PerplexitySpec, SpectraSpec, ZeroshotSpec
from lorap.errors import LorapError
from lorap.files import write_json
from lorap.settings.config import load_params
from lorap.settings.schema import Params, Zeroshot

if TYPE_CHECKING:
    import torch

Measure = PerplexitySpec | ZeroshotSpec | CostSpec | SpectraSpec
# What to lower when memory runs out.
KNOBS: dict[type[Measure], str] = {
    PerplexitySpec: "--batch (evaluate.batch)",
    ZeroshotSpec: "the precision (--dtype bfloat16)",
    CostSpec: "evaluate.cost.batches",
    SpectraSpec: "--batch (compress.batch)",
}


def measure(
    spec: Measure,
    model: Path,
    adapter: Path | None,
    files: Mapping[str, Path],
    out: Path | None,
    device: str,
    quiet: bool,
) -> dict[str, Any]:
    """Measures a model and writes the result with its meta where that is wanted.

    Args:
        spec: The measure with its settings.
        model: Folder of the model.
        adapter: An adapter beside it.
        files: The ``text`` or ``calibration`` file that the spec does not name, the folder ``data`` of tasks.
        out: The JSON file to make; None makes none.
        device: Where to compute.
        quiet: No progress bars.
    """
    inputs = {"model": model} | ({"adapter": adapter} if adapter else {})
    inputs |= {role: path for role, path in files.items() if role in ("text", "calibration")}
    taken: dict[str, int] = {}
    with (
        on_device(device, KNOBS[type(spec)]) as where,
        new_artifact(out, spec, inputs, str(where), taken=taken) if out else nullcontext() as partial,
    ):
        result = _result(spec, model, adapter, files, where, quiet, taken)
        if partial is not None:
            write_json(partial, result)
    return result


def _result(
    spec: Measure,
    model: Path,
    adapter: Path | None,
    files: Mapping[str, Path],
    device: "torch.device",
    quiet: bool,
    taken: dict[str, int],
) -> dict[str, Any]:
    from lorap.data.calibration import read_calibration
    from lorap.evaluation.cost import measure_cost
    from lorap.evaluation.perplexity import measure_perplexity
    from lorap.evaluation.spectra import measure_spectra
    from lorap.evaluation.streamed import open_model
    from lorap.evaluation.zeroshot import measure_zeroshot
    from lorap.model.folder import DTYPES
    from lorap.model.tokenizer import find_tokenizer, load_tokenizer
    from lorap.tuning.loading import load_tuned

    if isinstance(spec, SpectraSpec):
        windows = read_calibration(files["calibration"], find_tokenizer(model))
        return measure_spectra(model, windows, device, settled(spec, model, windows, device, taken).at_once(), quiet)
    if isinstance(spec, ZeroshotSpec):
        import lm_eval  # noqa: F401  (before a model is loaded, which may take minutes)
    dtype = DTYPES.get(spec.dtype)
    if isinstance(spec, CostSpec):
        return measure_cost(spec.cost, load_tuned(model, adapter, dtype, device))
    opened, tokenizer = open_model(model, adapter, dtype, device, quiet), load_tokenizer(model)
    if isinstance(spec, ZeroshotSpec):
        return measure_zeroshot(spec, opened, tokenizer, files.get("data"), quiet)
    return measure_perplexity(spec, opened, tokenizer, files.get("text"), quiet)


def measure_spec(measure: str, params: Path | None, **options: Any) -> Measure:
    """The spec of a measure with its options.

    Raises:
        LorapError: There is no such measure, or an option is out of range.
    """
    if measure not in MEASURES:
        raise LorapError(f"measure: unknown name {measure!r}, expected one of {', '.join(MEASURES)}")
    return MEASURES[measure](load_params(params), **options)


def perplexity_spec(
    params: Params,
    *,
    text: Path | None = None,
    corpus: str | None = None,
    seqlen: int = 128,
    windows: int | None = None,
    batch: int | None = None,
    special_tokens: str | None = None,
    dtype: str = "auto",
) -> PerplexitySpec:
    """Windows of a corpus, or of a text file whose label is then ``corpus``; None means all of them."""
    label, source = corpus_of(text, corpus, params)
    return sealed(
        PerplexitySpec,
        corpus=label,
        source=source,
        seqlen=seqlen,
        windows=windows,
        batch=params.evaluate.batch if batch is None else batch,
        special_tokens=special_tokens or getattr(source, "special_tokens", "text"),
        dtype=dtype,
    )


def zeroshot_spec(
    params: Params,
    *,
    tasks: Sequence[str] | None = None,
    documents: int | None = None,
    data: Path | None = None,
    seed: int | None = None,
    dtype: str = "auto",
) -> ZeroshotSpec:
    """Tasks, by default the seven of the paper, and how many documents of each; None means all of them."""
    from lorap.evaluation.tasks import TASKS

    protocol = checked(Zeroshot, tasks=list(TASKS if tasks is None else tasks), documents=documents)
    return sealed(ZeroshotSpec, zeroshot=protocol, seed=params.seed if seed is None else seed, dtype=dtype)


def cost_spec(params: Params, *, dtype: str = "auto") -> CostSpec:
    """What to count and to time, as params.yaml has it."""
    return sealed(CostSpec, cost=params.evaluate.cost, dtype=dtype)


def spectra_spec(params: Params, *, calibration: Path, batch: int | str | None = None) -> SpectraSpec:
    """Windows a forward pass; the calibration file itself is no setting."""
    return sealed(SpectraSpec, batch=params.compress.batch if batch is None else batch)


MEASURES: dict[str, Callable[..., Measure]] = {
    "perplexity": perplexity_spec,
    "zeroshot": zeroshot_spec,
    "cost": cost_spec,
    "spectra": spectra_spec,
}
