"""Predictive distributions of the cells of some rows: calibrated, tilted by what being missing says, and
with what repetitions of a row know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skhvae.calibration import Calibration
from skhvae.likelihoods import Likelihood, first_level_reaching
from skhvae.matching import Matching
from skhvae.selection import SelectionModel

__all__ = ["Predictive", "Shifts"]

# Parts of a mixture are cut at these normal scores: so finely that what is left is linear in the level.
_SCORES = torch.linspace(-7.0, 7.0, 57, dtype=torch.float64)
_CUTS = torch.special.ndtr(_SCORES)
_CUTS[0], _CUTS[-1] = 0.0, 1.0
_MIDDLES = torch.special.ndtr((_SCORES[1:] + _SCORES[:-1]) / 2)
_SMALLEST_LEVEL = 1e-12
_SMALLEST_PROBABILITY = 1e-300
_HALVINGS = 45  # of the range in which a quantile of a mixture must be

Quantile = Callable[[Tensor], Tensor]  # levels (..., B, n_features) -> values of the same shape


@dataclass(frozen=True)
class Shifts:
    """What is known of cells beside what a network predicts for them.

    Attributes
    ----------
    of_families : list of Tensor of shape (B, n_features of the family, 1 or n_levels)
        By how much normal scores are to be shifted, of numbers; log odds, of levels.
    spreads : Tensor of shape (n_features,)
        What the deviation of normal scores is to be multiplied by.
    """

    of_families: list[Tensor]
    spreads: Tensor


class Predictive:
    r"""The mixtures :math:`\frac1S \sum_s p(x_d \mid z_s)` of a batch, and what is known beside them.

    Parameters
    ----------
    families : sequence of Likelihood
    params : sequence of Tensor of shape (S, B, n_features of the family, n_parameters)
        Raw.
    calibration : Calibration or None
    matching : Matching or None
        Where it applies, the predictions of numeric features only say which donors' values are theirs.
    selection : SelectionModel or None
        Of missing cells; None for cells that nothing has selected.
    known : Tensor of shape (B, n_features) or None
        What repetitions of the rows know of the cells, NaN where nothing.
    trust : float
        With what probability they are right; else the mixture holds.
    shifts : Shifts or None
        Of calibrated distributions.

    Notes
    -----
    All that is asked of a numeric feature is its quantile function, so that draws, intervals and quantiles
    are those of one and the same distribution.
    """

    def __init__(
        self,
        families: Sequence[Likelihood],
        params: Sequence[Tensor],
        calibration: Calibration | None = None,
        matching: Matching | None = None,
        selection: SelectionModel | None = None,
        known: Tensor | None = None,
        trust: float = 0.0,
        shifts: Shifts | None = None,
    ):
        # In float64: levels near 1 are as fine as those near 0.
        self._parts = [(f, p.double()) for f, p in zip(families, params, strict=True)]
        self._shifts = [None] * len(self._parts) if shifts is None else shifts.of_families
        self._spreads = None if shifts is None else shifts.spreads
        self._calibration, self._matching, self._selection = calibration, matching, selection
        self._known, self._trust = known, trust

    def __len__(self) -> int:
        return self._parts[0][1].shape[1]

    def _each(self):
        start = 0
        for (family, params), shift in zip(self._parts, self._shifts, strict=True):
            own = slice(start, start + params.shape[-2])
            yield family, params, own, shift
            start = own.stop

    def probs(self) -> list[Tensor | None]:
        """Probabilities of the levels, (B, n_features of the family, K), by family; None of numeric ones."""
        return [
            self._probs(family, params, own, shift) if family.finite else None
            for family, params, own, shift in self._each()
        ]

    def at(self, levels: Tensor) -> Tensor:
        """Values at levels in (0, 1), level codes of finite features.

        Parameters
        ----------
        levels : float64 Tensor of shape (B, n_features) or (n_levels, B, n_features)

        Returns
        -------
        float64 Tensor of the shape of `levels`
        """
        levels, found = _inside(levels), []
        for family, params, own, shift in self._each():
            if family.finite:
                probs = self._probs(family, params, own, shift)
                found.append(first_level_reaching(probs, levels[..., own]).double())
            else:
                found.append(self._numbers(family, params, own, shift, levels[..., own]))
        return torch.cat(found, dim=-1)

    def _probs(self, family, params: Tensor, own: slice, shift: Tensor | None) -> Tensor:
        probs = family.probs(params).mean(0)
        if self._calibration is not None:
            probs = self._calibration.probs(probs, own)
        if shift is not None:
            probs = (probs.clamp(min=_SMALLEST_PROBABILITY).log() + shift).softmax(-1)
        if self._tilts(own):
            probs = self._selection.tilted(probs, own)
        if self._known is not None:
            known = self._known[:, own].unsqueeze(-1)
            codes = torch.arange(probs.shape[-1], device=probs.device)
            mixed = (1 - self._trust) * probs + self._trust * (codes == known).to(probs)
            probs = torch.where(known.isnan(), probs, mixed)
        return probs

    def _numbers(self, family, params, own: slice, shift: Tensor | None, levels: Tensor) -> Tensor:
        shifted = self._shifted(shift, own)
        quantile = self._calibrated(_mixture(family, params), own, shifted)
        if self._tilts(own):
            quantile = self._tilted(quantile, own, levels.shape[-2:], levels.device)
        quantile = self._matched(quantile, family, params, own, shifted)
        values = quantile(levels)
        if self._known is not None:
            known = self._known[:, own].to(values)
            # Of a mixture with a mass at one value: that value, unless the quantile is beyond it even
            # if all of the mass were on the other side.
            low = quantile(_inside((levels - self._trust) / (1 - self._trust)))
            high = quantile(_inside(levels / (1 - self._trust)))
            values = torch.where(known.isnan(), values, known.clamp(low, high))
        return values

    def _shifted(self, shift: Tensor | None, own: slice) -> Callable[[Tensor], Tensor]:
        """Levels -> those of the distributions before they are shifted."""
        if shift is None:
            return lambda levels: levels

        def shifted(levels):
            scores = shift[..., 0] + self._spreads[own] * torch.special.ndtri(levels)
            return _inside(torch.special.ndtr(scores))

        return shifted

    def _calibrated(self, quantile: Quantile, own: slice, shifted) -> Quantile:
        if self._calibration is None:
            return lambda levels: quantile(shifted(levels))
        return lambda levels: quantile(self._calibration.levels(shifted(levels), own))

    def _tilted(self, quantile: Quantile, own: slice, shape, device) -> Quantile:
        """Of missing cells, by the masses between many quantiles of observed ones, each times its odds."""
        cuts, middles = _CUTS.to(device), _MIDDLES.to(device)
        nodes = quantile(middles[:, None, None].expand(-1, *shape))
        log_odds = self._selection.log_odds(nodes, own)
        masses = cuts.diff()[:, None, None] * (log_odds - log_odds.amax(0)).exp()
        ends = masses.cumsum(0)
        masses, ends = (x.flatten(1).T.contiguous() for x in (masses / ends[-1], ends / ends[-1]))

        def tilted(levels):
            wanted = levels.reshape(-1, len(ends)).T.contiguous()
            place = torch.searchsorted(ends, wanted).clamp(max=len(middles) - 1)
            end, mass = ends.gather(1, place), masses.gather(1, place)
            share = ((wanted - end + mass) / mass.clamp(min=1e-300)).clamp(0, 1)
            within = cuts[place].lerp(cuts[place + 1], share)
            return quantile(_inside(within.T.reshape(levels.shape)))

        return tilted

    def _matched(self, quantile: Quantile, family, params, own: slice, shifted) -> Quantile:
        steps = self._steps(family, params, own)
        if not steps:
            return quantile

        def matched(levels):
            values, of_donors = quantile(levels), shifted(levels)
            for i, of_feature in steps.items():
                values[..., i] = of_feature(of_donors[..., i])
            return values

        return matched

    def _steps(self, family, params: Tensor, own: slice) -> dict:
        """Quantile functions of the family's features that are matched, by their number in it."""
        applies = self._matching is not None and self._matching.applies[own]
        if applies is False or not applies.any():
            return {}
        means, steps = family.mean(params).mean(0), {}
        for i in applies.nonzero().flatten().tolist():
            feature = own.start + i
            donors = self._matching.donors(means[:, i], feature)
            masses = torch.ones_like(donors)
            if self._tilts(slice(feature, feature + 1)):
                one = slice(feature, feature + 1)
                log_odds = self._selection.log_odds(donors.unsqueeze(-1), one)[..., 0]
                masses = (log_odds - log_odds.amax(-1, keepdim=True)).exp()
            ends = masses.cumsum(-1)
            steps[i] = _step_function(donors, ends / ends[:, -1:])
        return steps

    def _tilts(self, own: slice) -> bool:
        return self._selection is not None and bool(self._selection.applies[own].any())


def _inside(levels: Tensor) -> Tensor:
    return levels.clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL)


def _mixture(family: Likelihood, params: Tensor) -> Quantile:
    """Of a mixture of equal parts: the value between the parts' own quantiles at which their cumulative
    probabilities have the right mean, by bisection."""
    if len(params) == 1:
        return lambda levels: family.quantile(params[0], levels)

    def quantile(levels):
        of_parts = torch.stack([family.quantile(part, levels) for part in params])

        def reached(values):
            return sum(family.cdf(part, values) for part in params) / len(params) >= levels

        low, high = of_parts.amin(0), of_parts.amax(0)
        lowest, at_lowest = low, reached(low)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            enough = reached(middle)
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        found = torch.where(at_lowest, lowest, high)
        return found.round() if family.support.is_discrete else found

    return quantile


def _step_function(values: Tensor, ends: Tensor):
    """Levels (..., B) -> the values, of (B, n) increasing ones, whose mass, up to `ends`, reaches them."""

    def quantile(levels):
        wanted = levels.reshape(-1, len(values)).T.contiguous()
        places = torch.searchsorted(ends, wanted).clamp(max=values.shape[1] - 1)
        return values.gather(1, places).T.reshape(levels.shape)

    return quantile
