"""Warnings where a calibration has fewer tokens than a second moment has rows, or too few windows for gradients."""

import sys
from collections.abc import Iterable

from lorap.methods.seen import Want
from lorap.model.layer_plan import READERS, LayerShape


def warn_of_few_tokens(wants: Iterable[Want], shape: LayerShape, tokens: int) -> None:
    """Says on stderr, once for each input, what a calibration is too short for.

    Args:
        wants: What is measured.
        shape: A dense layer.
        tokens: Of all calibration windows.
    """
    widths: dict[str, int] = {}
    for want in wants:
        if want.kind in ("moment", "gram"):
            width = shape.sizes[READERS[want.input][0]][1] // want.blocks
            widths[want.input] = max(width, widths.get(want.input, 0))
    for name, width in widths.items():
        if tokens < width:
            print(
                f"lorap: warning: {tokens} calibration tokens for the second moment of {name}, which has {width} "
                "features: too few to tell these apart; calibrate on more windows",
                file=sys.stderr,
                flush=True,
            )


def warn_of_few_windows(wanted: int, windows: int) -> None:
    """Says on stderr that gradients are of all windows, where a method wants those of more."""
    if windows < wanted:
        print(
            f"lorap: warning: gradients of {windows} calibration windows, {wanted} are wanted; "
            "calibrate on more windows",
            file=sys.stderr,
            flush=True,
        )
