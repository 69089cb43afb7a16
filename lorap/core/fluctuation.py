"""How much features move about their mean, as FLAP's published code adds it up (rivals.md, 3)."""

import torch
from torch import Tensor


class Fluctuation:
    """A running sum over windows that is not quite a variance.

    Welford's update multiplies the distances from the old and from the new mean. Here both are those from the new
    one, as the published code has it, where the old mean is another name of the tensor that is updated in place; the
    first window adds nothing. ``sums``, (features,), are empty before it.
    """

    def __init__(self) -> None:
        self.windows = 0
        self.mean = self.sums = torch.zeros(0)

    def add(self, inputs: Tensor) -> None:
        """Adds windows one by one: (windows, tokens, features), float32."""
        for window in inputs:
            seen, mean = self.windows, window.mean(0)
            if seen == 0:
                self.mean, self.sums = mean, torch.zeros_like(mean)
            else:
                self.mean = self.mean * (seen / (seen + 1)) + mean / (seen + 1)
                moved = (window - self.mean).square().sum(0)
                self.sums = self.sums * ((seen - 1) / seen) + moved / (seen + 1)
            self.windows += 1
