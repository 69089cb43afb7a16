"""What passes inside a layer during one forward pass: the inputs of its projections, and the stream between."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lorap.errors import LorapError
from lorap.model.family import projection
from lorap.model.layer_plan import READERS

TINY = 1e-12  # the mean square of a token whose stream is 0


class _Enough(Exception):
    """The last input that is wanted has passed; the rest of the layer need not run."""


def passing(
    layer: nn.Module, run: Callable[[], Tensor], inputs: Sequence[str], to_the_end: bool = False
) -> dict[str, Tensor]:
    """Runs a layer on a batch, and returns what it saw on the way.

    Args:
        layer: A decoder layer.
        run: Passes the batch through it.
        inputs: Inputs of its projections (``model.layer_plan.READERS``), in the order of the forward pass.
        to_the_end: Run all of the layer, not only as far as the last of these.

    Returns:
        The inputs by name; ``middle``, the stream behind the attention, where the pass comes so far; and ``output``
        where it comes to the end: (batch, tokens, features).
    """
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks, suppress(_Enough):

        def keep(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
                seen[name] = arguments[0]
                if name == inputs[-1] and not to_the_end:
                    raise _Enough

            return hook

        def middle(module: nn.Module, arguments: Any, output: Any) -> None:
            seen["middle"] = seen["input"] + (output[0] if isinstance(output, tuple) else output)

        def enter(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen["input"] = arguments[0]

        hooks.callback(layer.register_forward_pre_hook(enter).remove)
        hooks.callback(layer.self_attn.register_forward_hook(middle).remove)  # type: ignore[union-attr]
        for name in inputs:
            reader = projection(layer, READERS[name][0])
            hooks.callback(reader.register_forward_pre_hook(keep(name)).remove)
        seen["output"] = run()
    return seen


def require_plain_stream(layer: nn.Module, run: Callable[[Tensor], Tensor], window: Tensor) -> None:
    """Makes sure that a layer adds its attention to the stream, then its FFN, which reads that sum.

    Args:
        layer: A dense decoder layer.
        run: Passes windows through it.
        window: What comes in: (1, tokens, hidden).

    Raises:
        LorapError: A norm stands behind a sub-layer, or both read the same stream.
    """
    added: list[Tensor] = []
    hook = layer.mlp.register_forward_hook(lambda module, arguments, output: added.append(output))  # type: ignore[union-attr]
    seen = passing(layer, partial(run, window), ["ffn_in"], to_the_end=True)
    hook.remove()
    plain = _close(seen["middle"] + added[0], seen["output"])
    if plain:
        skip_attention(layer)
        plain = _close(passing(layer, partial(run, seen["middle"]), ["ffn_in"])["ffn_in"], seen["ffn_in"])
        restore_attention(layer)
    if not plain:
        raise LorapError(
            f"{type(layer).__name__}: does not add its attention to the stream and then its FFN, which refits and "
            "surveys count on; choose a method without them, such as lorap"
        )


def _close(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal up to rounding in their own precision."""
    off = (found - expected).float().abs().max()
    return bool(off <= 8 * torch.finfo(expected.dtype).eps * expected.float().abs().max())


def skip_attention(layer: nn.Module) -> None:
    """Has a layer take what comes in for the stream behind its attention, until ``restore_attention``."""

    def nothing(*arguments: Any, **keywords: Any) -> tuple[float, None]:
        return 0.0, None

    vars(layer.self_attn)["forward"] = nothing  # in the place of its class's


def restore_attention(layer: nn.Module) -> None:
    """The whole layer again, also where nothing was skipped."""
    vars(layer.self_attn).pop("forward", None)


def some_windows(windows: Tensor, count: int) -> Tensor:
    """So many of some windows, spread evenly over all, or every one: (count, ...)."""
    return windows[torch.linspace(0, len(windows) - 1, min(count, len(windows))).long()]


def token_weights(stream: Tensor) -> Tensor:
    """What a token's error counts, relative to the mean square of its residual stream: (...), float32."""
    squares: Tensor = stream.float().square().mean(-1)
    return 1 / squares.clamp(min=TINY)
