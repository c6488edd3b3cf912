"""What the features' gradients look like before they are reconciled, and what becomes of them."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._on_device import OnDevice

__all__ = ["Conflict"]


class Conflict(OnDevice):
    """Running means of the features' cosines and weights; stays on the device, asks it nothing.

    Two features conflict at a step if the cosine of their gradients is negative (Yu et al. 2020, arXiv
    2001.06782, definition 1). Steps at which a feature has no gradient do not count for it.
    """

    def __init__(self):
        self._cosines = None  # all sums are made at the first step, and changed in place

    def _begin(self, gramian: Tensor) -> None:
        self._cosines, self._together = torch.zeros_like(gramian), torch.zeros_like(gramian)
        self._weights, self._present = gramian.new_zeros(2, len(gramian))
        self._share, self._usable, self._steps = gramian.new_zeros(3)

    @torch.no_grad()
    def add(self, gramian: Tensor, weights: Tensor) -> None:
        """Take in a step.

        Parameters
        ----------
        gramian : float64 Tensor of shape (n_features, n_features)
            Before reconciling.
        weights : float64 Tensor of shape (n_features,)
        """
        usable = gramian.isfinite().all() & weights.isfinite().all()
        gramian, weights = (torch.where(usable, x, 0) for x in (gramian, weights))
        active = gramian.diagonal() > 0
        inverse = torch.where(active, gramian.diagonal().rsqrt(), 0)
        cosines = gramian * torch.outer(inverse, inverse)
        together = torch.outer(active, active)
        n_pairs = (together.sum() - active.sum()).clamp(min=1)
        share = (cosines < 0).sum() / n_pairs
        if self._cosines is None:
            self._begin(gramian)
        self._cosines += cosines
        self._together += together
        self._weights += weights * active
        self._present += active
        self._share += torch.where(usable, share, 0)
        self._usable += usable
        self._steps += 1

    def epoch(self) -> tuple[float, Tensor] | None:
        """Share of conflicting pairs and mean weight of every feature since the last call.

        Returns
        -------
        tuple of float and Tensor of shape (n_features,), or None
            None if there was no step; a weight is NaN if the feature never had a gradient, and the
            share if no step was finite.
        """
        if self._cosines is None or self._steps == 0:
            return None
        share, weights = self._share / self._usable, self._weights / self._present
        for sums in (self._weights, self._present, self._share, self._usable, self._steps):
            sums.zero_()
        return share.item(), weights

    @property
    def mean_cosines(self) -> Tensor | None:
        """Mean cosine of each pair over all steps, (n_features, n_features); NaN for pairs that never
        had gradients at the same step, None if there was no step."""
        return None if self._cosines is None else self._cosines / self._together
