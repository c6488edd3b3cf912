"""How well cells that training does not see are imputed, measured while it runs."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.inference import own_estimates
from skhvae.models import VAE

__all__ = ["HeldOutCells"]


class HeldOutCells:
    """Observed cells set aside to measure, during training, how well they are imputed.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    visible : bool Tensor of shape (..., n_rows, n_features)
        What the encoder may see: observed and not held out. With the members' axis in front, if there
        are several: what is held out from one, the others learn.
    held : bool Tensor of shape (..., n_rows, n_features)
    features : sequence of Feature
        In packed order.
    scales : Tensor of shape (n_features,)
        What turns an error in model units into the feature's metric.
    """

    def __init__(self, values, visible, held, by_median, finite, scales):
        self.values, self.visible, self.held = values, visible, held
        self.by_median, self.finite, self.scales = by_median, finite, scales
        self.counts = held.flatten(0, -2).sum(0)

    def errors(self, model: VAE) -> Tensor:
        """Error of every feature in its own metric, NaN where no cell is held out.

        The posterior mean stands for the posterior: a curve needs no more.
        """
        centre = self.values.new_zeros(1, model.noise_dim)
        estimates = own_estimates(model, self.values, self.visible, centre, self.by_median)
        difference = (estimates - self.values).abs()
        wrong = torch.where(self.by_median, difference, (difference > 0.5).to(difference))
        cost = torch.where(self.finite, wrong, difference**2)
        mean = torch.where(self.held, cost, 0).flatten(0, -2).sum(0) / self.counts
        # A feature that the model cannot estimate any more must not look like one without cells.
        mean = torch.where(self.counts > 0, mean.nan_to_num(nan=torch.inf), torch.nan)
        return torch.where(self.finite, mean, mean.sqrt()) * self.scales
