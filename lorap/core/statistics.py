"""Running statistics of a layer's inputs over the calibration tokens (method.md, 3)."""

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["squares", "mean", "moment"]
ZERO_SCALE = 1e-4  # replaces the scale of a feature that is always 0


class Moments:
    """First and second moments of one input, gathered batch by batch; each is summed only if it is asked for.

    Args:
        features: Width of the input.
        kinds: ``squares``, ``mean``, or ``moment``: the whole (features, features) second moment, and the mean.
        device: Where the sums live.
    """

    def __init__(self, features: int, kinds: Collection[Kind], device: torch.device | str = "cpu") -> None:
        self.tokens, self.device = 0, torch.device(device)
        device = "cpu" if self.device.type == "mps" else device  # which has no float64
        self.squares = torch.zeros(features if "squares" in kinds else 0, dtype=torch.float64, device=device)
        self.sum = torch.zeros(features if {"mean", "moment"} & set(kinds) else 0, dtype=torch.float64, device=device)
        width = features if "moment" in kinds else 0
        self.products = torch.zeros((width, width), dtype=torch.float64, device=device)

    def update(self, inputs: Tensor) -> None:
        """Adds a batch of inputs: (..., features) of any float type; the sums are float32 or better."""
        inputs = inputs.reshape(-1, inputs.shape[-1]).float()
        self.tokens += len(inputs)
        if len(self.squares):
            self.squares += inputs.square().sum(0).to(self.squares.device)
        if len(self.sum):  # in float64: where the mean is large, the covariance is a small difference
            inputs = inputs.to(self.sum)
            self.sum += inputs.sum(0)
        if len(self.products):
            self.products.addmm_(inputs.T, inputs)

    def scale(self) -> Tensor:
        """L2 norm of every feature over the tokens, never 0: (features,), float32. Needs ``squares``."""
        scale = self.squares.sqrt().float().to(self.device)
        return torch.where(scale == 0, ZERO_SCALE, scale)

    def mean(self) -> Tensor:
        """Mean of every feature: (features,), float32. Needs ``mean``."""
        return (self.sum / self.tokens).float().to(self.device)

    def second_moment(self) -> Tensor:
        """E[x x^T]: (features, features), float32. Needs ``moment``."""
        return (self.products / self.tokens).float().to(self.device)

    def covariance(self) -> Tensor:
        """Covariance of the features: (features, features), float32. Needs ``moment``."""
        mean = self.sum / self.tokens
        return (self.products / self.tokens - torch.outer(mean, mean)).float().to(self.device)

    def is_finite(self) -> Tensor:
        """Whether no input was infinite or not a number: (), on the device."""
        return torch.isfinite(self.squares.sum() + self.sum.sum() + self.products.sum()).to(self.device)
