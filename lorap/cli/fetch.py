"""``lorap fetch``: get a model as a plain Hugging Face folder."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from lorap.artifacts.meta import artifact_id, is_made_from, meta_path, new_artifact
from lorap.artifacts.specs import FetchSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.cli.work import given, spec_from
from lorap.errors import LorapError
from lorap.files import only_one, read_json
from lorap.settings.config import load_params, parse_spec


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap fetch``."""
    parser.add_argument("name", metavar="NAME", help="model of params.yaml, hub id, GGUF file, folder or manifest")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id (default: main)")
    parser.add_argument("--dtype", help="of a GGUF file's unpacked weights (default: bfloat16)")
    options.add_spec(parser)
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, "lorap fetch smollm2-135m-instruct --out models/smol")


def run(arguments: Namespace) -> None:
    """``lorap fetch``."""
    if arguments.name.endswith(".json"):
        _fetch_again(Path(arguments.name), arguments.out)
    else:
        _fetch(arguments)


def _fetch_again(manifest: Path, out: Path) -> None:
    """Makes the folder of a manifest, unless it is there."""
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
    model |= given(arguments, "revision", "dtype")
    return spec_from(FetchSpec, name=Path(name).resolve().name, model=model)
