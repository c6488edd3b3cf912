"""GradDrop: one sign for each coordinate."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Aggregator

__all__ = ["GradDrop"]


class GradDrop(Aggregator):
    r"""Keep, in each coordinate, the gradients of one sign, drawn by how much of the gradients has it
    (Chen et al. 2020, "Just pick a sign", arXiv 2010.06808, algorithm 1, lines 10 to 15).

    With :math:`P = \tfrac12 (1 + \sum_d g_d / \sum_d \lvert g_d \rvert)` and u uniform, the positive ones
    are kept if :math:`P > u` and the negative ones otherwise. Every coordinate of every row of h draws for
    itself: the paper's marginalisation over the batch, lines 5 to 9, is left out, as in TorchJD,
    because rows of mixed tables are gradients of different cells.

    Parameters
    ----------
    leak : float, default=0.0
        Share of the dropped gradients that passes; 1 is the plain sum.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import GradDrop
    >>> GradDrop().aggregate(torch.tensor([[1.0, -1.0], [2.0, -3.0]]))  # all agree: nothing is dropped
    tensor([ 3., -4.])
    """

    def __init__(self, leak: float = 0.0):
        self.leak = leak

    def aggregate(self, jacobian: Tensor) -> Tensor:
        positive = jacobian.clamp(min=0).sum(0)
        negative = jacobian.clamp(max=0).sum(0)
        uniform = torch.rand(
            positive.shape,
            generator=self.generator,
            device=jacobian.device,
            dtype=jacobian.dtype,
        )
        kept = torch.where(positive > uniform * (positive - negative), positive, negative)
        return (1 - self.leak) * kept + self.leak * (positive + negative)
