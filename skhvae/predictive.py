"""Predictive distributions of the cells of some rows: calibrated, tilted by what being missing says, and
with what repetitions of a row know."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skhvae.calibration import Calibration
from skhvae.likelihoods import Likelihood, first_level_reaching
from skhvae.matching import Matching
from skhvae.selection import SelectionModel

__all__ = ["Predictive"]

# Parts of a mixture are cut at these normal scores: so finely that what is left is linear in the level.
_SCORES = torch.linspace(-7.0, 7.0, 57, dtype=torch.float64)
_CUTS = torch.special.ndtr(_SCORES)
_CUTS[0], _CUTS[-1] = 0.0, 1.0
_MIDDLES = torch.special.ndtr((_SCORES[1:] + _SCORES[:-1]) / 2)
_SMALLEST_LEVEL = 1e-12


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
    ):
        # In float64: levels near 1 are as fine as those near 0.
        self._parts = [(f, p.double()) for f, p in zip(families, params, strict=True)]
        self._calibration, self._matching, self._selection = calibration, matching, selection
        self._known, self._trust = known, trust

    def __len__(self) -> int:
        return self._parts[0][1].shape[1]

    def _each(self):
        start = 0
        for family, params in self._parts:
            own = slice(start, start + params.shape[-2])
            yield family, params, own
            start = own.stop

    def probs(self) -> list[Tensor | None]:
        """Probabilities of the levels, (B, n_features of the family, K), by family; None of numeric ones."""
        return [
            self._probs(family, params, own) if family.finite else None
            for family, params, own in self._each()
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
        levels = levels.clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL)
        found = []
        for family, params, own in self._each():
            if family.finite:
                values = first_level_reaching(self._probs(family, params, own), levels[..., own])
                found.append(values.double())
            else:
                found.append(self._numbers(family, params, own, levels[..., own]))
        return torch.cat(found, dim=-1)

    def _probs(self, family, params: Tensor, own: slice) -> Tensor:
        probs = family.probs(params).mean(0)
        if self._calibration is not None:
            probs = self._calibration.probs(probs, own)
        if self._tilts(own):
            probs = self._selection.tilted(probs, own)
        if self._known is not None:
            known = self._known[:, own].unsqueeze(-1)
            codes = torch.arange(probs.shape[-1], device=probs.device)
            mixed = (1 - self._trust) * probs + self._trust * (codes == known)
            probs = torch.where(known.isnan(), probs, mixed)
        return probs

    def _numbers(self, family, params: Tensor, own: slice, levels: Tensor) -> Tensor:
        smooth, steps = (
            self._quantile_function(family, params, own),
            self._steps(family, params, own),
        )

        def quantile(levels):
            values = smooth(levels)
            for i, of_feature in steps.items():
                values[..., i] = of_feature(levels[..., i])
            return values

        values = quantile(levels)
        if self._known is not None:
            known = self._known[:, own].to(values)
            # Of a mixture with a mass at one value: that value, unless the quantile is beyond it even
            # if all of the mass were on the other side.
            low = quantile((levels - self._trust) / (1 - self._trust))
            high = quantile(levels / (1 - self._trust))
            values = torch.where(known.isnan(), values, known.clamp(low, high))
        return values

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

    def _quantile_function(self, family, params: Tensor, own: slice):
        calibration, tilts = self._calibration, self._tilts(own)
        if len(params) == 1 and not tilts:

            def quantile(levels):
                levels = levels.clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL)
                if calibration is not None:
                    levels = calibration.levels(levels, own)
                return family.quantile(params[0], levels)

            return quantile

        n_parts = len(params)
        cuts, middles = _CUTS.to(params.device), _MIDDLES.to(params.device)
        nodes = torch.stack([family.quantile(params, middle) for middle in middles]).flatten(0, 1)
        nodes, order = nodes.sort(dim=0)
        widths = cuts.diff().repeat_interleave(n_parts) / n_parts
        masses = widths[order]
        if calibration is not None:
            ends = calibration.nominal_levels(masses.cumsum(0), own)
            masses = ends.diff(dim=0, prepend=torch.zeros_like(ends[:1])).clamp(min=0)
        if tilts:
            log_odds = self._selection.log_odds(nodes, own)
            masses = masses * (log_odds - log_odds.amax(0)).exp()
        ends = masses.cumsum(0)
        masses, ends = masses / ends[-1], ends / ends[-1]

        def quantile(levels):
            levels = levels.clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL)
            place = torch.searchsorted(
                ends.movedim(0, -1).contiguous(), _last(levels, ends.shape[1:])
            )
            place = _first(place.clamp(max=len(ends) - 1), levels.shape)
            flat = place.view(-1, *ends.shape[1:])
            end, mass, node = (x.gather(0, flat).view_as(levels) for x in (ends, masses, order))
            share = ((levels - end + mass) / mass.clamp(min=1e-300)).clamp(0, 1)
            part, cell = node % n_parts, node // n_parts
            within = cuts[cell] + share * (cuts[cell + 1] - cuts[cell])
            index = part.view(-1, *ends.shape[1:], 1).expand(-1, -1, -1, params.shape[-1])
            chosen = params.gather(0, index).view(*levels.shape, -1)
            return family.quantile(chosen, within.clamp(_SMALLEST_LEVEL, 1 - _SMALLEST_LEVEL))

        return quantile


def _step_function(values: Tensor, ends: Tensor):
    """Levels (..., B) -> the values, of (B, n) increasing ones, whose mass, up to `ends`, reaches them."""

    def quantile(levels):
        wanted = levels.reshape(-1, len(values)).T.contiguous()
        places = torch.searchsorted(ends, wanted).clamp(max=values.shape[1] - 1)
        return values.gather(1, places).T.reshape(levels.shape)

    return quantile


def _last(levels: Tensor, shape) -> Tensor:
    """(..., B, n) -> (B, n, number of levels)"""
    return levels.reshape(-1, *shape).movedim(0, -1).contiguous()


def _first(places: Tensor, shape) -> Tensor:
    return places.movedim(-1, 0).reshape(shape)
