"""Solve with cosines that may be singular, without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pseudo_solve"]

# For each feature. Gramians come from float32 gradients, which leave eigenvalues of 1e-7 that are rounding;
# those have to be far below.
_SMALL = 1e-5


def pseudo_solve(cosines: Tensor, target: Tensor) -> Tensor:
    r"""Approximate :math:`C^{+} t`, the shortest least-squares solution of :math:`C x = t`.

    By Tikhonov's :math:`(C^2 + \varepsilon^2)^{-1} C`, iterated once, of the target without its part in the
    null space: eigenvalues far above :math:`\varepsilon` are inverted to within :math:`(\varepsilon /
    \lambda)^4`, those far below vanish. It takes a Cholesky factor instead of eigenvalues, for which a
    CUDA device would have to be waited for.

    Parameters
    ----------
    cosines : float64 Tensor of shape (n_features, n_features)
        Symmetric, with ones on its diagonal.
    target : Tensor of shape (n_features,)

    Returns
    -------
    Tensor of shape (n_features,)

    Examples
    --------
    >>> import torch
    >>> pseudo_solve(torch.ones(2, 2).double(), torch.tensor([1.0, 3.0]).double())
    tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    n = len(cosines)
    # Rounded in float32, a Gramian can be asymmetric, by more than the ridge: its square is then no square.
    cosines = (cosines + cosines.T) / 2
    ridge = torch.eye(n, dtype=cosines.dtype, device=cosines.device) * (_SMALL * n) ** 2
    factor = torch.linalg.cholesky_ex(cosines @ cosines + ridge)[0]

    def solve(target):
        solution = torch.zeros_like(target)
        for _ in range(2):
            residual = cosines @ (target - cosines @ solution)
            solution = solution + torch.cholesky_solve(residual.unsqueeze(1), factor).squeeze(1)
        return solution

    return solve(cosines @ solve(target))
