"""What the commands share: checked specs, methods with overrides, devices, and what is printed."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from lorap.artifacts.specs import Spec
from lorap.cli.options import METHOD_OPTIONS
from lorap.errors import LorapError
from lorap.settings.config import SpecT, describe_faults, lookup
from lorap.settings.schema import Method, Params
from lorap.settings.sources import InstructionsCorpus

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
    return checked(Method, **(method.model_dump() | given(arguments, *(name for name, *_ in METHOD_OPTIONS))))


def given(arguments: Namespace, *names: str) -> dict[str, Any]:
    """The options of these names that were given."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


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


def sparsity_of(arguments: Namespace) -> float:
    """The sparsity, which ``--spec`` alone may replace."""
    if arguments.sparsity is None:
        raise LorapError("--sparsity: missing, expected a number in [0, 1)")
    sparsity: float = arguments.sparsity
    return sparsity


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
