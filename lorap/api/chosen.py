"""Specs from plain values: what a caller or the command line chose, the rest as params.yaml has it.

Throughout, None means that nothing was chosen, and ``params`` is the settings file to read (see ``load_params``).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lorap.artifacts.specs import (
    CalibrateSpec,
    CompressSpec,
    ExportSpec,
    FetchSpec,
    RedecomposeSpec,
    Spec,
    SurveySpec,
    TuneSpec,
)
from lorap.errors import LorapError
from lorap.settings.config import SpecT, describe_faults, load_params, lookup
from lorap.settings.method import Method
from lorap.settings.schema import Compress, Params, Tune
from lorap.settings.sources import CorpusSource, InstructionsCorpus

SealedT = TypeVar("SealedT", bound=Spec)
Place = str | Path
MethodChoice = str | Mapping[str, Any]  # a name of params.yaml, or the settings themselves
OWN_HELD_OUT = 0.1  # of a user's own file, which may have fewer rows than the published data hold out


def fetch_spec(
    name: str, revision: str | None = None, dtype: str | None = None, params: Path | None = None
) -> FetchSpec:
    """A model by its name in params.yaml, else a folder, a GGUF file or a hub id.

    Raises:
        LorapError: It is none of these.
    """
    models = load_params(params).models
    model: dict[str, Any]
    if name in models:
        model = models[name].model_dump()
    elif Path(name).is_dir():
        model = {"source": "folder", "path": name}
    elif name.endswith(".gguf"):
        model = {"source": "gguf", "path": name}
    elif name.count("/") == 1:
        model = {"source": "hub", "repo": name}
    else:
        raise LorapError(
            f"model: {name!r} is no folder, no .gguf file, no hub id (owner/name) and not in params.yaml: "
            + ", ".join(sorted(models))
        )
    return sealed(FetchSpec, name=Path(name).resolve().name, model=model | given(revision=revision, dtype=dtype))


def calibrate_spec(
    text: Path | None,
    corpus: str | None,
    nsamples: int,
    seqlen: int,
    seed: int | None,
    params: Path | None,
) -> CalibrateSpec:
    """Calibration windows of a corpus, or of a text file, whose label is then ``corpus``."""
    settings = load_params(params)
    label, source = corpus_of(text, corpus, settings)
    seed = settings.seed if seed is None else seed
    return sealed(CalibrateSpec, corpus=label, source=source, nsamples=nsamples, seqlen=seqlen, seed=seed)


def corpus_of(text: Path | None, corpus: str | None, params: Params) -> tuple[str, CorpusSource | None]:
    """The label of a text, and its source; None means the file ``text``.

    Raises:
        LorapError: There is neither, no such file, or no such corpus.
    """
    if text is not None:
        if not text.is_file():
            raise LorapError(f"{text}: no such text file")
        return corpus or text.name, None
    if corpus is None:
        raise LorapError("corpus: missing, give --corpus NAME or --text FILE")
    texts = {name: source for name, source in params.corpora.items() if not isinstance(source, InstructionsCorpus)}
    return corpus, lookup(texts, corpus, "corpus")


def compress_spec(
    method: MethodChoice,
    sparsity: float,
    overrides: Mapping[str, Any],
    params: Path | None,
    **how: Any,
) -> CompressSpec:
    """A method, with settings in place of its own, at a sparsity; ``how`` is of form, dtype, batch and offload."""
    settings = load_params(params)
    return sealed(
        CompressSpec,
        method=method_of(method, overrides, settings),
        sparsity=sparsity,
        **compress_settings(settings, **how).model_dump(),
    )


def survey_spec(params: Path | None, windows: int | None = None, **how: Any) -> SurveySpec:
    """A survey as params.yaml has it, or of so many ``windows``; ``how`` is of dtype, batch and offload."""
    settings = load_params(params)
    computed = compress_settings(settings, **how).model_dump(exclude={"form"})
    survey = settings.survey.model_dump() | given(windows=windows)
    return sealed(SurveySpec, survey=survey, **computed)


def compress_settings(params: Params, **chosen: Any) -> Compress:
    """How compression runs and in which form it is stored."""
    return checked(Compress, **(params.compress.model_dump() | given(**chosen)))


def method_of(method: MethodChoice, overrides: Mapping[str, Any], params: Params) -> Method:
    """A method by its name or its settings, with other settings in place of its own."""
    named = lookup(params.methods, method, "method") if isinstance(method, str) else checked(Method, **method)
    with _faults_of_options():
        return named.overridden(overrides)


def tune_spec(
    tuning: str, data: str | Path | None, overrides: Mapping[str, Any], seed: int | None, params: Path | None
) -> TuneSpec:
    """A tuning of params.yaml, with settings in place of its own, on a corpus or on a file.

    Raises:
        LorapError: The data is neither, or a setting is unknown or out of range.
    """
    settings = load_params(params)
    chosen = lookup(settings.tune, tuning, "tuning")
    source: CorpusSource | None = settings.corpora[chosen.corpus]
    if data is not None and str(data) in settings.corpora:
        overrides, source = {**overrides, "corpus": str(data)}, settings.corpora[str(data)]
    elif data is not None:
        if not Path(data).is_file():
            known = ", ".join(sorted(settings.corpora))
            raise LorapError(f"--data: {str(data)!r} is no file, and no corpus of {known}")
        overrides, source = {"held_out": OWN_HELD_OUT, **overrides, "corpus": "file"}, None
    tune = checked(Tune, **(chosen.model_dump() | dict(overrides)))
    return sealed(TuneSpec, tune=tune, source=source, seed=settings.seed if seed is None else seed)


def redecompose_spec(rank: str | int, batch: int | str | None, params: Path | None) -> RedecomposeSpec:
    """The rank to factor at: ``k+r``, ``k`` or a number."""
    number = int(rank) if isinstance(rank, str) and rank.isdecimal() else rank
    if number not in ("k+r", "k") and not (isinstance(number, int) and number > 0):
        raise LorapError(f"--rank: got {rank!r}, expected k+r, k or a whole number of at least 1")
    at_once = load_params(params).compress.batch if batch is None else batch
    return sealed(RedecomposeSpec, rank=number, batch=at_once)


def export_spec(form: str) -> ExportSpec:
    """The form to export to."""
    return sealed(ExportSpec, form=form)


def as_path(place: Place | None) -> Path | None:
    """A place as a path."""
    return None if place is None else Path(place)


def given(**values: Any) -> dict[str, Any]:
    """The values that were chosen."""
    return {name: value for name, value in values.items() if value is not None}


def sealed(kind: type[SealedT], **settings: Any) -> SealedT:
    """A checked spec with the hash of its code."""
    return checked(kind, **settings).sealed()


def checked(kind: type[SpecT], **settings: Any) -> SpecT:
    """Checked settings.

    Raises:
        LorapError: One line for every fault, which names the option.
    """
    with _faults_of_options():
        return kind.model_validate(settings)


@contextmanager
def _faults_of_options() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        faults = (fault.partition(": got ") for fault in describe_faults(error, "option"))
        raise LorapError("\n".join(f"{key.replace('_', '-')}{got}{rest}" for key, got, rest in faults)) from error
