"""How well cells that training does not see are imputed, measured while it runs."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.inference import own_estimates
from skhvae.models import VAE, lead

__all__ = ["HeldOutCells", "held_out_estimates", "hold_out", "some_of"]

_BLOCK = 65_536  # rows drawn for at once: chances take four times the memory


def some_of(observed: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each observed cell with chance `share`, bool (n_rows, n_features)."""
    blocks = observed.split(_BLOCK)
    return torch.cat([b & (torch.rand(b.shape, generator=generator) < share) for b in blocks])


def hold_out(observed: Tensor, share: float, n_members: int, generator: torch.Generator) -> Tensor:
    """Cells for every member not to learn, bool (..., n_rows, n_features): with the members' axis in front,
    if there are several, and other cells for each, so that what one does not learn the others do. None if
    there are too few cells to spare any."""
    held = torch.stack([some_of(observed, share, generator) for _ in range(n_members)])
    held = held.view(*lead(n_members), *observed.shape)
    enough = (observed & ~held).flatten(-2).any(-1).all()
    return held & enough


def held_out_estimates(
    model: VAE, values: Tensor, shown: Tensor, held: Tensor, points: Tensor, by_median: Tensor
) -> tuple[Tensor, Tensor]:
    """Estimate held-out cells, each by the first member that did not learn it.

    Parameters
    ----------
    model, values, points, by_median
        As for :func:`skhvae.inference.point_estimates`.
    shown, held : bool Tensor of shape (..., n_rows, n_features)
        What each member learned, and what was held out from it.

    Returns
    -------
    estimates : Tensor of shape (n_rows, n_features)
    cells : bool Tensor of shape (n_rows, n_features)
        Those held out from any member.
    """
    own = own_estimates(model, values, shown, points, by_median)
    own, held = (x.view(-1, *values.shape) for x in (own, held))
    return own.gather(0, held.int().argmax(0, keepdim=True))[0], held.any(0)


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
