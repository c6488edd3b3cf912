"""From a trained model to point estimates, one row at a time whoever stands beside it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from skhvae.models import VAE

__all__ = ["HeldOutCells", "impute_rows", "latent_means", "point_estimates"]

_MOST_OUTPUTS = 2**23  # head outputs held at once, 64 MiB: a feature can have thousands of levels


@torch.no_grad()
def point_estimates(
    model: VAE, values: Tensor, visible: Tensor, points: Tensor, by_median: Tensor
) -> Tensor:
    r"""Estimate every cell from the row's visible ones.

    The predictive distribution is the mixture over posterior points,
    :math:`\frac1S \sum_s p(x_d \mid z_s)`, :math:`z_s = \mu + \sigma \epsilon_s`: its mean for numeric
    features, its mode or median for finite ones. The :math:`\epsilon_s` are the same for all rows, so
    that a row's estimate does not depend on the rows beside it.

    Parameters
    ----------
    model : VAE
    values : Tensor of shape (B, n_features)
        In model units, in-support fillers where not visible.
    visible : bool Tensor of shape (B, n_features)
    points : Tensor of shape (S, latent_dim)
        Standard-normal points.
    by_median : bool Tensor of shape (n_features,)
        Finite features to be estimated by the median level instead of the most probable one.

    Returns
    -------
    Tensor of shape (B, n_features)
        In model units, or level codes.
    """
    posterior = model.encode(values, visible)
    h = model.decode(posterior.at(points.unsqueeze(1)), posterior.state)
    estimates, start = [], 0
    for family, params in zip(model.heads.families, model.heads(h), strict=True):
        stop = start + params.shape[-2]
        if family.finite:
            probs = family.probs(params).mean(0)
            median = (probs.cumsum(-1) < 0.5).sum(-1)
            estimate = torch.where(by_median[start:stop], median, probs.argmax(-1)).to(values.dtype)
        else:
            estimate = family.mean(params).mean(0)
        estimates.append(estimate)
        start = stop
    return torch.cat(estimates, dim=-1)


def impute_rows(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    points: Tensor,
    by_median: Tensor,
    rows_at_once: int = 2048,
) -> Tensor:
    """:func:`point_estimates` for any number of rows, in chunks of bounded memory.

    Runs in float64: in float32 the last digits of a row would depend on the shape of its chunk. The
    model's own weights stay as they are.

    Returns
    -------
    Tensor of shape (n_rows, n_features)
        On the CPU.
    """
    device = points.device
    model = copy.deepcopy(model).double()
    n_outputs = len(points) * model.heads.layout.n_parameters
    rows_at_once = max(1, min(rows_at_once, _MOST_OUTPUTS // n_outputs))
    estimates = torch.empty(values.shape, dtype=torch.float64)
    for start in range(0, len(values), rows_at_once):
        rows = slice(start, start + rows_at_once)
        estimates[rows] = point_estimates(
            model,
            values[rows].to(device, torch.float64),
            visible[rows].to(device),
            points.double(),
            by_median,
        ).cpu()
    return estimates


@torch.no_grad()
def latent_means(model: VAE, values: Tensor, visible: Tensor, device) -> Tensor:
    """Posterior mean of z, (n_rows, latent_dim), on the CPU; in float64 as in :func:`impute_rows`."""
    model = copy.deepcopy(model).double()
    parts = [
        model.encode(v.to(device, torch.float64), seen.to(device)).mean.cpu()
        for v, seen in zip(values.split(4096), visible.split(4096), strict=True)
    ]
    return torch.cat(parts)


class HeldOutCells:
    """Observed cells set aside to measure, during training, how well they are imputed.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    visible : bool Tensor of shape (n_rows, n_features)
        What the encoder may see: observed and not held out.
    held : bool Tensor of shape (n_rows, n_features)
    features : sequence of Feature
        In packed order.
    scales : Tensor of shape (n_features,)
        What turns an error in model units into the feature's metric.
    """

    def __init__(self, values, visible, held, by_median, finite, scales):
        self.values, self.visible, self.held = values, visible, held
        self.by_median, self.finite, self.scales = by_median, finite, scales
        self.counts = held.sum(0)

    def errors(self, model: VAE) -> Tensor:
        """Error of every feature in its own metric, NaN where no cell is held out.

        The posterior mean stands for the posterior: a curve needs no more.
        """
        centre = self.values.new_zeros(1, model.latent_dim)
        estimates = torch.cat(
            [
                point_estimates(model, values, visible, centre, self.by_median)
                for values, visible in zip(
                    self.values.split(4096), self.visible.split(4096), strict=True
                )
            ]
        )
        difference = (estimates - self.values).abs()
        wrong = torch.where(self.by_median, difference, (difference > 0.5).to(difference))
        cost = torch.where(self.finite, wrong, difference**2)
        mean = torch.where(self.held, cost, 0).sum(0) / self.counts
        # A feature that the model cannot estimate any more must not look like one without cells.
        mean = torch.where(self.counts > 0, mean.nan_to_num(nan=torch.inf), torch.nan)
        return torch.where(self.finite, mean, mean.sqrt()) * self.scales
