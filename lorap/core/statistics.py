"""Running statistics of a layer's inputs over the calibration tokens (method.md, 3)."""

import itertools
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

from lorap.core.fluctuation import Fluctuation

Kind = Literal["squares", "mean", "fluctuation", "moment", "gram", "before", "counterpart", "gap"]
CROSSES = frozenset(("before", "counterpart", "gap"))  # moments of an input with something else
ZERO_SCALE = 1e-4  # replaces the scale of a feature that is always 0
STRIPS = 8  # of a Gram matrix, of which each is computed from the diagonal on


class Moments:
    """First and second moments of one input, gathered batch by batch; each is summed only if it is asked for.

    Args:
        features: Width of the input.
        kinds: ``squares``, ``mean``, or ``moment``: the whole (features, features) second moment, and the mean.
            ``fluctuation``: see ``core.fluctuation``.
            In float32, for solutions with a ridge: ``gram``, the second moment; ``before``, ``counterpart`` and
            ``gap``, the moments that other tensors have with the input, see ``methods.seen.Want``.
        device: Where the sums live.
        blocks: Of the ``gram``, of which only those on the diagonal are wanted.
    """

    def __init__(
        self, features: int, kinds: Collection[Kind], device: torch.device | str = "cpu", blocks: int = 1
    ) -> None:
        self.tokens, self.device, self.kinds = 0, torch.device(device), frozenset(kinds)
        side = features // blocks
        self.gram = torch.zeros((blocks, side, side) if "gram" in kinds else 0, device=device)
        self.crosses: dict[str, Tensor] = {}
        device = "cpu" if self.device.type == "mps" else device  # which has no float64
        self.squares = torch.zeros(features if "squares" in kinds else 0, dtype=torch.float64, device=device)
        self.sum = torch.zeros(features if {"mean", "moment"} & set(kinds) else 0, dtype=torch.float64, device=device)
        self.published = Fluctuation() if "fluctuation" in kinds else None
        width = features if "moment" in kinds else 0
        self.products = torch.zeros((width, width), dtype=torch.float64, device=device)

    def update(self, inputs: Tensor, weights: Tensor | None = None, **others: Tensor) -> None:
        """Adds a batch of inputs; the sums are float32 or better.

        Args:
            inputs: (..., features) of any float type.
            weights: Of the tokens, for the kinds in float32: (...).
            others: The tensors of ``before``, ``counterpart`` and ``gap``, (..., their features).
        """
        if self.published:
            self.published.add(inputs.reshape(-1, *inputs.shape[-2:]).float())
        inputs = inputs.reshape(-1, inputs.shape[-1]).float()
        if (CROSSES | {"gram"}) & self.kinds:
            self._add_products(inputs, weights, others)
        self.tokens += len(inputs)
        if len(self.sum):  # in float64: where the mean is large, variance and covariance are small differences
            inputs = inputs.to(self.sum)
            self.sum += inputs.sum(0)
        if len(self.squares):
            self.squares += inputs.square().sum(0).to(self.squares.device)
        if len(self.products):
            self.products.addmm_(inputs.T, inputs)

    def _add_products(self, inputs: Tensor, weights: Tensor | None, others: dict[str, Tensor]) -> None:
        root = None if weights is None else weights.reshape(-1, 1).float().sqrt()
        rows = inputs if root is None else inputs * root
        if len(self.gram) > 1:
            blocks = rows.view(len(rows), len(self.gram), -1).transpose(0, 1)
            self.gram += blocks.transpose(1, 2) @ blocks
        elif len(self.gram):
            side = rows.shape[1]
            edges = [side * strip // STRIPS for strip in range(STRIPS + 1)]
            for start, end in itertools.pairwise(edges):
                self.gram[0, start:end, start:].addmm_(rows[:, start:end].T, rows[:, start:])
        for name, other in others.items():
            other = other.reshape(-1, other.shape[-1]).float()
            product = (other if root is None else other * root).T @ rows
            self.crosses[name] = self.crosses[name].add_(product) if name in self.crosses else product

    def products_of(self, kind: str = "gram") -> Tensor:
        """E[x x^T] of ``gram``, its blocks where there are several, or E[t x^T] of the other kinds; float32."""
        if kind != "gram":
            return self.crosses[kind] / self.tokens
        if len(self.gram) > 1:
            return self.gram / self.tokens
        upper = self.gram[0].triu()
        return (upper + upper.triu(1).T) / self.tokens

    def squares_of(self) -> Tensor:
        """The diagonal of a whole ``gram``, E[x^2] of every feature: (features,), float32."""
        return self.gram[0].diagonal() / self.tokens

    def scale(self) -> Tensor:
        """L2 norm of every feature over the tokens, never 0: (features,), float32. Needs ``squares``."""
        scale = self.squares.sqrt().float().to(self.device)
        return torch.where(scale == 0, ZERO_SCALE, scale)

    def mean(self) -> Tensor:
        """Mean of every feature: (features,), float32. Needs ``mean``."""
        return (self.sum / self.tokens).float().to(self.device)

    def variance(self) -> Tensor:
        """Variance of every feature, never negative: (features,), float32. Needs ``squares`` and ``mean``."""
        mean = self.sum / self.tokens
        return (self.squares / self.tokens - mean.square()).clamp(min=0).float().to(self.device)

    def second_moment(self) -> Tensor:
        """E[x x^T]: (features, features), float32. Needs ``moment``."""
        return (self.products / self.tokens).float().to(self.device)

    def covariance(self) -> Tensor:
        """Covariance of the features: (features, features), float32. Needs ``moment``."""
        mean = self.sum / self.tokens
        return (self.products / self.tokens - torch.outer(mean, mean)).float().to(self.device)

    def is_finite(self) -> Tensor:
        """Whether no input was infinite or not a number: (), on the device."""
        sums = [self.squares, self.sum, self.products, self.gram, *self.crosses.values()]
        sums += [self.published.sums] if self.published else []
        return torch.stack([torch.isfinite(part.sum()).to(self.device) for part in sums]).all()
