"""Rows of an encoded table: an order that follows from what they hold, and draws of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pandas.util import hash_array
from torch import Tensor

__all__ = ["by_content", "drawn"]

_ODD = np.uint64(0x9E3779B97F4A7C15)


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
    keys = np.zeros(len(values), dtype=np.uint64)
    for column, known in zip(values.numpy().T, observed.numpy().T, strict=True):
        keys = keys * _ODD + hash_array(np.where(known, column, np.float32(np.nan)))
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
