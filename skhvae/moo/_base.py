"""What a strategy is: the features' gradients in, one direction out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from skhvae.moo._gradients import FeatureGradients
from skhvae.moo._on_device import OnDevice

__all__ = ["Aggregator", "StatefulWeighting", "Strategy", "Weighting"]

# Gramians come from float32 gradients: what is smaller, relative to its terms, is rounding.
_ROUNDING = 1e-6


class Strategy(OnDevice, ABC):
    """How the features' gradients at the shared representation become one.

    Attributes
    ----------
    generator : torch.Generator or None
        Source of all randomness, on the gradients' device; lent by training.
    recordable : bool
        Whether a device can record a step and run it again by itself, as a CUDA graph: nothing is asked
        of the device, no library is called that cannot be recorded, and what is remembered stays in the
        same tensors.
    """

    generator: torch.Generator | None = None
    recordable: ClassVar[bool] = False

    @abstractmethod
    def reconcile(self, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        """One gradient for the shared part of the network.

        Parameters
        ----------
        gradients : FeatureGradients

        Returns
        -------
        shared : Tensor of the shape of h
        weights : float64 Tensor of shape (n_features,)
            What each feature's gradient counts in it, 0 for features without one.
        """

    def reset(self) -> None:
        """Forget all state, at the beginning of a fit."""

    def lend(self, generator: torch.Generator | None) -> None:
        """Give the strategy its source of randomness, or take it back."""
        self.generator = generator


class Weighting(Strategy):
    r"""A strategy that combines the features' gradients by weights.

    With :math:`g_d` feature d's gradient at the shared representation and :math:`G = J J^\top` their
    Gramian, the shared part of the network receives :math:`\sum_d w_d(G)\, g_d`.

    Attributes
    ----------
    separable : bool
        Whether a further feature whose gradient is orthogonal to all others leaves the others'
        weights unchanged up to a common factor. Features without a gradient are then left out
        without asking the device which ones they are.
    rescaled : bool
        Whether the direction gets the length of the plain sum.
    """

    separable: ClassVar[bool] = False
    rescaled: ClassVar[bool] = True

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

    def reconcile(self, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        weights = self(gradients.gramian)
        return gradients.combined(weights), weights

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
        weights = self._of_active(gramian, gramian.diagonal() > 0)
        own = weights @ gramian @ weights
        rounding = _ROUNDING * (weights.abs() @ gramian.abs() @ weights.abs())
        length = (gramian.sum().clamp(min=0) / own).sqrt() if self.rescaled else 1.0
        scaled = torch.where(own <= rounding, 0, weights * length)
        return torch.where(usable, scaled, torch.nan)

    def _of_active(self, gramian: Tensor, active: Tensor) -> Tensor:
        """Weights of the features that have a gradient, 0 for the others."""
        if self.separable:
            return torch.where(active, self.weights(_with_stand_ins(gramian, active)), 0)
        index = active.nonzero().squeeze(1)
        weights = torch.zeros_like(gramian[0])
        if len(index):
            weights[index] = self.weights(gramian[index][:, index])
        return weights


def _with_stand_ins(gramian: Tensor, active: Tensor) -> Tensor:
    """Features without a gradient get one of typical size, orthogonal to all others."""
    squared_norms = gramian.diagonal()
    stand_in = torch.where(active.any(), squared_norms.sum() / active.sum().clamp(min=1), 1)
    return gramian + torch.diag(stand_in * ~active)


class StatefulWeighting(Weighting):
    """A weighting that remembers earlier steps.

    It sees all features at every step, and which of them have a gradient, so that what it remembers
    of a feature stays that feature's. State is plain attributes, set by :meth:`reset`; where steps are
    `recordable`, tensors made at the first one and changed in place from then on.
    """

    def __init__(self):
        self.reset()

    @abstractmethod
    def update(self, gramian: Tensor, active: Tensor) -> Tensor:
        """One weight a feature, and a step further in memory.

        Parameters
        ----------
        gramian : float64 Tensor of shape (n_features, n_features)
            No row is zero: a feature without a gradient has a stand-in, orthogonal to all others.
        active : bool Tensor of shape (n_features,)
            Which features have a gradient. The others' weights do not matter; nothing is to be
            learned from their stand-ins.

        Returns
        -------
        Tensor of shape (n_features,)
        """

    def weights(self, gramian: Tensor) -> Tensor:
        return self.update(gramian, torch.ones_like(gramian[0], dtype=torch.bool))

    def _of_active(self, gramian: Tensor, active: Tensor) -> Tensor:
        return torch.where(active, self.update(_with_stand_ins(gramian, active), active), 0)


class Aggregator(Strategy):
    """A strategy that needs the gradients' coordinates, not just their inner products.

    It costs the gradients themselves, (n_features, B * H) numbers, which a weighting never forms.
    """

    @abstractmethod
    def aggregate(self, jacobian: Tensor) -> Tensor:
        """One direction; its length does not matter.

        Parameters
        ----------
        jacobian : Tensor of shape (n_features, B * H)
            The features' gradients; no row is zero.

        Returns
        -------
        Tensor of shape (B * H,)
        """

    def reconcile(self, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        """The aggregate at the plain sum's length, and the weights that come nearest to it."""
        gramian, jacobian = gradients.gramian, gradients.jacobian
        if not gramian.isfinite().all():  # training skips the step
            return gradients.like_h(jacobian.sum(0) * torch.nan), gramian[0] * torch.nan
        active = gramian.diagonal() > 0
        if not active.any():
            return gradients.like_h(torch.zeros_like(jacobian[0])), torch.zeros_like(gramian[0])
        direction = self.aggregate(jacobian[active])
        length = torch.linalg.vector_norm(direction)
        plain = torch.linalg.vector_norm(jacobian.sum(0))
        largest = torch.linalg.vector_norm(jacobian, dim=1).max()
        scale = torch.where(length <= _ROUNDING * largest, 0, plain / length)
        direction = direction * scale.to(direction.dtype)
        nearest = torch.linalg.pinv(gramian, rtol=_ROUNDING, hermitian=True)
        return gradients.like_h(direction), nearest @ (jacobian @ direction).double()
