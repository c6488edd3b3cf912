"""Small convex programs on a Gramian, solved to the end."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

__all__ = ["in_unit_gradients", "nonnegative_quadratic"]

# Relative to a unit gradient: Gramians come from float32 gradients, of which linearly dependent ones
# leave eigenvalues of this size and of either sign.
_SMALLEST_EIGENVALUE = 1e-7
_TOLERANCE = 1e-11
_MOST_EXCHANGES = 15


def in_unit_gradients(gramian: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients' cosines, made safely positive definite, and their norms.

    Programs are solved in unit gradients, so that large ratios of norms do no harm.

    Parameters
    ----------
    gramian : float64 Tensor of shape (n_features, n_features)
        No row is zero.

    Returns
    -------
    cosines : Tensor of shape (n_features, n_features)
    norms : Tensor of shape (n_features,)
    """
    norms = gramian.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(gramian / torch.outer(norms, norms))
    return (vectors * values.clamp(min=_SMALLEST_EIGENVALUE)) @ vectors.T, norms


def nonnegative_quadratic(matrix: Tensor, linear: Tensor) -> Tensor:
    r"""Minimise :math:`\tfrac12 x^\top A x - b^\top x` over :math:`x \ge 0`, for many b at once.

    Block principal pivoting (Kim and Park 2011, "Fast nonnegative matrix factorization", section
    4): guess which variables are positive, solve for them, and exchange all that contradict the
    conditions of optimality :math:`x \ge 0,\ Ax - b \ge 0,\ x^\top (Ax - b) = 0`. A few solves, each of all
    programs together, settle nearly all of them; the rest, those that keep exchanging when A is
    nearly singular, go to SciPy's active-set method, one by one.

    Parameters
    ----------
    matrix : float64 Tensor of shape (n, n)
        Positive definite.
    linear : float64 Tensor of shape (..., n)

    Returns
    -------
    Tensor of shape (..., n)

    Examples
    --------
    >>> import torch
    >>> nonnegative_quadratic(torch.eye(2).double(), torch.tensor([[3.0, -1.0]]).double())
    tensor([[3., 0.]], dtype=torch.float64)
    """
    b = linear.reshape(-1, linear.shape[-1])
    slack = _TOLERANCE * b.abs().amax(-1, keepdim=True)
    free = b > 0
    x = torch.zeros_like(b)
    todo = torch.arange(len(b), device=b.device)
    for _ in range(_MOST_EXCHANGES):
        target = b[todo]
        solution = _solve_for(free, matrix, target)
        x[todo] = solution
        wrong = torch.where(free, solution, solution @ matrix - target) < -slack[todo]
        unsolved = wrong.any(-1)
        todo, free = todo[unsolved], (free ^ wrong)[unsolved]
        if not len(todo):
            break
    else:
        x[todo] = _by_active_sets(matrix, b[todo])
    return x.clamp(min=0).view(linear.shape)


def _solve_for(free: Tensor, matrix: Tensor, b: Tensor) -> Tensor:
    """Each row's solution of A x = b in its free variables, 0 in the others."""
    width = max(1, int(free.sum(-1).max()))
    own, index = free.to(b.dtype).topk(width, dim=-1)  # each row's free variables, and some padding
    own = own > 0
    both = own.unsqueeze(-1) & own.unsqueeze(-2)
    system = torch.where(both, matrix[index.unsqueeze(-1), index.unsqueeze(-2)], 0)
    system.diagonal(dim1=-2, dim2=-1).add_((~own).to(b.dtype))
    target = torch.where(own, b.gather(-1, index), 0)
    factor = torch.linalg.cholesky(system)
    solution = torch.cholesky_solve(target.unsqueeze(-1), factor).squeeze(-1)
    return torch.zeros_like(b).scatter(-1, index, solution)


def _by_active_sets(matrix: Tensor, b: Tensor) -> Tensor:
    """The same programs as least-squares problems, by Lawson and Hanson's method."""
    factor = torch.linalg.cholesky(matrix)  # x'Ax / 2 - b'x is |F'x - t|^2 / 2 with Ft = b
    targets = torch.linalg.solve_triangular(factor, b.T, upper=False).T.cpu().numpy()
    upper = factor.T.contiguous().cpu().numpy()
    solutions = [nnls(upper, target, maxiter=30 * len(upper))[0] for target in targets]
    return torch.from_numpy(np.array(solutions)).to(b)
