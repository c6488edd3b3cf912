"""Rows of an encoded table: an order that follows from what they hold, and draws of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pandas.util import hash_array
from torch import Tensor

__all__ = ["RowStreams", "by_content", "drawn", "hashes"]

_ODD = np.uint64(0x9E3779B97F4A7C15)


def hashes(values: Tensor, observed: Tensor) -> NDArray:
    """A number for every row, uint64 (n_rows,), that follows from its observed values and which they are."""
    keys = np.zeros(len(values), dtype=np.uint64)
    for column, known in zip(values.numpy().T, observed.numpy().T, strict=True):
        keys = keys * _ODD + hash_array(np.where(known, column, np.float32(np.nan)))
    return keys


class RowStreams:
    """Random numbers for rows, each of which has a stream of its own that depends on what it holds.

    So a row is given the same numbers whatever stands beside it; rows that hold the same are told apart by
    their order. Streams are SplitMix64's (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195), whose
    mixing function is that of pandas' hashes.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    observed : bool Tensor of shape (n_rows, n_features)
    seed : int

    Attributes
    ----------
    seed : int

    Examples
    --------
    >>> import torch
    >>> from skhvae.rows import RowStreams
    >>> values, known = torch.tensor([[1.0], [2.0], [1.0]]), torch.ones(3, 1, dtype=torch.bool)
    >>> alone, all_three = RowStreams(values[1:2], known[:1], 0), RowStreams(values, known, 0)
    >>> bool((alone.uniform(0, 4) == all_three.uniform(0, 4)[1]).all())
    True
    >>> bool((all_three.uniform(0, 4)[0] == all_three.uniform(0, 4)[2]).any())
    False
    """

    def __init__(self, values: Tensor, observed: Tensor, seed: int):
        self.seed = seed
        keys = hashes(values, observed)
        same = pd.Series(keys).groupby(keys).cumcount().to_numpy(dtype=np.uint64)
        seeds = np.full(1, seed, dtype=np.uint64)
        self._keys = hash_array(hash_array(keys + seeds) + _ODD * same)

    def uniform(self, draw: int, n_numbers: int, rows: slice = slice(None)) -> NDArray:
        """Numbers in (0, 1) for a draw, float64 (n_rows, n_numbers), of some of the rows."""
        draws = np.full(1, draw + 1, dtype=np.uint64)  # arrays wrap around without a word
        starts = hash_array(self._keys[rows] + _ODD * draws)[:, np.newaxis]
        steps = _ODD * np.arange(1, n_numbers + 1, dtype=np.uint64)
        bits = hash_array((starts + steps).ravel()).reshape(-1, n_numbers) >> np.uint64(12)
        return (bits + 0.5) / 2.0**52


def by_content(values: Tensor, observed: Tensor, weights: NDArray | None = None) -> NDArray:
    """An order of rows that depends on what they hold, not on where they stand: that of a hash.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    observed : bool Tensor of shape (n_rows, n_features)
        Only these values count, and which they are.
    weights : ndarray of shape (n_rows,), optional
        Tell rows apart that hold the same.

    Returns
    -------
    int ndarray of shape (n_rows,)
    """
    keys = hashes(values, observed)
    if weights is None:
        return np.argsort(keys, kind="stable")
    return np.lexsort((weights, keys))


def drawn(weights: Tensor | None, n_rows: int, n_drawn: int, generator: torch.Generator) -> Tensor:
    """Rows in random order, each as often as its share of the weights says: that number of times, rounded
    down or up by chance (systematic sampling, Madow 1949).

    Parameters
    ----------
    weights : float64 Tensor of shape (n_rows,) or None
        None draws each row once at most.
    n_rows, n_drawn : int
    generator : torch.Generator
        On the weights' device, which is asked for nothing.

    Returns
    -------
    int Tensor of shape (n_drawn,)

    Examples
    --------
    >>> import torch
    >>> from skhvae.rows import drawn
    >>> weights = torch.tensor([2.0, 0.5, 0.5], dtype=torch.float64)
    >>> drawn(weights, 3, 6, torch.Generator()).bincount()
    tensor([4, 1, 1])
    """
    on = dict(generator=generator, device=generator.device)
    order = torch.randperm(n_rows, **on)
    if weights is None:
        return order[:n_drawn]
    ends = weights[order].cumsum(0)
    start = torch.rand(1, dtype=torch.float64, **on)
    ticks = (torch.arange(n_drawn, device=generator.device) + start) * (ends[-1] / n_drawn)
    places = torch.searchsorted(ends, ticks, right=True).clamp(max=n_rows - 1)
    return order[places[torch.randperm(n_drawn, **on)]]
