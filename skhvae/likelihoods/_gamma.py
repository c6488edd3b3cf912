"""The gamma likelihood."""

from __future__ import annotations

import torch
from scipy import special
from torch import Tensor
from torch.distributions import constraints

from skhvae.likelihoods._base import SMALLEST_SCALE, Likelihood, observed_moments
from skhvae.likelihoods._special import on_cpu

__all__ = ["Gamma"]


class Gamma(Likelihood):
    r"""Gamma distribution with learned mean and dispersion, as in generalised linear models.

    .. math:: \log p(x \mid \mu, \varphi) = k \log \frac{kx}{\mu} - \frac{kx}{\mu} - \log \Gamma(k)
              - \log x, \qquad k = 1 / \varphi

    The dispersion is the squared coefficient of variation, :math:`\operatorname{Var} x = \varphi
    \mu^2` (McCullagh and Nelder 1989, chapter 8), and has the square of the normal scale's floor.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import Gamma
    >>> values = torch.tensor([[1.0], [2.0], [3.0]])
    >>> family = Gamma().prepared(values, values > 0)
    >>> round(family.mean(family.initial).item(), 4)
    2.0
    """

    parameters = {
        "mean": constraints.positive,
        "dispersion": constraints.greater_than(SMALLEST_SCALE**2),
    }
    support = constraints.positive

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        mean, std = observed_moments(values, observed)
        return self.raw(mean, (std / mean.clamp(min=1e-6)) ** 2)

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        mean, dispersion = self.constrained(params)
        shape = 1 / dispersion
        ratio = values / mean
        # k log k - log Γ(k) apart from the rest, all of which is 0 at the mean: less cancels.
        normaliser = shape * (shape.log() - 1) - shape.lgamma()
        return normaliser - shape * (ratio - 1 - values.log() + mean.log()) - values.log()

    def mean(self, params: Tensor) -> Tensor:
        return self.constrained(params)[0]

    def mode(self, params: Tensor) -> Tensor:
        mean, dispersion = self.constrained(params)
        return self._positive((1 - dispersion) * mean)

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        mean, dispersion = self.constrained(params)
        standard = values.clamp(min=0) / mean / dispersion
        return on_cpu(lambda phi, x: special.gammainc(1 / phi, x), dispersion, standard)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        mean, dispersion = self.constrained(params)
        standard = on_cpu(lambda phi, q: special.gammaincinv(1 / phi, q), dispersion, q)
        return self._positive(standard * dispersion * mean)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean, dispersion = self.constrained(params)
        standard = torch._standard_gamma(1 / dispersion, generator=generator)
        return self._positive(standard * dispersion * mean)

    @staticmethod
    def _positive(values: Tensor) -> Tensor:
        # Shapes below 1 crowd at 0, which is not in the support.
        return values.clamp(min=torch.finfo(values.dtype).tiny)
