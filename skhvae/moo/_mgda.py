"""MGDA: the shortest convex combination."""

from __future__ import annotations

import torch
from scipy.optimize import nnls
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["MGDA"]

# Relative ridge on the cosines: makes the factorisation exist when gradients are linearly dependent.
_RIDGE = 1e-9


class MGDA(Weighting):
    r"""Minimum-norm point of the gradients' convex hull (Désidéri 2012; Sener and Koltun 2018,
    arXiv 1810.04650, eq. 3).

    .. math:: \min_w\ w^\top G\, w \quad \text{s.t. } w \ge 0,\ \textstyle\sum_d w_d = 1

    The conditions of optimality are those of :math:`\min_{u \ge 0} \tfrac12 u^\top G u - \mathbf
    1^\top u` with :math:`w = u / \sum_d u_d`: a non-negative least-squares problem, solved to the
    end by SciPy instead of approached by Frank-Wolfe steps, in variables scaled to unit gradients
    so that large ratios of norms do no harm.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import MGDA
    >>> MGDA().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([0.8000, 0.2000], dtype=torch.float64)
    """

    def weights(self, gramian: Tensor) -> Tensor:
        # By torch up to the non-negative least squares: NumPy's threads would wait for torch's.
        gramian, device = gramian.cpu(), gramian.device
        norms = gramian.diagonal().sqrt()
        cosines = gramian / torch.outer(norms, norms) + _RIDGE * torch.eye(len(norms))
        shortest = norms.min() / norms
        values, vectors = torch.linalg.eigh(cosines)
        roots = values.clamp(min=_RIDGE).sqrt()
        factor = roots.unsqueeze(1) * vectors.T  # factorᵀ factor = cosines
        target = vectors.T @ shortest / roots  # factorᵀ target = shortest
        solution, _ = nnls(factor.numpy(), target.numpy(), maxiter=30 * len(norms))
        weights = torch.from_numpy(solution).to(gramian) / norms
        return (weights / weights.sum()).to(device)
