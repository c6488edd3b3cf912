"""CAGrad: near the mean, better for the worst off."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Weighting
from skhvae.moo._quadratic import in_unit_gradients, nonnegative_quadratic

__all__ = ["CAGrad"]

_MOST_STEPS = 50


class CAGrad(Weighting):
    r"""The direction in a ball around the mean gradient that the worst-off feature gains most from
    (Liu et al. 2021, "Conflict-averse gradient descent", arXiv 2110.14048, eq. 2).

    .. math:: \max_v \min_d\ \langle g_d, v \rangle \quad
              \text{s.t. } \lVert v - g_0 \rVert \le c \lVert g_0 \rVert

    The shortest way from :math:`g_0` to where every feature gains at least :math:`\mu` is
    :math:`J^\top u` with :math:`u = \arg\min_{u \ge 0} \tfrac12 u^\top G u - (\mu \mathbf 1 - J
    g_0)^\top u`. Its length :math:`\rho` is convex in :math:`\mu` with slope :math:`\sum_d u_d / \rho`:
    Newton's method finds the :math:`\mu` at which it reaches the ball's surface, in a few steps.

    Parameters
    ----------
    c : float, default=0.5
        Radius of the ball, in lengths of the mean: 0 is the mean itself; towards infinity the
        direction becomes MGDA's.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import CAGrad
    >>> CAGrad().weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    tensor([1.0590, 0.5000], dtype=torch.float64)
    """

    def __init__(self, c: float = 0.5):
        self.c = c

    def weights(self, gramian: Tensor) -> Tensor:
        mean = torch.full_like(gramian[0], 1 / len(gramian))
        unit = gramian.diagonal().amin().sqrt()  # the shortest gradient has length 1 below
        cosines, norms = in_unit_gradients(gramian / unit**2)
        gains = gramian @ mean / unit**2
        length = (mean @ gains).clamp(min=0).sqrt()
        radius = self.c * length
        # Nothing in the ball is longer than this, so that no feature can gain more.
        level = (norms.min() * (length + radius)).clone()
        more = torch.zeros_like(mean)
        for _ in range(_MOST_STEPS):
            scaled = nonnegative_quadratic(cosines, (level - gains) / norms)
            more, reach = scaled / norms, (scaled @ cosines @ scaled).sqrt()
            if reach <= radius * (1 + 1e-9) or not reach > 0:
                break
            level = level - (reach - radius) * reach / more.sum()
        if reach > 0:
            more = more * (radius / reach).clamp(max=1)
        return mean + more
