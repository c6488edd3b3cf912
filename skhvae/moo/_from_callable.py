"""A user's function as a strategy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["FromCallable"]


class FromCallable(Weighting):
    """Weights by any function of the Gramian.

    Parameters
    ----------
    function : callable
        Maps a float64 Gramian of shape (n_features, n_features) to n_features weights.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import FromCallable
    >>> FromCallable(lambda gramian: 1 / gramian.diagonal()).weights(torch.eye(2))
    tensor([1., 1.])
    """

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function = function

    def weights(self, gramian: Tensor) -> Tensor:
        weights = self.function(gramian)
        weights = torch.as_tensor(weights, dtype=gramian.dtype, device=gramian.device)
        if weights.shape != gramian.shape[:1]:
            raise ValueError(
                f"A strategy must return one weight for each of {len(gramian)} features, "
                f"found shape {tuple(weights.shape)}."
            )
        return weights
