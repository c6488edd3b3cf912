"""Nash-MTL: the features bargain."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import StatefulWeighting

__all__ = ["NashMTL"]

_MOST_STEPS = 50
_RIDGE = 1e-7  # on unit gradients: in directions where all bargains cancel, a solution exists


class NashMTL(StatefulWeighting):
    r"""Nash's bargaining solution (Navon et al. 2022, "Multi-task learning as a bargaining game", arXiv
    2202.01017, claim 3.1 and algorithm 1): :math:`G \alpha = 1 / \alpha`, elementwise.

    That is where :math:`\tfrac12 \alpha^\top G \alpha - \sum_d \log \alpha_d` has its minimum. The paper
    approaches it by a sequence of convex programs; the function itself is convex and self-concordant,
    so that damped Newton steps reach its minimum to the last digit. In :math:`\beta_d = \alpha_d \lVert
    g_d \rVert` the gradients' sizes drop out: the direction does not depend on them.

    Parameters
    ----------
    update_every : int, default=1
        Steps from one bargain to the next; the weights stay as they are in between.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import NashMTL
    >>> NashMTL().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    def __init__(self, update_every: int = 1):
        self.update_every = update_every
        super().__init__()

    def reset(self) -> None:
        self._bargain, self._step = None, 0

    def update(self, gramian: Tensor, active: Tensor) -> Tensor:
        norms = gramian.diagonal().sqrt()
        if self._bargain is None:
            self._bargain = torch.ones_like(norms)
        if self._step % self.update_every == 0:
            cosines = gramian / torch.outer(norms, norms)
            start = torch.where(active, self._bargain, 1.0)
            found = _bargain(cosines + _RIDGE * _identity(cosines), start)
            self._bargain = torch.where(active, found, self._bargain)
        self._step += 1
        return self._bargain / norms


def _bargain(cosines: Tensor, beta: Tensor) -> Tensor:
    """The minimum of beta' C beta / 2 - sum(log beta), by Newton's method from `beta`."""
    for _ in range(_MOST_STEPS):
        # In relative changes, beta * (1 + s), the Hessian is at least 1: always well conditioned.
        relative = cosines * torch.outer(beta, beta)
        slope = 1 - relative.sum(1)
        hessian = relative + _identity(cosines)
        factor = torch.linalg.cholesky_ex(hessian)[0]
        step = torch.cholesky_solve(slope.unsqueeze(1), factor).squeeze(1)
        decrement = (slope @ step).clamp(min=0).sqrt()
        # Nesterov's damping: every step stays positive and lowers the function.
        beta = beta * (1 + step / (1 + decrement * (decrement > 0.25)))
        if decrement < 1e-7:  # the step just made left its square
            break
    return beta


def _identity(matrix: Tensor) -> Tensor:
    return torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
