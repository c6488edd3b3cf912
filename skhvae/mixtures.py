"""What a mixture of predictive distributions, raw parameters whose first axis counts its parts, says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from skhvae.likelihoods import Likelihood
from skhvae.selection import SelectionModel

__all__ = ["distribution", "estimates"]

# Gauss-Hermite: the expectation over a standard normal number u as a sum over so many, and thereby that
# over any distribution, whose quantile at the normal probability of u is a draw of it.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_LEVELS = torch.special.ndtr(torch.from_numpy(_NODES)).tolist()


def estimates(
    families: Sequence[Likelihood],
    predictions: Sequence[Tensor],
    by_median: Tensor,
    selection: SelectionModel | None = None,
) -> Tensor:
    """Mean of numeric features, mode or median level of finite ones.

    Parameters
    ----------
    families : sequence of Likelihood
    predictions : sequence of Tensor of shape (S, ..., n_features of the family, n_parameters)
    by_median : bool Tensor of shape (n_features,)
        Finite features to be estimated by the median.
    selection : SelectionModel or None
        Of what a cell's being missing says; None for observed cells.

    Returns
    -------
    Tensor of shape (..., n_features)
    """
    found, start = [], 0
    for family, params in zip(families, predictions, strict=True):
        own = slice(start, start + params.shape[-2])
        tilted = selection is not None and selection.applies[own].any()
        if family.finite:
            probs = family.probs(params).mean(0)
            if tilted:
                probs = selection.tilted(probs, own)
            estimate = probs.argmax(-1)
            if by_median[own].any():  # not the case for those with thousands of levels
                median = (probs.cumsum(-1) < 0.5).sum(-1)
                estimate = torch.where(by_median[own], median, estimate)
        else:
            estimate = family.mean(params).mean(0)
            if tilted:
                mean = _tilted_mean(family, params, selection, own)
                estimate = torch.where(selection.applies[own], mean, estimate)
        found.append(estimate.to(params.dtype))
        start = own.stop
    return torch.cat(found, dim=-1)


def _tilted_mean(
    family: Likelihood, params: Tensor, selection: SelectionModel, own: slice
) -> Tensor:
    """Mean of a numeric feature's missing cells, (..., n_features), of the mixture over the first axis."""
    nodes, weights = _nodes(family, params)
    log_odds = selection.log_odds(nodes, own)
    weights = weights * (log_odds - log_odds.amax((0, 1))).exp()
    return (weights * nodes).sum((0, 1)) / weights.sum((0, 1))


def _nodes(family: Likelihood, params: Tensor) -> tuple[Tensor, Tensor]:
    """Values and weights, (n_nodes, ...) before the parameters' axes and broadcast over them, whose
    sums stand for expectations."""
    nodes = torch.stack([family.quantile(params, level) for level in _LEVELS])
    weights = torch.tensor(_WEIGHTS / _WEIGHTS.sum(), dtype=params.dtype, device=params.device)
    return nodes, weights.view(-1, *[1] * (params.dim() - 1))


def distribution(family: Likelihood, params: Tensor, feature: int) -> Tensor:
    """Values and probabilities of one of the family's features, (B, 2, n_values), from parameters
    (S, B, n_features, n_parameters): its levels, or the nodes and weights of a quadrature."""
    if family.finite:
        probs = family.probs(params)[..., feature, :].mean(0)
        codes = torch.arange(probs.shape[-1]).to(probs)
        return torch.stack([codes.expand_as(probs), probs], dim=1)
    nodes, weights = _nodes(family, params)
    both = torch.stack([nodes, weights.expand_as(nodes) / nodes.shape[1]])[..., feature]
    return both.flatten(1, 2).movedim(-1, 0)
