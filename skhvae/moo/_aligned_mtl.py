"""Aligned-MTL: principal components of equal length."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ellipj, ellipk
from torch import Tensor

from skhvae.moo._base import Weighting
from skhvae.moo._pseudo_inverse import pseudo_solve

__all__ = ["AlignedMTL"]

# On unit gradients. Gramians come from float32 gradients: what is less is rounding.
_RIDGE = 1e-6
# Between the largest and the smallest eigenvalue that count: norms three thousand times apart.
_CONDITION = 1e7
_N_POLES = 12


def _poles(condition: float, n_poles: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Shifts s and weights c with :math:`x^{-1/2} \approx \sum_k c_k / (x + s_k)` on [1 / condition, 1].

    Hale, Higham and Trefethen 2008, "Computing A^alpha, log(A), and related matrix functions by contour
    integrals", eq. 4.4 (method 3); the relative error falls like exp(-2 pi^2 n / (log condition + 3)).
    """
    modulus = 1 / np.sqrt(condition)
    quarter = ellipk(1 - modulus**2)
    points = (np.arange(n_poles) + 0.5) * quarter / n_poles
    sn, cn, dn, _ = ellipj(points, 1 - modulus**2)
    # Along the imaginary axis: Jacobi's imaginary transformation.
    shifts = (modulus * sn / cn) ** 2
    weights = 2 * quarter * modulus / (np.pi * n_poles) * dn / cn**2
    return shifts, weights


_SHIFTS, _WEIGHTS = (x.tolist() for x in _poles(_CONDITION, _N_POLES))


class AlignedMTL(Weighting):
    r"""Make all principal components of the gradients equally long (Senushkin et al. 2023, "Independent
    component alignment for multi-task learning", arXiv 2305.19000, algorithm 1).

    .. math:: w = \sqrt{\lambda_{\min}}\; G^{-1/2}\, \mathbf 1

    The inverse root acts on one vector, which takes no eigenvalues, for which a CUDA device would have
    to be waited for, but one Cholesky factor for each pole of a rational approximation, all at
    once. Where gradients are linearly dependent, the paper leaves out the eigenvalues below a threshold;
    here components fade below a millionth of the squared norms of the features that make them up, so that
    a small gradient is not mistaken for a dependent one.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import AlignedMTL
    >>> AlignedMTL().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    separable = True

    def weights(self, gramian: Tensor) -> Tensor:
        largest = gramian.abs().sum(0).max()  # no eigenvalue is larger (Gershgorin)
        scaled = gramian / largest
        ridge = (_RIDGE * scaled.diagonal()).diag()
        one = torch.eye(len(gramian), dtype=gramian.dtype, device=gramian.device)
        # Shifts and weights as numbers of the host: a tensor of them would have to be sent to the device.
        shifted = torch.stack([scaled + ridge + shift * one for shift in _SHIFTS])
        factors = torch.linalg.cholesky_ex(shifted)[0]
        ones = torch.ones_like(shifted[..., :1])
        inverse = torch.cholesky_solve(ones, factors).squeeze(-1)
        total = sum(weight * part for weight, part in zip(_WEIGHTS, inverse, strict=True))
        # Of all weights that give this direction the shortest: without what cancels.
        norms = gramian.diagonal().sqrt()
        cosines = gramian / torch.outer(norms, norms)
        in_units = (total / largest.sqrt()) * norms
        return pseudo_solve(cosines, cosines @ in_units) / norms
