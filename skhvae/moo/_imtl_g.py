"""IMTL-G: equal projections."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["IMTLG"]


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
        cosines = gramian * inverse_norm * inverse_norm.unsqueeze(1)
        eigenvalues, vectors = torch.linalg.eigh(cosines)
        sums = vectors.sum(0)
        # Gramians come from float32 gradients: smaller values are rounding, not directions.
        meaningful = (eigenvalues > 1e-6 * len(gramian)) & (sums.abs() > 1e-6)
        inverse = torch.where(meaningful, 1 / torch.where(meaningful, eigenvalues, 1), 0)
        return vectors @ (inverse * sums) * inverse_norm
