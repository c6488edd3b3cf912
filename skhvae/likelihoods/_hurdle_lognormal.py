"""The hurdle log-normal likelihood."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional

from skhvae.likelihoods._base import Likelihood
from skhvae.likelihoods._bernoulli import Bernoulli
from skhvae.likelihoods._lognormal import LogNormal

__all__ = ["HurdleLogNormal"]


class HurdleLogNormal(Likelihood):
    r"""Zero with a learned probability, else log-normal: amounts most of which are 0.

    .. math:: \log p(x \mid \pi, \mu, \sigma) = \begin{cases} \log \pi & x = 0 \\
              \log (1 - \pi) + \log \operatorname{LogNormal}(x; \mu, \sigma) & x > 0 \end{cases}

    The density is with respect to counting measure at 0 plus Lebesgue measure on the positive
    half-line. It is the two-part model of Cragg (1971, Econometrica 39(5)).

    Parameters
    ----------
    beta_nll : float, default=0.0
        As in :class:`LogNormal`, for the positive part.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import HurdleLogNormal
    >>> values = torch.tensor([[0.0], [0.0], [0.0], [2.0], [8.0]])
    >>> family = HurdleLogNormal().prepared(values, values >= 0)
    >>> family.quantile(family.initial, 0.5), family.quantile(family.initial, 0.9) > 2
    (tensor([0.]), tensor([True]))
    """

    parameters = {"zero_probability": constraints.unit_interval, **LogNormal.parameters}
    support = constraints.nonnegative

    def __init__(self, beta_nll: float = 0.0):
        super().__init__()
        self.positive = LogNormal(beta_nll)

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        zero = values == 0
        hurdle = Bernoulli().prepare(zero.to(values.dtype), observed, None)
        return torch.cat([hurdle, self.positive.prepare(values, observed & ~zero, None)], dim=-1)

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        return self._hurdle(params, values) + self._beyond(self.positive.log_prob, params, values)

    def loss(self, params: Tensor, values: Tensor) -> Tensor:
        return self._beyond(self.positive.loss, params, values) - self._hurdle(params, values)

    def _hurdle(self, params: Tensor, values: Tensor) -> Tensor:
        logit = params[..., 0]
        return functional.logsigmoid(torch.where(values == 0, logit, -logit))

    def _beyond(
        self, term: Callable[[Tensor, Tensor], Tensor], params: Tensor, values: Tensor
    ) -> Tensor:
        zero = values == 0
        # Fill before the logarithm: masking its infinity afterwards would leave NaN gradients.
        return torch.where(zero, 0, term(params[..., 1:], values.masked_fill(zero, 1)))

    def mean(self, params: Tensor) -> Tensor:
        return torch.sigmoid(-params[..., 0]) * self.positive.mean(params[..., 1:])

    def mode(self, params: Tensor) -> Tensor:
        """0 where it is more probable than not, else the mode of the positive part.

        The mass at 0 and the density beyond it cannot be compared: their order depends on the unit.
        """
        return torch.where(params[..., 0] >= 0, 0, self.positive.mode(params[..., 1:]))

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        zero = torch.sigmoid(params[..., 0])
        beyond = self.positive.cdf(params[..., 1:], values)
        return torch.where(values < 0, 0, zero + torch.sigmoid(-params[..., 0]) * beyond)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        zero = torch.sigmoid(params[..., 0])
        rest = ((q - zero) / torch.sigmoid(-params[..., 0])).clamp(0, 1)
        return torch.where(q <= zero, 0, self.positive.quantile(params[..., 1:], rest))

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        zero = torch.sigmoid(params[..., 0])
        uniform = torch.rand(zero.shape, dtype=zero.dtype, device=zero.device, generator=generator)
        return torch.where(uniform < zero, 0, self.positive.sample(params[..., 1:], generator))
