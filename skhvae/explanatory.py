"""What a table's features offer to explain one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skhvae.features import Feature
from skhvae.gaps import Score
from skhvae.piecewise import piecewise_linear

__all__ = ["Columns"]

_SMALLEST_SCALE = 1e-6  # below which everything is the same


class Columns:
    """What every feature offers to explain others: normal scores of what has an order, an indicator a level of what
    has none, in standard deviations.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    observed : bool Tensor of shape (n_rows, n_features)
    features : sequence of Feature
        In packed order.

    Attributes
    ----------
    owners : int Tensor of shape (n_columns,)
        Whose feature's each column is.
    """

    def __init__(self, values: Tensor, observed: Tensor, features: Sequence[Feature]):
        scores = [
            Score(x[y], feature)
            for x, y, feature in zip(values.numpy().T, observed.numpy().T, features, strict=True)
        ]
        ordered = [i for i, score in enumerate(scores) if score.ordered]
        symbols = [
            (i, symbol)
            for i, score in enumerate(scores)
            if not score.ordered
            for symbol in score.symbols[1:]
        ]
        size = max((len(scores[i].knots) for i in ordered), default=1) + 1
        self._ordered = torch.tensor(ordered, dtype=torch.long)
        self._knots = _padded([scores[i].knots for i in ordered], size, step=1.0)
        self._heights = _padded([scores[i].heights for i in ordered], size, step=0.0)
        self._symbolic = torch.tensor([i for i, _ in symbols], dtype=torch.long)
        self._symbols = torch.tensor([s for _, s in symbols], dtype=torch.float64)
        self.owners = torch.cat([self._ordered, self._symbolic])
        known = observed[:, self.owners]
        columns = torch.where(known, self._raw(values), torch.nan)
        self._means = columns.nanmean(0)
        spread = (columns - self._means).square().nanmean(0).sqrt()
        # Infinite, so that the column is always 0, where there is nothing to tell apart.
        self._scales = torch.where(spread > _SMALLEST_SCALE, spread, torch.inf)
        self._means = self._means.nan_to_num(0.0)

    def _raw(self, values: Tensor) -> Tensor:
        values = values.double()
        numbers = piecewise_linear(self._knots, self._heights, values[:, self._ordered])
        return torch.cat([numbers, (values[:, self._symbolic] == self._symbols).double()], dim=1)

    def of(self, values: Tensor) -> Tensor:
        """The columns of rows (B, n_features), float64 (B, n_columns)."""
        return (self._raw(values) - self._means) / self._scales

    def to(self, device: torch.device) -> Columns:
        """A copy on another device."""
        moved = object.__new__(Columns)
        vars(moved).update({name: tensor.to(device) for name, tensor in vars(self).items()})
        return moved


def _padded(functions: Sequence[NDArray], size: int, step: float) -> Tensor:
    """Rows of equal length, beyond whose ends numbers go on in steps."""
    rows = [np.append(x, x[-1] + step * np.arange(1, size - len(x) + 1)) for x in functions]
    return torch.tensor(np.array(rows).reshape(len(rows), size), dtype=torch.float64)
