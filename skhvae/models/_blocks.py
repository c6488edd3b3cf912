"""The pieces of the networks: residual blocks and linear layers with a generator of their own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout", "ResidualBlock", "linear"]


def linear(n_in: int, n_out: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    """A linear layer drawn from `generator`: the global random state is neither read nor moved."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    with torch.no_grad():
        layer.weight.normal_(0.0, gain / math.sqrt(max(n_in, 1)), generator=generator)
        layer.bias.zero_()
    return layer


class Dropout(nn.Module):
    """Dropout from a generator that training lends, so that the global random state stays alone."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.probability):
            return x
        chance = torch.rand(x.shape, generator=self.generator, device=x.device, dtype=x.dtype)
        return x * (chance >= self.probability) / (1 - self.probability)


class ResidualBlock(nn.Module):
    """x + W₂ dropout(gelu(W₁ norm(x))); starts near the identity, so that depth does no harm early on."""

    def __init__(self, width: int, dropout: float, generator: torch.Generator):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = linear(width, width, generator, gain=math.sqrt(2.0))
        self.dropout = Dropout(dropout)
        self.narrow = linear(width, width, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.dropout(functional.gelu(self.widen(self.norm(x)))))
