"""Predictive mean matching: what values cells had for which about the same was predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["Matching"]

_FEWEST_DONORS = 200
_NEIGHBOURS = 40
_QUANTILES = 101


class Matching:
    """Values of donors, cells whose truth is known, that had the nearest predictions.

    Features most of whose values are one and the same, or a few, have no smooth distribution. The values of
    cells with nearly the same prediction are a sample of theirs, with all its gaps and masses (Little 1988,
    doi 10.1080/07350015.1988.10509663, section 3).

    Parameters
    ----------
    means, values : sequence of Tensor of shape (n_donors,)
        What was predicted, and what was true, by feature; any number of donors.

    Attributes
    ----------
    applies : bool Tensor of shape (n_features,)
        Which features are matched.

    Examples
    --------
    >>> import torch
    >>> from skhvae.matching import Matching
    >>> predicted = torch.linspace(0, 1, 1000)
    >>> matching = Matching([predicted], [predicted.round()])
    >>> matching.applies[0] = True
    >>> matching.donors(torch.tensor([0.1, 0.9]), 0).mean(1)
    tensor([0., 1.])
    """

    def __init__(self, means: Sequence[Tensor], values: Sequence[Tensor]):
        orders = [mean.argsort(stable=True) for mean in means]
        self._means = [x[order].contiguous() for x, order in zip(means, orders, strict=True)]
        self._values = [x[order].contiguous() for x, order in zip(values, orders, strict=True)]
        self.applies = torch.zeros(len(orders), dtype=torch.bool)

    def is_possible(self, feature: int) -> bool:
        """Whether there are enough donors."""
        return len(self._means[feature]) >= _FEWEST_DONORS

    def carry_over(self, feature: int, before: Tensor, after: Tensor) -> None:
        """Take other predictions of a feature: those of the same cells, (n_cells,), before and after.

        Donors get the new prediction that is as large among new ones as theirs was among the old ones.
        """
        if not len(self._means[feature]):
            return
        shares = torch.linspace(0, 1, _QUANTILES, dtype=before.dtype)
        old, new = (x.quantile(shares).numpy() for x in (before, after))
        means = self._means[feature].numpy()
        inside = means.clip(old[0], old[-1])
        found = np.interp(inside, old, new) + (means - inside)
        self._means[feature] = torch.from_numpy(found).to(self._means[feature])

    def forget_others(self) -> None:
        """Keep no donors of features that are not matched."""
        for of_features in (self._means, self._values):
            of_features[:] = [
                donors if applies else donors[:0].clone()
                for donors, applies in zip(of_features, self.applies.tolist(), strict=True)
            ]

    def donors(self, means: Tensor, feature: int, own: bool = False) -> Tensor:
        """Sorted values of the donors nearest to predictions (n_cells,), (n_cells, n_neighbours).

        `own` predictions are those of the donors themselves, each of whom is left out of its own.
        """
        known, values = self._means[feature], self._values[feature]
        size = _NEIGHBOURS + own
        first = torch.searchsorted(known, means.to(known).contiguous()) - size // 2
        first = first.clamp(0, len(known) - size).unsqueeze(-1)
        places = first + torch.arange(size, device=known.device)
        if own:
            self_ = torch.arange(len(known), device=known.device).unsqueeze(-1)
            # In the place of the donor itself, the last one of its neighbours.
            places = torch.where(places == self_, places[:, -1:], places)[:, :-1]
        return values[places].sort(dim=-1).values

    def of_donors(self, feature: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of every donor its prediction and its value (n_donors,), and its neighbours' values."""
        means = self._means[feature]
        return means, self._values[feature], self.donors(means, feature, own=True)

    def to(self, device: torch.device) -> Matching:
        """A copy on another device."""
        moved = object.__new__(Matching)
        moved.applies = self.applies.to(device)
        moved._means = [x.to(device) for x in self._means]
        moved._values = [x.to(device) for x in self._values]
        return moved
