"""The histogram likelihood: quantile bins and exponential tails."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional

from skhvae.likelihoods._base import (
    Likelihood,
    first_level_reaching,
    level_frequencies,
    masked_log_softmax,
    observed_moments,
    observed_quantiles,
    pick,
)

__all__ = ["Histogram"]

# A feature this much narrower than a standardised one is constant up to rounding.
_SMALLEST_SPREAD = 1e-3


class Histogram(Likelihood):
    r"""Piecewise constant density over quantile bins, with exponential tails: any shape of density.

    .. math:: p(x \mid \eta) = \begin{cases}
              \pi_0 \, e^{-(e_0 - x) / s_0} / s_0 & x < e_0 \\
              \pi_k / (e_k - e_{k-1}) & e_{k-1} \le x < e_k \\
              \pi_{K+1} \, e^{-(x - e_K) / s_1} / s_1 & x \ge e_K
              \end{cases} \qquad \pi = \operatorname{softmax}(\eta)

    The edges :math:`e` cut a feature's training values into K + 2 parts of equal size, the outermost
    of which are the tails; the scales :math:`s` are the tails' mean excess. A value held by many rows
    gets a bin of the smallest width, centred on it. Of the bins that coincide one is kept: the others
    have width and probability 0. With bounded tails this is the "Riemann distribution" of prior-data
    fitted networks (Müller et al. 2022, arXiv 2112.10510).

    Parameters
    ----------
    n_bins : int, default=32
        K, the number of bins beside the two tails.
    min_bin_width : float, default=1e-3
        In standard deviations of the feature.

    Examples
    --------
    Two narrow modes, where a normal distribution would have one wide one:

    >>> import torch
    >>> from skhvae.likelihoods import Histogram
    >>> values = torch.cat([torch.linspace(-1.1, -0.9, 500), torch.linspace(0.9, 1.1, 500)])[:, None]
    >>> family = Histogram().prepared(values, torch.ones_like(values, dtype=torch.bool))
    >>> family.log_prob(family.initial, torch.tensor([[-1.0], [0.0], [1.0]])).exp() > 0.1
    tensor([[ True],
            [False],
            [ True]])
    """

    support = constraints.real

    def __init__(self, n_bins: int = 32, min_bin_width: float = 1e-3):
        super().__init__()
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, found {n_bins}.")
        if min_bin_width <= 0:
            raise ValueError(f"min_bin_width must be positive, found {min_bin_width}.")
        self.n_bins = n_bins
        self.min_bin_width = min_bin_width

    def extra_repr(self) -> str:
        return f"n_bins={self.n_bins}, min_bin_width={self.min_bin_width}"

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        n_parts = self.n_bins + 2
        levels = torch.arange(1, n_parts, dtype=values.dtype, device=values.device) / n_parts
        quantiles = observed_quantiles(values, observed, levels)
        spread = observed_moments(values, observed)[1].clamp(min=_SMALLEST_SPREAD)

        # On a grid whose cells have the smallest width, an edge is the lower end of its cell; or the
        # upper end, if the edge before it is in the same cell. So bins have that width, more, or 0.
        width = self.min_bin_width * spread.unsqueeze(1)
        cell = ((quantiles - quantiles[:, :1]) / width).round()
        again = functional.pad(cell.diff(dim=1) == 0, (1, 0))
        self.register_buffer("edges", quantiles[:, :1] + width * (cell + again - 0.5))

        # Exponentials are memoryless: a tail's scale is its mean excess, which one value more, a
        # standard deviation out, keeps from 0.
        excess = torch.where(observed, self._excess(values), 0)
        total, count = excess.sum(1), (excess > 0).sum(1)
        self.register_buffer("tail_scales", ((total + spread) / (count + 1)).T)

        n_levels = torch.full((values.shape[1],), n_parts, device=values.device)
        return level_frequencies(self._part(values).to(values), observed, n_levels).log()

    def _part(self, values: Tensor) -> Tensor:
        """Which of the K + 2 parts holds each value, (..., n_features): 0 and K + 1 are the tails."""
        return (values.unsqueeze(-1) >= self.edges).sum(-1)

    def _excess(self, values: Tensor) -> Tensor:
        """How far values lie out in the lower and the upper tail, (2, ..., n_features)."""
        low, high = self.edges[:, 0], self.edges[:, -1]
        return torch.stack([low - values, values - high]).clamp(min=0)

    @property
    def _widths(self) -> Tensor:
        """Widths of the bins between the scales of the tails, (n_features, K + 2)."""
        low, high = self.tail_scales.unsqueeze(-1).unbind(1)
        return torch.cat([low, self.edges.diff(dim=1), high], dim=1)

    def _points(self, low: float, middle: float, high: float) -> Tensor:
        """A point of each part, so many widths from the edge at which it starts."""
        widths = self._widths
        steps = torch.full_like(widths[0], middle)
        steps[0], steps[-1] = low, high
        return self._starts + steps * widths

    @property
    def _starts(self) -> Tensor:
        return torch.cat([self.edges[:, :1], self.edges], dim=1)

    def log_probs(self, params: Tensor) -> Tensor:
        """Log probability of each part, (..., n_features, K + 2)."""
        return masked_log_softmax(params, self._widths > 0)

    def _log_heights(self, params: Tensor) -> Tensor:
        widths = self._widths
        return self.log_probs(params) - torch.where(widths > 0, widths, 1).log()

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        low, high = self._excess(values)
        decay = low / self.tail_scales[:, 0] + high / self.tail_scales[:, 1]
        return pick(self._log_heights(params), self._part(values)) - decay

    def mean(self, params: Tensor) -> Tensor:
        return (self.log_probs(params).exp() * self._points(-1, 0.5, 1)).sum(-1)

    def mode(self, params: Tensor) -> Tensor:
        """The middle of the bin of greatest density, or the edge of a tail that is denser still."""
        return pick(self._points(0, 0.5, 0), self._log_heights(params).argmax(-1))

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        probs, part = self.log_probs(params).exp(), self._part(values)
        widths = pick(self._widths, part)
        steps = (values - pick(self._starts, part)) / torch.where(widths > 0, widths, 1)
        fraction = torch.where(part == 0, steps.clamp(max=0).exp(), steps.clamp(0, 1))
        fraction = torch.where(part == self.n_bins + 1, -torch.expm1(-steps.clamp(min=0)), fraction)
        share = pick(probs, part)
        return pick(probs.cumsum(-1), part) - share * (1 - fraction)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        probs = self.log_probs(params).exp()
        part = first_level_reaching(probs, q)
        share = pick(probs, part)
        share_below = pick(probs.cumsum(-1), part) - share
        finfo = torch.finfo(probs.dtype)
        fraction = ((q - share_below) / share).clamp(finfo.tiny, 1 - finfo.eps)
        steps = torch.where(part == 0, fraction.log(), fraction)
        steps = torch.where(part == self.n_bins + 1, -torch.log1p(-fraction), steps)
        return pick(self._starts, part) + steps * pick(self._widths, part)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        shape = params.shape[:-1]
        uniform = torch.rand(shape, dtype=params.dtype, device=params.device, generator=generator)
        return self.quantile(params, 1 - uniform)
