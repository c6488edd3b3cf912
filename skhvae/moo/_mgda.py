"""MGDA: the shortest convex combination."""

from __future__ import annotations

import numpy as np
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
        matrix = gramian.cpu().numpy()
        norms = np.sqrt(matrix.diagonal())
        cosines = matrix / np.outer(norms, norms) + _RIDGE * np.eye(len(norms))
        shortest = norms.min() / norms
        values, vectors = np.linalg.eigh(cosines)
        factor = np.sqrt(values.clip(_RIDGE))[:, None] * vectors.T  # factorᵀ factor = cosines
        target = vectors.T @ shortest / np.sqrt(values.clip(_RIDGE))  # factorᵀ target = shortest
        solution, _ = nnls(factor, target, maxiter=30 * len(norms))
        weights = solution / norms
        return torch.from_numpy(weights / weights.sum()).to(gramian)
