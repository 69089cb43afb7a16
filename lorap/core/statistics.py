"""Running statistics of a layer's inputs over the calibration tokens (method.md, 3)."""

import torch
from torch import Tensor

ZERO_SCALE = 1e-4  # replaces the scale of a feature that is always 0


class Moments:
    """First and second moments of one input, gathered batch by batch.

    Args:
        features: Width of the input.
        full: Gather the whole (features, features) second moment, not only its diagonal.
        device: Where the sums live.
    """

    def __init__(self, features: int, full: bool, device: torch.device | str = "cpu") -> None:
        self.full = full
        self.tokens = 0
        self.sum = torch.zeros(features, dtype=torch.float64, device=device)
        shape = (features, features) if full else (features,)
        self.squares = torch.zeros(shape, dtype=torch.float64, device=device)

    def update(self, inputs: Tensor) -> None:
        """Adds a batch of inputs: (..., features) of any float type; the sums are float32 or better."""
        inputs = inputs.reshape(-1, inputs.shape[-1]).float()
        self.tokens += len(inputs)
        if self.full:  # the products too are float64: where the mean is large, the covariance is a small difference
            inputs = inputs.double()
            self.sum += inputs.sum(0)
            self.squares.addmm_(inputs.T, inputs)
        else:
            self.squares += inputs.square().sum(0)

    def scale(self) -> Tensor:
        """L2 norm of every feature over the tokens, never 0: (features,), float32."""
        squares = self.squares.diagonal() if self.full else self.squares
        scale = squares.sqrt().float()
        return torch.where(scale == 0, ZERO_SCALE, scale)

    def covariance(self) -> Tensor:
        """Covariance of the features: (features, features), float32. Needs ``full``."""
        mean = self.sum / self.tokens
        return (self.squares / self.tokens - torch.outer(mean, mean)).float()

    def is_finite(self) -> bool:
        """False once any input was infinite or not a number."""
        return bool(torch.isfinite(self.squares).all())
