"""The evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skhvae.models import VAE
from skhvae.moo import Weighting

__all__ = ["ELBO", "Loss"]


@dataclass
class Loss:
    """The parts of a batch's loss.

    Attributes
    ----------
    features : Tensor of shape (n_features,)
        Reconstruction loss of each feature, mean over the rows, nats.
    kl : Tensor of shape ()
        Mean over the rows, nats.
    total : Tensor of shape ()
        What is minimised.
    """

    features: Tensor
    kl: Tensor
    total: Tensor


class ELBO:
    r"""One-sample evidence lower bound with a weight on the KL term (Kingma and Welling 2014; Higgins
    et al. 2017).

    .. math:: \sum_d \mathbb E_{q(z \mid x_\text{visible})} \left[-\log p_d(x_d \mid z)\right]
              + \beta\, \mathrm{KL}\left(q(z \mid x_\text{visible}) \,\|\, \mathcal N(0, I)\right)

    Parameters
    ----------
    beta : float
    """

    def __init__(self, beta: float):
        self.beta = beta

    def __call__(
        self,
        model: VAE,
        values: Tensor,
        observed: Tensor,
        visible: Tensor,
        strategy: Weighting | None,
        generator: torch.Generator,
        visible_weight: float = 1.0,
    ) -> Loss:
        """The loss of a batch.

        Parameters
        ----------
        model : VAE
        values : Tensor of shape (B, n_features)
            In model units, in-support fillers where not observed.
        observed, visible : bool Tensor of shape (B, n_features)
            Cells that count, and the subset of them that the encoder sees.
        strategy : Weighting or None
        generator : torch.Generator
            On the model's device.
        visible_weight : float
            What a visible cell's loss counts; a hidden cell's counts in full.
        """
        posterior = model.encode(values, visible)
        noise = torch.randn(
            posterior.mean.shape, dtype=values.dtype, device=values.device, generator=generator
        )
        h = model.decode(posterior.at(noise), posterior.state)
        losses = model.heads.losses(model.heads(h, strategy), values)
        weight = torch.where(visible, visible_weight, 1.0) * observed
        features = (losses * weight).mean(0)
        kl = posterior.kl().mean()
        return Loss(features, kl, features.sum() + self.beta * kl)
