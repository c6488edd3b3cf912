"""Predictive distributions made to mean what they say, by cells whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import special
from torch import Tensor

from skhvae.piecewise import piecewise_linear

__all__ = ["TEMPERATURES", "Calibration", "effective_number"]

TEMPERATURES = np.geomspace(0.4, 2.5, 31)  # that are tried
_PRIOR_CELLS = 20  # as many cells speak for leaving everything as it is
_SMALLEST_LEVEL = 1e-15  # 1 less of it is not 1 yet
_SPREAD_OF_TEMPERATURES = 0.5  # of their logarithm, before any cell is seen

# Normal scores at which levels are mapped, and the ends beyond which nothing is told apart.
_END = 8.0
_INNER = np.linspace(-3.0, 3.0, 25)
_SCORES = np.concatenate([[-_END], _INNER, [_END]])
_COVERAGES = np.concatenate([np.linspace(0.0, 0.98, 50), [0.99, 0.995, 1.0]])


class Calibration:
    r"""What predicted levels, probabilities and intervals turn out to be, feature by feature.

    Numeric features: if :math:`F_d` is what is predicted for a cell and R what share of the cells lie
    below their predicted quantile of a level, the calibrated quantile of level q is
    :math:`F_d^{-1}(R^{-1}(q))` (Kuleshov, Fenner and Ermon 2018, arXiv 1807.00263, algorithm 1), with
    :math:`R^{-1}` piecewise linear between normal scores. Finite features: a temperature T, probabilities
    proportional to :math:`p^{1/T}` (Guo et al. 2017, arXiv 1706.04599, section 4.2). Intervals, also of values
    that jump: the smallest central interval that covers the wanted share of the cells, a split-conformal
    quantile (Lei et al. 2018, arXiv 1604.04173, algorithm 2) of the coverage at which a cell is reached.

    Parameters
    ----------
    below, reached : sequence of float ndarray of shape (n_cells,)
        Predicted probability of less than the truth, and of at most the truth, an array a feature.
    log_probs : sequence of float ndarray of shape (n_cells, n_temperatures)
        Log probability of the true level at each of `TEMPERATURES`; NaN for numeric features.
    generator : numpy Generator
        Spreads masses at a single value over their levels.
    weights : sequence of float ndarray of shape (n_cells,), optional
        How many cells each stands for, an array a feature, up to a factor; by default all for as many. So cells whose
        truth is known can speak for others that are elsewhere (Tibshirani et al. 2019, arXiv 1904.06019). They
        count for levels and intervals, not for temperatures.

    Examples
    --------
    Values that lie twice as far out as predicted:

    >>> import numpy as np, torch
    >>> from scipy.stats import norm
    >>> from skhvae.calibration import TEMPERATURES, Calibration
    >>> rng = np.random.default_rng(0)
    >>> reached = norm.cdf(2 * rng.standard_normal(5000))
    >>> nothing = np.full((5000, len(TEMPERATURES)), np.nan)
    >>> calibration = Calibration([reached], [reached], [nothing], rng)
    >>> level = calibration.levels(torch.tensor([[norm.cdf(1.0)]]), slice(0, 1)).item()
    >>> round(float(norm.ppf(level)), 1)
    2.0
    """

    def __init__(self, below, reached, log_probs, generator, weights=None):
        weights = _given_or_equal(weights, below)
        maps, temperatures = [], []
        for low, high, logs, own in zip(below, reached, log_probs, weights, strict=True):
            is_number = np.isnan(logs).all()
            spread = low + generator.random(low.shape) * (high - low)
            scores = special.ndtri(np.clip(spread, _SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL))
            maps.append(_score_map(scores, own) if is_number else _SCORES)
            temperatures.append(1.0 if is_number else _temperature(logs))
        self._scores = torch.from_numpy(_SCORES)
        self._maps = torch.from_numpy(np.stack(maps))
        self._temperatures = torch.tensor(temperatures, dtype=torch.float64)
        self._coverages = torch.from_numpy(_COVERAGES)
        self._nominal = self._coverages.repeat(len(self._maps), 1)

    def learn_intervals(
        self,
        below: Sequence[np.ndarray],
        reached: Sequence[np.ndarray],
        weights: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Learn what intervals cover, from levels that this calibration has been applied to.

        Parameters
        ----------
        below, reached, weights : sequence of float ndarray of shape (n_cells,)
            As for the constructor, an array a feature.
        """
        rows = []
        for low, high, own in zip(below, reached, _given_or_equal(weights, below), strict=True):
            # A central interval of coverage c reaches from level (1 - c) / 2 to (1 + c) / 2.
            needed = np.maximum(np.maximum(1 - 2 * high, 2 * low - 1), 0)
            rows.append(_conformal(needed, own))
        self._nominal = torch.from_numpy(np.stack(rows))

    def levels(self, levels: Tensor, own: slice) -> Tensor:
        """Predicted levels (..., n_features) that are to be taken for wanted ones."""
        maps = self._maps[own]
        scores = piecewise_linear(self._scores.expand_as(maps), maps, torch.special.ndtri(levels))
        return torch.special.ndtr(scores).clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL)

    def nominal_levels(self, levels: Tensor, own: slice) -> Tensor:
        """The inverse of :meth:`levels`: what predicted ones turn out to be."""
        maps = self._maps[own]
        scores = torch.special.ndtri(levels.clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL))
        return torch.special.ndtr(piecewise_linear(maps, self._scores.expand_as(maps), scores))

    @property
    def scores(self) -> Tensor:
        """Normal scores, (n_scores,), between which maps are linear."""
        return self._scores

    def carry_over(self, feature: int, scores: Tensor) -> None:
        """Take other distributions of a feature, in which the values at :attr:`scores` lie at these scores (n_scores,)."""
        scores = scores.to(self._scores).clone()
        scores[0], scores[-1] = scores[1] - (_END - 3.0), scores[-2] + (_END - 3.0)
        rising = scores.cummax(0).values + 1e-9 * torch.arange(len(scores))
        inside = self._maps[feature].clamp(-_END, _END)
        beyond = self._maps[feature] - inside
        found = piecewise_linear(self._scores[None], rising[None], inside[:, None])[:, 0]
        self._maps[feature] = found + beyond

    def probs(self, probs: Tensor, own: slice) -> Tensor:
        """Probabilities of levels (..., n_features, K) at the features' temperatures."""
        tempered = probs ** (1 / self._temperatures[own].to(probs)).unsqueeze(-1)
        return tempered / tempered.sum(-1, keepdim=True)

    def coverage(self, coverage: float) -> Tensor:
        """The coverage to ask for, (n_features,), where intervals are to cover a share of the cells."""
        wanted = torch.full((1, len(self._nominal)), coverage, dtype=torch.float64)
        wanted = wanted.to(self._nominal.device)
        return piecewise_linear(
            self._coverages.expand_as(self._nominal).contiguous(), self._nominal, wanted
        )[0]

    def to(self, device: torch.device) -> Calibration:
        """A copy on another device."""
        moved = object.__new__(Calibration)
        vars(moved).update({name: tensor.to(device) for name, tensor in vars(self).items()})
        return moved


def _given_or_equal(weights, cells):
    return [np.ones(len(own)) for own in cells] if weights is None else weights


def effective_number(weights: np.ndarray) -> float:
    """How many cells of equal weight say as much (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def _in_order(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted values, and the share of all cells, of which there is one more, up to each of them."""
    order = np.argsort(values, kind="stable")
    share = weights[order] / weights.sum() / (1 + 1 / effective_number(weights))
    return values[order], share.cumsum()


def _score_map(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Normal scores to be taken for those of `_SCORES`: the cells' quantiles, drawn to what they are."""
    inner = _INNER
    if len(scores):
        scores, shares = _in_order(scores, weights)
        ranks, n = special.ndtr(_INNER), effective_number(weights)
        found = np.interp(ranks, shares, scores)
        # Beyond the outermost cells, as far out as these are.
        resolved = _INNER[(ranks >= shares[0]) & (ranks <= shares[-1])]
        if len(resolved):
            edge = np.clip(_INNER, resolved[0], resolved[-1])
            found = np.interp(edge, _INNER, found) + (_INNER - edge)
            inner = (n * found + _PRIOR_CELLS * _INNER) / (n + _PRIOR_CELLS)
    ends = inner[0] - (_END - 3.0), inner[-1] + (_END - 3.0)
    # Strictly increasing, so that there is an inverse.
    return np.concatenate([[ends[0]], inner, [ends[1]]]) + 1e-9 * np.arange(len(_SCORES))


def _temperature(log_probs: np.ndarray) -> float:
    """The temperature at which the true levels are likeliest. Weights made it worse (benchmarks.md)."""
    prior = -0.5 * (np.log(TEMPERATURES) / _SPREAD_OF_TEMPERATURES) ** 2
    return float(TEMPERATURES[np.argmax(log_probs.sum(0) + prior)])


def _conformal(needed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coverage to ask for, at each of `_COVERAGES`."""
    if not len(needed):
        return _COVERAGES
    needed, shares = _in_order(needed, weights)
    n = effective_number(weights)
    places = np.searchsorted(shares, _COVERAGES - 1e-12)  # which rounding must not put off by one
    beyond = places == len(needed)
    found = needed[np.minimum(places, len(needed) - 1)]
    found = np.where(beyond, np.maximum(found, _COVERAGES), found)
    # As wide as a normal's intervals, in whose scores nothing is drawn far where almost everything is covered.
    scores = special.ndtri((1 + np.minimum([found, _COVERAGES], 1 - _SMALLEST_LEVEL)) / 2)
    mixed = 2 * special.ndtr(([n, _PRIOR_CELLS] @ scores) / (n + _PRIOR_CELLS)) - 1
    mixed[-1] = 1.0
    return np.maximum.accumulate(mixed)
