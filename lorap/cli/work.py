"""What the commands share: checked specs, methods with overrides, devices, and what is printed."""

import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from lorap.artifacts.specs import Spec
from lorap.errors import LorapError
from lorap.settings.config import SpecT, describe_faults, lookup
from lorap.settings.schema import Method, Params

SealedT = TypeVar("SealedT", bound=Spec)

if TYPE_CHECKING:
    import torch

    from lorap.methods import Recipe


def spec_from(kind: type[SealedT], **settings: Any) -> SealedT:
    """A sealed spec from the options of the command line; faults name the option."""
    return checked(kind, **settings).sealed()


def checked(kind: type[SpecT], **settings: Any) -> SpecT:
    """A model of settings; faults are told as those of the command line's options."""
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        faults = (fault.partition(": got ") for fault in describe_faults(error, "option"))
        raise LorapError("\n".join(f"{key.replace('_', '-')}{got}{rest}" for key, got, rest in faults)) from error


def method_of(arguments: Namespace, params: Params) -> Method:
    """The named method with the overrides of the command line."""
    method = lookup(params.methods, arguments.method, "method")
    names = ("attention", "ffn", "allocation", "keep_least")
    overrides = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return checked(Method, **(method.model_dump() | overrides))


def grids_of(arguments: Namespace, params: Params) -> list[str]:
    """The grid that was asked for, else the active ones.

    Raises:
        LorapError: There is no grid of that name.
    """
    names = [arguments.grid] if arguments.grid else params.active
    for name in names:
        lookup(params.grids, name, "grid")
    return names


def recipe_of(method: Method, sparsity: float) -> "Recipe":
    """The method made ready for one sparsity."""
    from lorap.methods import make_recipe

    return make_recipe(method.attention, method.ffn, method.allocation, method.keep_least, sparsity)


def model_inputs(arguments: Namespace) -> dict[str, Path]:
    """What a measurement or a re-decomposition is made of: a model, and an adapter where one is given."""
    adapter = getattr(arguments, "adapter", None)
    return {"model": arguments.model} | ({"adapter": adapter} if adapter else {})


@contextmanager
def on_device(name: str, knob: str) -> "Iterator[torch.device]":
    """The device to work on; running out of its memory is told with the knob that helps.

    Raises:
        LorapError: There is no such device, or its memory is too small.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # the meta device has nothing to give back
    except (RuntimeError, AssertionError) as error:
        raise LorapError(f"--device {name}: not usable here ({str(error).splitlines()[0].split('. ')[0]})") from error
    try:
        yield device
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise LorapError(f"--device {name}: out of memory; lower {knob}") from error


def announce(path: Path, did: str = "written") -> None:
    """Says what was made, and how large it is."""
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    print(f"{path}: {did} ({size / 1e6:.1f} MB)")


def print_json(value: Any) -> None:
    """JSON alone on standard output."""
    print(json.dumps(value, indent=2))
