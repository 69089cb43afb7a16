"""``lorap show``: what a folder or a file is, where it came from, and how it was made."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lorap.artifacts.description import Description, describe
from lorap.cli import options
from lorap.cli.output import layer_lines, print_json, size_in_words
from lorap.settings.config import printable

ID = 12  # digits of an id that a person is shown


def add_options(parser: ArgumentParser) -> None:
    """The options of ``lorap show``."""
    parser.add_argument("path", type=Path, metavar="PATH", help="model folder, adapter, calibration file or result")
    options.add_json(parser)
    options.add_common(parser, run, "lorap show small")


def run(arguments: Namespace) -> None:
    """Prints what there is; no weights are read."""
    found = describe(arguments.path)
    if arguments.json:
        print_json(found.as_dict())
    else:
        lines = list(_lines(found))
        width = max(len(name) for name, _ in lines)
        for name, text in lines:
            print(f"{printable(name):<{width}}  {printable(text)}")


def _lines(found: Description) -> Iterator[tuple[str, str]]:
    """What a person is shown: a name and a text for every line."""
    yield found.kind, found.path
    if found.model_type:
        yield "model type", words(found.model_type)
    if found.parameters is not None:
        yield "tokens" if found.kind == "calibration" else "parameters", f"{found.parameters:,} in {found.dtype}"
    yield "size", size_in_words(found.bytes)
    yield from ((name.replace("_", " "), words(value)) for name, value in found.details.items())
    if found.shape:
        yield from layer_lines([(plan, found.shape) for plan in found.layers])
    yield from _provenance(found.meta)


def _provenance(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings, inputs, versions, place and time."""
    if not meta:
        yield "made by", "another tool, or lorap's meta.json is lost"
        return
    settings = {name: value for name, value in _mapping(meta, "spec").items() if name != "code"}
    nested = {name: value for name, value in settings.items() if isinstance(value, dict)}
    yield from ((name, words(value)) for name, value in nested.items())
    if plain := {name: value for name, value in settings.items() if name not in nested}:
        yield "settings", words(plain)
    if inputs := _mapping(meta, "inputs"):
        yield "made of", words({role: str(identity)[:ID] for role, identity in inputs.items()})
    if origin := _mapping(meta, "origin"):
        yield "came from", words(origin)
    yield "made with", words(_mapping(meta, "versions") | {"commit": meta.get("git_commit") or "unknown"})
    yield "made on", f"{meta.get('device')}, in {meta.get('wall_seconds')} seconds"
    yield "id", str(meta.get("id"))


def _mapping(meta: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = meta.get(key)
    return value if isinstance(value, dict) else {}


def words(value: Any) -> str:
    """A value of JSON on one line; what is empty is left out of a mapping."""
    if isinstance(value, dict):
        full = {name: inner for name, inner in value.items() if inner not in ((), [], {})}
        named = {name: inner for name, inner in full.items() if isinstance(inner, dict) and "name" in inner}
        for name, inner in named.items():  # a part of a method, whose name says what it is
            full[name] = {name: inner["name"]} | {key: other for key, other in inner.items() if key != "name"}
        return "  ".join(
            words(inner) if isinstance(inner, dict) else f"{name} {words(inner)}" for name, inner in full.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(words(item) for item in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
