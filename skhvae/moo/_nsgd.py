"""NSGD: unit gradients, at a length that follows the convergence."""

from __future__ import annotations

from torch import Tensor

from skhvae.moo._base import StatefulWeighting
from skhvae.moo._convergence import ConvergenceRatios

__all__ = ["NSGD"]


class NSGD(StatefulWeighting):
    r"""Normalised gradients, times the norm of those that still converge (Javaloy and Valera 2022,
    "RotoGrad", arXiv 2103.02631, section 3.1, eq. 6 and 7; NSGD in Javaloy et al. 2022, arXiv 2206.04496).

    .. math:: w_d = \frac{1}{\lVert g_d \rVert} \sum_e a_e \lVert g_e \rVert, \qquad
              a_e \propto \frac{\lVert g_e(t) \rVert}{\lVert g_e(t_0) \rVert}, \quad \sum_e a_e = 1

    The direction is that of equal norms; the length is the method's own instead of the plain sum's,
    and longer the larger the gradients are of features that are far from done.

    Parameters
    ----------
    after : int, default=20
        Steps after which gradients are taken as the first ones that later ones are compared with.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import NSGD
    >>> NSGD().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([1.5000, 0.7500], dtype=torch.float64)
    """

    rescaled = False
    recordable = True

    def __init__(self, after: int = 20):
        self.after = after
        super().__init__()

    def reset(self) -> None:
        self._ratios = ConvergenceRatios(self.after)

    def update(self, gramian: Tensor, active: Tensor) -> Tensor:
        norms = gramian.diagonal().sqrt()
        shares = self._ratios(norms, active) * active
        return (shares @ norms) / shares.sum() / norms
