"""What a strategy is: the features' Gramian in, one weight a feature out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["Weighting"]

# Gramians come from float32 gradients: what is smaller, relative to its terms, is rounding.
_ROUNDING = 1e-6


class Weighting(ABC):
    r"""A strategy that combines the features' gradients by weights.

    With :math:`g_d` feature d's gradient at the shared representation and :math:`G = J J^\top` their
    Gramian, the shared part of the network receives :math:`\sum_d w_d(G)\, g_d`.

    Attributes
    ----------
    separable : bool
        Whether a further feature whose gradient is orthogonal to all others leaves the others'
        weights unchanged up to a common factor. Features without a gradient are then left out
        without asking the device which ones they are.
    """

    separable: ClassVar[bool] = False

    @abstractmethod
    def weights(self, gramian: Tensor) -> Tensor:
        """One weight a feature; only their ratios matter.

        Parameters
        ----------
        gramian : float64 Tensor of shape (n_features, n_features)
            Inner products of the features' gradients; no row is zero.

        Returns
        -------
        Tensor of shape (n_features,)
        """

    def reset(self, generator: torch.Generator | None = None) -> None:  # noqa: B027
        """Forget all state, at the beginning of a fit; `generator` is the source of randomness."""

    def __call__(self, gramian: Tensor) -> Tensor:
        r"""Weights that leave out features without a gradient and keep the norm of the plain sum.

        Every strategy's direction gets the length of :math:`\sum_d g_d`, so that one learning rate
        serves them all and the balance with the KL term is the same. Where the weighted gradients
        cancel, what is left is rounding, which is not blown up to that length: all weights are 0.

        Parameters
        ----------
        gramian : Tensor of shape (n_features, n_features)

        Returns
        -------
        Tensor of shape (n_features,)
            Zero for features whose gradient is zero; NaN, by which training skips the step, if the
            Gramian is not finite.
        """
        gramian = gramian.double()
        usable = gramian.isfinite().all()
        gramian = torch.where(usable, gramian, 0)
        squared_norms = gramian.diagonal()
        active = squared_norms > 0
        if self.separable:
            stand_in = torch.where(active.any(), squared_norms.mean(), 1) * ~active
            weights = self.weights(gramian + torch.diag(stand_in)) * active
        else:
            index = active.nonzero().squeeze(1)
            weights = torch.zeros_like(gramian[0])
            if len(index):
                weights[index] = self.weights(gramian[index][:, index])
        plain = gramian.sum().clamp(min=0)
        own = weights @ gramian @ weights
        rounding = _ROUNDING * (weights.abs() @ gramian.abs() @ weights.abs())
        scaled = torch.where(own <= rounding, 0, weights * (plain / own).sqrt())
        return torch.where(usable, scaled, torch.nan)
