"""The commands that make things: each turns its options into a spec and hands it to the library."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from lorap.artifacts.grid import report_spec
from lorap.artifacts.specs import CalibrateSpec, CompressSpec, ExportSpec, FetchSpec, ReportSpec
from lorap.cli.work import announce, checked, method_of, on_device, print_json, recipe_of, spec_from
from lorap.errors import LorapError
from lorap.files import only_one, read_json
from lorap.settings.config import load_params, lookup, parse_spec
from lorap.settings.schema import Compress
from lorap.settings.sources import InstructionsCorpus


def fetch(arguments: Namespace) -> None:
    """``lorap fetch``."""
    if arguments.name.endswith(".json"):
        _fetch_again(Path(arguments.name), arguments.out)
    else:
        _fetch(arguments)


def _fetch_again(manifest: Path, out: Path) -> None:
    """Makes the folder of a manifest, unless it is there."""
    from lorap.artifacts.meta import artifact_id, meta_path

    wanted = read_json(manifest)
    try:
        spec = FetchSpec.model_validate(wanted["spec"])
    except (ValueError, KeyError, TypeError) as error:
        raise LorapError(f"{manifest}: is no manifest of a model, expected the meta.json of one") from error
    if missing := {"id", "sha256", "origin"} - set(wanted):
        raise LorapError(f"{manifest}: is no manifest of a model, it has no {min(missing)}")
    with only_one(out):  # several jobs may want it at once
        if meta_path(out).is_file() and artifact_id(out) == wanted["id"]:
            return
        from lorap.data.download import fetch_again

        fetch_again(wanted, spec.model, out)
    announce(out)


def _fetch(arguments: Namespace) -> None:
    """Gets a model by name or spec, unless it is there."""
    from lorap.artifacts.meta import is_made_from, new_artifact
    from lorap.data.download import fetch as fetch_model
    from lorap.data.download import local_inputs

    spec = parse_spec(FetchSpec, arguments.spec) if arguments.spec else _fetch_spec(arguments)
    inputs = local_inputs(spec.model)
    with only_one(arguments.out):
        if is_made_from(arguments.out, spec, inputs):
            announce(arguments.out, "is there already")
            return
        origin: dict[str, str] = {}
        with new_artifact(arguments.out, spec, inputs, folder=True, origin=origin) as folder:
            origin |= fetch_model(spec.model, folder)
    announce(arguments.out)


def _fetch_spec(arguments: Namespace) -> FetchSpec:
    """A model by its name in params.yaml, else a folder, a GGUF file or a hub id."""
    models, name = load_params(arguments.params).models, arguments.name
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
    model |= {key: value for key in ("revision", "dtype") if (value := getattr(arguments, key))}
    return spec_from(FetchSpec, name=Path(name).resolve().name, model=model)


def calibrate(arguments: Namespace) -> None:
    """``lorap calibrate``."""
    from lorap.artifacts.meta import new_artifact
    from lorap.data.draw import calibrate as make_calibration
    from lorap.model.folder import load_tokenizer

    spec = parse_spec(CalibrateSpec, arguments.spec) if arguments.spec else _calibrate_spec(arguments)
    inputs = {"model": arguments.model} | ({"text": arguments.text} if arguments.text else {})
    tokenizer = load_tokenizer(arguments.model)
    origin: dict[str, str] = {}
    with new_artifact(arguments.out, spec, inputs, origin=origin) as file:
        origin |= make_calibration(spec, tokenizer, arguments.text, file)
    announce(arguments.out)


def _calibrate_spec(arguments: Namespace) -> CalibrateSpec:
    params = load_params(arguments.params)
    return spec_from(
        CalibrateSpec,
        **corpus_of(arguments, params.corpora),
        nsamples=arguments.nsamples,
        seqlen=arguments.seqlen,
        seed=params.seed if arguments.seed is None else arguments.seed,
    )


def corpus_of(arguments: Namespace, corpora: dict[str, Any]) -> dict[str, Any]:
    """The corpus's label and source; with a text file the source is that file."""
    if arguments.text is not None:
        if not arguments.text.is_file():
            raise LorapError(f"{arguments.text}: no such text file")
        return {"corpus": arguments.corpus or arguments.text.name, "source": None}
    if arguments.corpus is None:
        raise LorapError("corpus: missing, give --corpus NAME or --text FILE")
    texts = {name: corpus for name, corpus in corpora.items() if not isinstance(corpus, InstructionsCorpus)}
    return {"corpus": arguments.corpus, "source": lookup(texts, arguments.corpus, "corpus")}


def plan(arguments: Namespace) -> None:
    """``lorap plan``."""
    from lorap.compression.planning import describe_plan, plan_model
    from lorap.model.folder import read_config

    if arguments.tokens < 1:
        raise LorapError(f"--tokens: got {arguments.tokens}, expected at least 1")
    params = load_params(arguments.params)
    chosen = {"form": arguments.form} if arguments.form else {}
    form = checked(Compress, **(params.compress.model_dump() | chosen)).form
    recipe = recipe_of(method_of(arguments, params), _sparsity(arguments))
    found = plan_model(read_config(arguments.model), recipe, form)
    if arguments.json:
        print_json(found.as_dict(arguments.tokens))
    else:
        print(describe_plan(found, arguments.tokens))


def _sparsity(arguments: Namespace) -> float:
    if arguments.sparsity is None:
        raise LorapError("--sparsity: missing, expected a number in [0, 1)")
    return arguments.sparsity


def compress(arguments: Namespace) -> None:
    """``lorap compress``."""
    from lorap.artifacts.meta import new_artifact
    from lorap.compression.run import compress as compress_model
    from lorap.data.calibration import read_calibration
    from lorap.model.folder import DTYPES, find_tokenizer

    spec = parse_spec(CompressSpec, arguments.spec) if arguments.spec else _compress_spec(arguments)
    recipe = recipe_of(spec.method, spec.sparsity)
    input_ids = read_calibration(arguments.calibration, find_tokenizer(arguments.model))
    inputs = {"model": arguments.model, "calibration": arguments.calibration}
    with (
        on_device(arguments.device, "--batch (compress.batch)") as device,
        new_artifact(arguments.out, spec, inputs, str(device), folder=True) as folder,
    ):
        compress_model(
            arguments.model,
            input_ids,
            recipe,
            folder,
            form=spec.form,
            dtype=DTYPES.get(spec.dtype),
            device=device,
            batch=spec.batch,
            offload=spec.offload,
            quiet=arguments.quiet,
        )
    announce(arguments.out)


def _compress_spec(arguments: Namespace) -> CompressSpec:
    params = load_params(arguments.params)
    names = ("form", "dtype", "batch", "offload")
    overrides = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return spec_from(
        CompressSpec,
        method=method_of(arguments, params),
        sparsity=_sparsity(arguments),
        **(params.compress.model_dump() | overrides),
    )


def export(arguments: Namespace) -> None:
    """``lorap export``."""
    from lorap.artifacts.meta import new_artifact
    from lorap.compression.dense import export_dense

    spec = spec_from(ExportSpec, form=arguments.form)
    with new_artifact(arguments.out, spec, {"model": arguments.model}, folder=True) as folder:
        export_dense(arguments.model, folder)
    announce(arguments.out)


def report(arguments: Namespace) -> None:
    """``lorap report``."""
    from lorap.report.build import build_report

    spec = parse_spec(ReportSpec, arguments.spec) if arguments.spec else _report_spec(arguments)
    print(build_report(spec, arguments.results / spec.name))


def _report_spec(arguments: Namespace) -> ReportSpec:
    if arguments.grid is None:
        raise LorapError("--grid: missing, expected the name of a grid of params.yaml")
    return report_spec(load_params(arguments.params), arguments.grid)
