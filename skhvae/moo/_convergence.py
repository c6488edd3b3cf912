"""How far each feature has come, told from its gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._on_device import OnDevice

__all__ = ["ConvergenceRatios"]


class ConvergenceRatios(OnDevice):
    r"""Gradient norms relative to early ones, :math:`\lVert g_d(t) \rVert / \lVert g_d(t_0) \rVert`.

    GradNorm compares losses, :math:`L_d(t) / L_d(0)`; those of densities cross zero, gradient norms do
    not (Javaloy et al. 2022, arXiv 2206.04496, appendix). Large means: still far from done.

    Parameters
    ----------
    after : int
        Steps after which a feature's next gradient is its first, :math:`t_0`; until then ratios are 1.
    """

    def __init__(self, after: int):
        self.after, self._first, self._step = after, None, None

    def __call__(self, norms: Tensor, active: Tensor) -> Tensor:
        """The ratios after one more step, (n_features,), for the norms of the features' gradients."""
        if self._first is None:
            self._first, self._step = torch.full_like(norms, torch.nan), norms.new_zeros(())
        is_first = self._first.isnan() & active & (self._step >= self.after)
        self._first.copy_(torch.where(is_first, norms, self._first))
        self._step += 1
        return torch.where(active, norms / self._first, 1.0).nan_to_num(nan=1.0)
