"""The Poisson likelihood."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch.distributions import constraints

from skhvae.likelihoods._base import Likelihood, observed_moments
from skhvae.likelihoods._special import discrete_quantile, on_cpu, poisson

__all__ = ["Poisson"]


class Poisson(Likelihood):
    r"""Poisson distribution with learned mean: HI-VAE's family for counts.

    .. math:: \log p(x \mid \lambda) = x \log \lambda - \lambda - \log x!

    HI-VAE (arXiv 1807.03653, section 2.2) has a softplus where the mean is an exponential here.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import Poisson
    >>> values = torch.tensor([[0.0], [2.0], [4.0]])
    >>> family = Poisson().prepared(values, values >= 0)
    >>> family.median(family.initial)
    tensor([2.])
    """

    parameters = {"mean": constraints.positive}
    support = constraints.nonnegative_integer

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        return self.raw(observed_moments(values, observed)[0])

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        mean = self.mean(params)
        return values * mean.log() - mean - (values + 1).lgamma()

    def mean(self, params: Tensor) -> Tensor:
        return self.constrained(params)[0]

    def mode(self, params: Tensor) -> Tensor:
        return self.mean(params).floor()

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        def cdf(mean, values):
            return np.where(values < 0, 0.0, special.pdtr(np.maximum(values, 0), mean))

        return on_cpu(cdf, self.mean(params), values)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        def quantile(mean, q):
            return discrete_quantile(lambda k: special.pdtr(k, mean), q, mean, mean**0.5)

        return on_cpu(quantile, self.mean(params), q)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return poisson(self.mean(params), generator)
