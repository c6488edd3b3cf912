"""Gradients of equal size."""

from __future__ import annotations

from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["EqualNorm"]


class EqualNorm(Weighting):
    r"""Scale every feature's gradient to unit norm: :math:`w_d = 1 / \lVert g_d \rVert`.

    GradNorm's goal with ``alpha=0`` (Chen et al. 2018, arXiv 1711.02257, eq. 1), met exactly at
    every step instead of approached by an optimiser.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import EqualNorm
    >>> EqualNorm().weights(torch.diag(torch.tensor([1.0, 4.0])))
    tensor([1.0000, 0.5000])
    """

    separable = True
    recordable = True

    def weights(self, gramian: Tensor) -> Tensor:
        return gramian.diagonal().rsqrt()
