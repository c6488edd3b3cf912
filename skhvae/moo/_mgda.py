"""MGDA: the shortest convex combination."""

from __future__ import annotations

from torch import Tensor

from skhvae.moo._base import Weighting
from skhvae.moo._quadratic import in_unit_gradients, nonnegative_quadratic

__all__ = ["MGDA"]


class MGDA(Weighting):
    r"""Minimum-norm point of the gradients' convex hull (Désidéri 2012; Sener and Koltun 2018,
    arXiv 1810.04650, eq. 3).

    .. math:: \min_w\ w^\top G\, w \quad \text{s.t. } w \ge 0,\ \textstyle\sum_d w_d = 1

    The conditions of optimality are those of :math:`\min_{u \ge 0} \tfrac12 u^\top G u - \mathbf
    1^\top u` with :math:`w = u / \sum_d u_d`, which is solved to the end instead of approached by
    Frank-Wolfe steps. No feature gets worse along it, and the shortest gradient weighs most.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import MGDA
    >>> MGDA().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([0.8000, 0.2000], dtype=torch.float64)
    """

    def weights(self, gramian: Tensor) -> Tensor:
        cosines, norms = in_unit_gradients(gramian)
        weights = nonnegative_quadratic(cosines, norms.min() / norms) / norms
        return weights / weights.sum()
