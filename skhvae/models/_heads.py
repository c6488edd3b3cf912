"""Heads: from the shared representation to every feature's raw parameters, and back impartially."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhvae.likelihoods import Likelihood
from skhvae.models._blocks import linear
from skhvae.moo import HeadLayout, Strategy, impartial_linear

__all__ = ["Heads", "PackedHeads"]


class Heads(nn.Module):
    """The features' likelihoods, side by side in packed order.

    Parameters
    ----------
    likelihoods : sequence of (Likelihood, int)
        A prepared family and how many features it models, in packed order.

    Attributes
    ----------
    layout : HeadLayout
        Which raw parameters belong to which feature.
    """

    def __init__(self, likelihoods: Sequence[tuple[Likelihood, int]]):
        super().__init__()
        self.families = nn.ModuleList(family for family, _ in likelihoods)
        self.layout = HeadLayout([(n, family.n_parameters) for family, n in likelihoods])

    def marginals(self) -> Tensor:
        """Raw parameters of the features' marginal distributions, (P,): where training starts."""
        return torch.cat([family.initial.flatten() for family in self.families])

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

    def _apply(self, fn, recurse=True):  # the layouts' indices follow the parameters' device
        super()._apply(fn, recurse)
        device = next(self.parameters()).device
        for part in vars(self).values():
            if isinstance(part, HeadLayout):
                part.to(device)
        return self


class PackedHeads(Heads):
    r"""All heads as one linear layer, :math:`\eta = h W^\top + b`.

    Parameters
    ----------
    likelihoods : sequence of (Likelihood, int)
    width : int
        Size H of the shared representation.
    generator : torch.Generator
    """

    def __init__(
        self, likelihoods: Sequence[tuple[Likelihood, int]], width: int, generator: torch.Generator
    ):
        super().__init__(likelihoods)
        self.linear = linear(width, self.layout.n_parameters, generator, gain=0.1)
        with torch.no_grad():
            self.linear.bias.copy_(self.marginals())

    def forward(self, h: Tensor, at_h: Strategy | None = None) -> list[Tensor]:
        """h (..., H) -> raw parameters (..., n_features, n_parameters), one tensor a family."""
        packed = impartial_linear(h, self.linear.weight, self.linear.bias, self.layout, at_h)
        return self.layout.split(packed)
