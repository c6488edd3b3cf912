"""What share of some values is where."""

from __future__ import annotations

import numpy as np

__all__ = ["at_places", "gathered", "in_bins", "middle"]

_TAIL = 0.005  # share of the values at each end that may lie beyond the range shown
_LONG = 2.0  # how many times wider than the range between the tails the whole one must be for that


def middle(values: np.ndarray) -> tuple[float, float]:
    """From where to where to show: everything, unless long tails would leave no room for the rest."""
    low, high = values.min(), values.max()
    start, end = np.quantile(values, [_TAIL, 1 - _TAIL])
    if 0 < _LONG * (end - start) < high - low:
        return float(start), float(end)
    return float(low), float(high)


def in_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of the values in each bin; what is outside counts to the bins at the ends."""
    n_bins = len(edges) - 1
    bins = np.clip(np.searchsorted(edges, values, "right") - 1, 0, n_bins - 1)
    return np.bincount(bins, minlength=n_bins) / len(values)


def at_places(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Share of the values at each place."""
    index = np.rint(values - places[0]).astype(int)
    return np.bincount(index, minlength=len(places)) / len(values)


def gathered(shares: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Shares (..., n_places) of the kept places, then what all others share, if there are any."""
    of_kept = shares[..., kept]
    if len(kept) == shares.shape[-1]:
        return of_kept
    others = np.delete(shares, kept, axis=-1).sum(axis=-1, keepdims=True)
    return np.concatenate([of_kept, others], axis=-1)
