"""The negative binomial likelihood."""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional

from skhvae.likelihoods._base import SMALLEST_SCALE, Likelihood, observed_moments
from skhvae.likelihoods._special import discrete_quantile, on_cpu, poisson

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Likelihood):
    r"""Negative binomial distribution with learned mean and dispersion: overdispersed counts.

    .. math:: \log p(x \mid \mu, \alpha) = \log \frac{\Gamma(x + r)}{\Gamma(r)\, x!}
              - r \log (1 + \alpha\mu) - x \log \left(1 + \frac1{\alpha\mu}\right), \qquad r = 1 / \alpha

    This is the "NB2" form, :math:`\operatorname{Var} x = \mu + \alpha \mu^2` (Cameron and Trivedi
    2013, section 3.3): a Poisson whose rate is gamma distributed with mean :math:`\mu` and
    dispersion :math:`\alpha`, with the same floor as in :class:`Gamma`.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import NegativeBinomial
    >>> values = torch.tensor([[0.0], [0.0], [1.0], [11.0]])
    >>> family = NegativeBinomial().prepared(values, values >= 0)
    >>> round(family.mean(family.initial).item(), 4)
    3.0
    >>> family.median(family.initial)
    tensor([1.])
    """

    parameters = {
        "mean": constraints.positive,
        "dispersion": constraints.greater_than(SMALLEST_SCALE**2),
    }
    support = constraints.nonnegative_integer

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        mean, std = observed_moments(values, observed)
        return self.raw(mean, (std**2 - mean) / mean.clamp(min=1e-6) ** 2)

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        mean, dispersion = self.constrained(params)
        r = 1 / dispersion
        logit = mean.log() + dispersion.log()
        log_choices = (values + r).lgamma() - r.lgamma() - (values + 1).lgamma()
        return log_choices - r * functional.softplus(logit) - values * functional.softplus(-logit)

    def mean(self, params: Tensor) -> Tensor:
        return self.constrained(params)[0]

    def mode(self, params: Tensor) -> Tensor:
        mean, dispersion = self.constrained(params)
        return ((1 - dispersion) * mean).clamp(min=0).floor()

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        def cdf(mean, dispersion, values):
            k, failure = np.floor(values), 1 / (1 + dispersion * mean)
            return special.betainc(1 / dispersion, np.maximum(k, 0) + 1, failure) * (k >= 0)

        return on_cpu(cdf, *self.constrained(params), values)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        def quantile(mean, dispersion, q):
            r, failure = 1 / dispersion, 1 / (1 + dispersion * mean)
            std = (mean + dispersion * mean**2) ** 0.5
            return discrete_quantile(lambda k: special.betainc(r, k + 1, failure), q, mean, std)

        return on_cpu(quantile, *self.constrained(params), q)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean, dispersion = self.constrained(params)
        gamma = torch._standard_gamma(1 / dispersion, generator=generator)
        return poisson(gamma * dispersion * mean, generator)
