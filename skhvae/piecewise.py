"""Piecewise linear functions, one a feature."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["piecewise_linear"]


def piecewise_linear(knots: Tensor, heights: Tensor, values: Tensor) -> Tensor:
    """Every feature's function at its values: linear between knots, constant beyond them.

    Parameters
    ----------
    knots, heights : Tensor of shape (n_features, n_knots)
        Increasing knots.
    values : Tensor of shape (..., n_features)

    Returns
    -------
    Tensor of the shape of `values`

    Examples
    --------
    >>> import torch
    >>> from skhvae.piecewise import piecewise_linear
    >>> knots, heights = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[0.0, 10.0, 30.0]])
    >>> piecewise_linear(knots, heights, torch.tensor([[-1.0], [0.5], [1.5], [9.0]])).T
    tensor([[ 0.,  5., 20., 30.]])
    """
    knots, heights = (x.to(values).contiguous() for x in (knots, heights))
    flat = values.flatten(0, -2).T.contiguous()
    right = torch.searchsorted(knots, flat).clamp(1, knots.shape[1] - 1)
    (x0, x1), (y0, y1) = (
        (table.gather(1, right - 1), table.gather(1, right)) for table in (knots, heights)
    )
    return y0.lerp(y1, ((flat - x0) / (x1 - x0)).clamp(0, 1)).T.reshape(values.shape)
