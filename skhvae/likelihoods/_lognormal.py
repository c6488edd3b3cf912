"""The log-normal likelihood."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from skhvae.likelihoods._normal import Normal
from skhvae.likelihoods._special import bounded_exp

__all__ = ["LogNormal"]


class LogNormal(Normal):
    r"""A value whose logarithm is normal: HI-VAE's family for positive numbers.

    .. math:: \log p(x \mid \mu, \sigma) = \log \mathcal N(\log x; \mu, \sigma) - \log x

    Parameters are the location and the scale of :math:`\log x`, as in :class:`Normal`, so the
    median is :math:`e^\mu` and the mean :math:`e^{\mu + \sigma^2 / 2}`. See section 2.2 of HI-VAE
    (arXiv 1807.03653).

    Parameters
    ----------
    beta_nll : float, default=0.0
        As in :class:`Normal`, by the scale of :math:`\log x`.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import LogNormal
    >>> values = torch.tensor([[0.1], [1.0], [10.0]])
    >>> family = LogNormal().prepared(values, values > 0)
    >>> family.median(family.initial)
    tensor([1.])
    """

    support = constraints.positive

    def __init__(self, beta_nll: float = 0.0):
        super().__init__(beta_nll)

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        return super().prepare(values.log(), observed, n_levels)

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        logarithm = values.log()
        return super().log_prob(params, logarithm) - logarithm

    def mean(self, params: Tensor) -> Tensor:
        loc, scale = self.constrained(params)
        return bounded_exp(loc + 0.5 * scale**2)

    def mode(self, params: Tensor) -> Tensor:
        loc, scale = self.constrained(params)
        return bounded_exp(loc - scale**2)

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        positive = values > 0
        below = super().cdf(params, torch.where(positive, values, 1).log())
        return torch.where(positive, below, 0)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        return bounded_exp(super().quantile(params, q))

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return bounded_exp(super().sample(params, generator))
