"""Student's t likelihood."""

from __future__ import annotations

import math

import torch
from scipy import special
from torch import Tensor
from torch.distributions import constraints

from skhvae.likelihoods._base import SMALLEST_SCALE, Likelihood, observed_moments
from skhvae.likelihoods._special import on_cpu

__all__ = ["StudentT"]

_MANY = 64.0  # degrees of freedom from which the series below is exact in float64


class StudentT(Likelihood):
    r"""Student's t distribution with learned degrees of freedom, location and scale.

    .. math:: \log p(x \mid \nu, \mu, \sigma) = \log \frac{\Gamma(\frac{\nu + 1}2)}{\Gamma(\frac\nu2)}
              - \tfrac12 \log (\pi \nu) - \log \sigma
              - \tfrac{\nu + 1}2 \log \left(1 + \tfrac1\nu \left(\tfrac{x - \mu}\sigma\right)^2\right)

    For real features with outliers (Lange, Little and Taylor 1989, JASA 84(408)).
    :math:`\nu > 2`, so that mean and variance exist; the scale's floor is that of :class:`Normal`.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import StudentT
    >>> values = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> family = StudentT().prepared(values, values < 2)
    >>> family.mean(family.initial)
    tensor([0.])
    """

    parameters = {
        "df": constraints.greater_than(2.0),
        "loc": constraints.real,
        "scale": constraints.greater_than(SMALLEST_SCALE),
    }
    support = constraints.real

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        loc, std = observed_moments(values, observed)
        kurtosis, _ = observed_moments(((values - loc) / std.clamp(min=1e-6)) ** 4, observed)
        # The excess kurtosis is 6 / (df - 4); none, or less, means many degrees of freedom.
        df = 4 + 6 / (kurtosis - 3).clamp(min=0.1)
        return self.raw(df, loc, std * ((df - 2) / df).sqrt())

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        df, loc, scale = self.constrained(params)
        kernel = 0.5 * (df + 1) * torch.log1p(((values - loc) / scale) ** 2 / df)
        return _log_gamma_ratio(df) - 0.5 * (math.pi * df).log() - scale.log() - kernel

    def mean(self, params: Tensor) -> Tensor:
        return self.constrained(params)[1]

    mode = mean

    def median(self, params: Tensor) -> Tensor:
        return self.mean(params)

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        df, loc, scale = self.constrained(params)
        return on_cpu(special.stdtr, df, (values - loc) / scale)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        df, loc, scale = self.constrained(params)
        return loc + scale * on_cpu(special.stdtrit, df, q)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        df, loc, scale = self.constrained(params)
        noise = torch.randn(loc.shape, dtype=loc.dtype, device=loc.device, generator=generator)
        chi_square = 2 * torch._standard_gamma(0.5 * df, generator=generator)
        return loc + scale * noise * (df / chi_square).sqrt()


def _log_gamma_ratio(df: Tensor) -> Tensor:
    """log Γ((df + 1) / 2) - log Γ(df / 2), which cancels in float32 when df is large."""
    half = 0.5 * df
    series = 0.5 * half.log() - 1 / (8 * half) + 1 / (192 * half**3) - 1 / (640 * half**5)
    return torch.where(df > _MANY, series, (half + 0.5).lgamma() - half.lgamma())
