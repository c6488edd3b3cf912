"""The Bernoulli likelihood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional

from skhvae.likelihoods._base import FiniteLikelihood, level_frequencies

__all__ = ["Bernoulli"]


class Bernoulli(FiniteLikelihood):
    r"""Bernoulli distribution over the codes 0 and 1, by one logit.

    .. math:: \log p(x = 1 \mid \eta) = \log \sigma(\eta)

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import Bernoulli
    >>> values = torch.tensor([[0.0], [1.0], [1.0], [1.0]])
    >>> family = Bernoulli().prepared(values, values >= 0, torch.tensor([2]))
    >>> round(family.probs(family.initial)[0, 1].item(), 2)
    0.7
    """

    parameters = {"probability": constraints.unit_interval}
    most_levels = 2

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        n_levels = torch.full((values.shape[1],), 2, device=values.device)
        return self.raw(level_frequencies(values, observed, n_levels)[:, 1])

    def log_probs(self, params: Tensor) -> Tensor:
        logit = params.squeeze(-1)
        return torch.stack([functional.logsigmoid(-logit), functional.logsigmoid(logit)], dim=-1)
