"""The normal likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints

from skhvae.likelihoods._base import SMALLEST_SCALE, Likelihood, observed_moments

__all__ = ["Normal"]


class Normal(Likelihood):
    r"""Normal distribution with learned mean and scale.

    .. math:: \log p(x \mid \mu, \sigma) = -\tfrac12 \left(\frac{x - \mu}{\sigma}\right)^2
              - \log \sigma - \tfrac12 \log 2\pi

    The scale is :math:`e^{-4} + e^\eta`: without that floor, of 0.018 standard deviations, the
    density of a feature that is a function of others would grow without bound.

    Parameters
    ----------
    beta_nll : float, default=0.5
        Training weights each cell's gradient by :math:`\sigma^{2\beta}` (Seitzer et al. 2022,
        arXiv 2203.09168, eq. 5): 0 is the likelihood itself, in which cells that are hard to
        predict hardly count; 1 gives the gradient of the squared error in the mean.
        :meth:`log_prob` is unaffected.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import Normal
    >>> family = Normal().prepared(torch.randn(100, 2), torch.ones(100, 2, dtype=torch.bool))
    >>> family.log_prob(family.initial, torch.zeros(2)).shape
    torch.Size([2])
    """

    parameters = {"loc": constraints.real, "scale": constraints.greater_than(SMALLEST_SCALE)}
    support = constraints.real

    def __init__(self, beta_nll: float = 0.5):
        super().__init__()
        self.beta_nll = beta_nll

    def extra_repr(self) -> str:
        return f"beta_nll={self.beta_nll}"

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        return self.raw(*observed_moments(values, observed))

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        loc, scale = self.constrained(params)
        return -0.5 * ((values - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)

    def loss(self, params: Tensor, values: Tensor) -> Tensor:
        loss = super().loss(params, values)
        if self.beta_nll:
            loss = loss * self.constrained(params)[1].detach() ** (2 * self.beta_nll)
        return loss

    def mean(self, params: Tensor) -> Tensor:
        return self.constrained(params)[0]

    mode = mean

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        loc, scale = self.constrained(params)
        return torch.special.ndtr((values - loc) / scale)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        loc, scale = self.constrained(params)
        q = torch.as_tensor(q, dtype=loc.dtype, device=loc.device)
        return loc + scale * torch.special.ndtri(q)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        loc, scale = self.constrained(params)
        noise = torch.randn(loc.shape, dtype=loc.dtype, device=loc.device, generator=generator)
        return loc + scale * noise
