"""UPGrad: every gradient projected where no feature loses."""

from __future__ import annotations

from torch import Tensor

from skhvae.moo._base import Weighting
from skhvae.moo._quadratic import in_unit_gradients, nonnegative_quadratic

__all__ = ["UPGrad"]


class UPGrad(Weighting):
    r"""Project every gradient onto the cone of directions along which no feature loses, and add up
    the projections (Quinton and Rey 2024, "Jacobian descent for multi-objective optimization", arXiv
    2406.16232, eq. 3).

    The projection of :math:`g_d` onto :math:`\{v : J v \ge 0\}` is :math:`J^\top w_d` with

    .. math:: w_d = \arg\min_{w \ge e_d} w^\top G\, w

    one small quadratic program a feature, all solved at once. The cone does not depend on the
    gradients' sizes and projecting is linear in them, so that the programs are solved for unit gradients:
    the same direction, and no feature loses, however much the sizes differ.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import UPGrad
    >>> UPGrad().weights(torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64))
    tensor([1.5000, 1.5000], dtype=torch.float64)
    """

    separable = True

    def weights(self, gramian: Tensor) -> Tensor:
        cosines, norms = in_unit_gradients(gramian)
        more = nonnegative_quadratic(cosines, -cosines)  # row d: w_d - e_d
        return 1 + (norms @ more) / norms
