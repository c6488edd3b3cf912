"""Packed heads: one linear layer from h to every feature's raw parameters, and back impartially."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhvae.likelihoods import Likelihood
from skhvae.models._blocks import linear
from skhvae.moo import HeadLayout, Weighting, impartial_linear

__all__ = ["Heads"]


class Heads(nn.Module):
    """All features' heads and likelihoods.

    Parameters
    ----------
    likelihoods : sequence of (Likelihood, int)
        A prepared family and how many features it models, in packed order.
    width : int
        Size H of the shared representation.
    generator : torch.Generator
    """

    def __init__(
        self, likelihoods: Sequence[tuple[Likelihood, int]], width: int, generator: torch.Generator
    ):
        super().__init__()
        self.families = nn.ModuleList(family for family, _ in likelihoods)
        self.layout = HeadLayout([(n, family.n_parameters) for family, n in likelihoods])
        self.linear = linear(width, self.layout.n_parameters, generator, gain=0.1)
        with torch.no_grad():  # training starts at the features' marginal distributions
            self.linear.bias.copy_(torch.cat([f.initial.flatten() for f in self.families]))

    def forward(self, h: Tensor, strategy: Weighting | None = None) -> list[Tensor]:
        """h (..., H) -> raw parameters (..., n_features, n_parameters), one tensor a family."""
        packed = impartial_linear(h, self.linear.weight, self.linear.bias, self.layout, strategy)
        return self.layout.split(packed)

    def _each(self, params: Sequence[Tensor], values: Tensor):
        sizes = [n for n, _ in self.layout.groups]
        return zip(self.families, params, values.split(sizes, dim=-1), strict=True)

    def losses(self, params: Sequence[Tensor], values: Tensor) -> Tensor:
        """What training minimises in every cell, (..., n_features), nats."""
        return torch.cat([family.loss(p, v) for family, p, v in self._each(params, values)], dim=-1)

    def log_prob(self, params: Sequence[Tensor], values: Tensor) -> Tensor:
        """Log-likelihood of every cell, (..., n_features), nats in model units."""
        each = self._each(params, values)
        return torch.cat([family.log_prob(p, v) for family, p, v in each], dim=-1)

    def _apply(self, fn, recurse=True):  # the layout's index follows the parameters' device
        super()._apply(fn, recurse)
        self.layout.to(self.linear.weight.device)
        return self
