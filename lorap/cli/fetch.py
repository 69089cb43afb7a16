"""``lorap fetch``: get a model as a plain Hugging Face folder."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lorap.api import chosen, jobs
from lorap.artifacts.specs import FetchSpec
from lorap.cli import options
from lorap.cli.output import announce
from lorap.settings.config import parse_spec


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap fetch``."""
    parser.add_argument("name", metavar="NAME", help="model of params.yaml, hub id, GGUF file, folder or manifest")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id (default: main)")
    parser.add_argument("--dtype", help="of a GGUF file's unpacked weights (default: bfloat16)")
    options.add_spec(parser)
    options.add_out(parser, "the folder to make")
    options.add_common(parser, run, "lorap fetch smollm2-135m-instruct --out models/smol")


def run(arguments: Namespace) -> None:
    """Gets the model, or says that it is there already; several jobs of a workflow ask for the same manifest."""
    name, out = arguments.name, arguments.out
    if name.endswith(".json"):
        if jobs.fetch_manifest(Path(name), out):
            announce(out)
        return
    if arguments.spec:
        spec = parse_spec(FetchSpec, arguments.spec)
    else:
        spec = chosen.fetch_spec(name, arguments.revision, arguments.dtype, arguments.params)
    announce(out, "written" if jobs.fetch_model(spec, out) else "is there already")
