"""Smaller heads of v and o: between the two there is only a weighted mean over tokens (plus.md, 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lorap.core.factorise import eigenvectors, in_float64
from lorap.core.joint import block_roots

FLOOR = 1e-10  # of the largest variance of what is left of a head, for what is always 0


@dataclass(frozen=True)
class HeadSpaces:
    """What each key-value head could keep.

    Attributes:
        values: Eigenvalues of G^1/2 S G^1/2, largest first: (groups, d).
        encoders: U^T G^1/2, which v takes up: (groups, d, d), the most important row first.
    """

    values: Tensor
    encoders: Tensor


def head_spaces(outputs: Tensor, moments: Tensor) -> HeadSpaces:
    """The spaces of heads by what they carry into the layer's output.

    Args:
        outputs: The columns of o's weight for each query head, by the key-value head that it reads:
            (groups, ratio, hidden, d).
        moments: S_h = E[o_h o_h^T] of the query heads: (groups, ratio, d, d).
    """
    outputs = in_float64(outputs)
    ratio = outputs.shape[1]
    metric = (outputs.transpose(-1, -2) @ outputs).sum(1)
    root, _ = block_roots(metric)
    values, vectors = eigenvectors(root @ in_float64(moments).sum(1) @ root)
    values, vectors = values.clamp(min=0).flip(-1) / ratio, vectors.flip(-1)
    return HeadSpaces(values, vectors.transpose(-1, -2) @ root)


def decoders(encoder: Tensor, moments: Tensor) -> Tensor:
    """What each query head's columns of o are multiplied by, for the least error: S P^T (P S P^T)^-1.

    Args:
        encoder: P of a key-value head, (r, d).
        moments: S_h of the query heads that read it, (ratio, d, d). What they lack entirely is decoded as nothing.

    Returns:
        (ratio, d, r), float64.
    """
    seen = in_float64(moments) @ in_float64(encoder).T
    small = in_float64(encoder) @ seen
    diagonal = small.diagonal(dim1=-2, dim2=-1)
    diagonal += FLOOR * diagonal.amax(-1, keepdim=True)
    return torch.linalg.solve(small.transpose(-1, -2), seen.transpose(-1, -2)).transpose(-1, -2)


def pooled_dims(values: Tensor, total: int, least: int) -> list[int]:
    """How many dimensions each key-value head keeps where ``total`` are kept: those of the largest eigenvalues.

    Args:
        values: (groups, d), largest first.
        total: At least ``groups * least``.
        least: That each of them keeps.
    """
    groups, width = values.shape
    free = values[:, least:].flatten().argsort(descending=True, stable=True)[: total - groups * least]
    counts = torch.bincount(free // (width - least), minlength=groups) if width > least else torch.zeros(groups)
    return [least + int(count) for count in counts]
