"""What an objective is: (model, values, observed, visible) -> the parts of a batch's loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from skhvae.models import VAE, Posterior
from skhvae.moo import Impartiality

__all__ = ["Loss", "Objective"]


@dataclass
class Loss:
    """The parts of a batch's loss.

    Attributes
    ----------
    features : Tensor of shape (n_features,)
        Reconstruction loss of each feature, mean over the rows and members, nats.
    kl : Tensor of shape ()
        Mean over the rows and members, nats.
    total : Tensor of shape ()
        What is minimised.
    """

    features: Tensor
    kl: Tensor
    total: Tensor


class Objective(ABC):
    """What training minimises.

    Parameters
    ----------
    beta : float
        Weight of the KL term.

    Attributes
    ----------
    weighs_points : bool
        Whether it takes several points of the posterior a row, `n_samples`, by importance weights; the
        posterior then needs a density.
    """

    weighs_points: ClassVar[bool] = False

    def __init__(self, beta: float):
        self.beta = beta

    @abstractmethod
    def __call__(
        self,
        model: VAE,
        values: Tensor,
        observed: Tensor,
        visible: Tensor,
        impartiality: Impartiality | None,
        generator: torch.Generator,
        visible_weight: float | Tensor = 1.0,
        missing: Tensor | None = None,
    ) -> Loss:
        """The loss of a batch.

        Parameters
        ----------
        model : VAE
        values : Tensor of shape (..., B, n_features)
            In model units, in-support fillers where not observed. With the members' axis before the rows,
            if there are several; so all of these.
        observed, visible : bool Tensor of shape (..., B, n_features)
            Cells that count, and the subset of them that the encoder sees.
        impartiality : Impartiality or None
        generator : torch.Generator
            On the model's device.
        visible_weight : float or Tensor of shape ()
            What a visible cell's loss counts; a hidden cell's counts in full.
        missing : bool Tensor of the shape of `visible`, optional
            The cells that the encoder is told are missing; by default all that are not visible.
        """

    @staticmethod
    def noise(posterior: Posterior, shape, size: int, generator: torch.Generator) -> Tensor:
        """Standard-normal numbers for points of every row's posterior, (..., B, size), led by `shape`."""
        like = posterior.state
        shape = (*shape, *like.shape[:-1], size)
        return torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator)

    @staticmethod
    def cell_weights(values, observed, visible, visible_weight: float | Tensor) -> Tensor:
        """What each cell's loss counts, in the shape of `visible`."""
        return torch.where(visible, visible_weight, 1.0).to(values.dtype) * observed
