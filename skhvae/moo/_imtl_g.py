"""IMTL-G: equal projections."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Weighting
from skhvae.moo._pseudo_inverse import pseudo_solve

__all__ = ["IMTLG"]

# For each feature. Gramians come from float32 gradients: what is smaller is rounding.
_ROUNDING = 1e-6


class IMTLG(Weighting):
    r"""Equal projections of the common direction on every unit gradient (Liu et al. 2021, "Towards
    impartial multi-task learning", eq. 6).

    With :math:`u_d = g_d / \lVert g_d \rVert` and :math:`C = U U^\top` the cosines, the direction
    :math:`\sum_d \beta_d u_d` projects equally on all when :math:`C \beta = \mathbf 1`, hence
    :math:`w_d = \beta_d / \lVert g_d \rVert` with :math:`\beta = C^{+} \mathbf 1`. Solved in
    cosines rather than in the raw Gramian, so that gradients of very different sizes do not spoil
    the condition of the system. The paper divides by the sum of the weights, which flips the
    direction when that is negative; here the common projection is always non-negative.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import IMTLG
    >>> IMTLG().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    separable = True

    def weights(self, gramian: Tensor) -> Tensor:
        inverse_norm = gramian.diagonal().rsqrt()
        cosines = gramian * torch.outer(inverse_norm, inverse_norm)
        beta = pseudo_solve(cosines, torch.ones_like(inverse_norm))
        # The squared length of what all gradients have in common; where there is none, its noise.
        common = (cosines @ beta).sum()
        return torch.where(common > _ROUNDING * len(gramian), beta * inverse_norm, 0)
