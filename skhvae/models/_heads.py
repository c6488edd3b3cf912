"""Heads: from the shared representation to every feature's raw parameters, and back impartially."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skhvae.likelihoods import Likelihood
from skhvae.models._blocks import MemberLinear, linear
from skhvae.moo import HeadLayout, Place, impartial_linear

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

    def is_finite(self, feature: int) -> bool:
        """Whether the values of a feature are levels."""
        sizes = [n for n, _ in self.layout.groups]
        owners = [family for family, n in zip(self.families, sizes, strict=True) for _ in range(n)]
        return owners[feature].finite

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
    n_members : int, default=1
    """

    def __init__(
        self,
        likelihoods: Sequence[tuple[Likelihood, int]],
        width: int,
        generator: torch.Generator,
        n_members: int = 1,
    ):
        super().__init__(likelihoods)
        self.linear = linear(width, self.layout.n_parameters, generator, 0.1, n_members)
        with torch.no_grad():
            self.linear.bias.copy_(self.marginals())

    def forward(self, h: Tensor, at_h: Place | None = None) -> list[Tensor]:
        """h (..., H) -> raw parameters (..., n_features, n_parameters), one tensor a family."""
        return self.layout.split(impartial_layer(self.linear, h, self.layout, at_h))


def impartial_layer(
    layer: nn.Linear | MemberLinear, h: Tensor, layout: HeadLayout, place: Place | None
) -> Tensor:
    """A linear layer as heads, impartial on the way back; of several members each by itself.

    Parameters
    ----------
    layer : nn.Linear or MemberLinear
    h : Tensor of shape (..., B, H) or (..., n_members, B, H)
    layout : HeadLayout
    place : Place or None

    Returns
    -------
    Tensor of the shape of h, with the layer's outputs last
    """
    if isinstance(layer, nn.Linear):
        return impartial_linear(h, layer.weight, layer.bias, layout, place)
    if place is None:
        return layer(h)
    own = zip(h.unbind(-3), layer.weight.mT, layer.bias[:, 0], strict=True)
    each = [
        impartial_linear(*member, layout, strategy)
        for member, strategy in zip(own, place.of_members(len(layer.weight)), strict=True)
    ]
    return torch.stack(each, dim=-3)
