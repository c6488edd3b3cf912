"""From a trained model to point estimates, one row at a time whoever stands beside it."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from skhvae.models import VAE

__all__ = ["HeldOutCells", "impute_rows", "latent_means", "log_predictive", "point_estimates"]

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
    points : Tensor of shape (S, noise_dim)
        Standard-normal points.
    by_median : bool Tensor of shape (n_features,)
        Finite features to be estimated by the median level instead of the most probable one.

    Returns
    -------
    Tensor of shape (B, n_features)
        In model units, or level codes.
    """
    posterior = model.encode(values, visible)
    of_families = model.params(posterior.at(points.unsqueeze(1)), posterior)
    estimates, start = [], 0
    for family, params in zip(model.heads.families, of_families, strict=True):
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

    def estimate(model, points, values, visible):
        return point_estimates(model, values, visible, points, by_median)

    return _by_rows(estimate, model, points, values, visible, rows_at_once=rows_at_once)


def _by_rows(function, model: VAE, points: Tensor, *of_rows: Tensor, rows_at_once=2048) -> Tensor:
    """A function of model, points and rows, (B, n_features), in chunks and in float64; on the CPU."""
    device = points.device
    model = copy.deepcopy(model).double()
    n_outputs = len(points) * model.heads.layout.n_parameters
    rows_at_once = max(1, min(rows_at_once, _MOST_OUTPUTS // n_outputs))
    chunks = []
    for rows in zip(*(tensor.split(rows_at_once) for tensor in of_rows), strict=True):
        rows = (x.to(device, torch.float64 if x.is_floating_point() else None) for x in rows)
        chunks.append(function(model, points.double(), *rows).cpu())
    return torch.cat(chunks)


def log_predictive(
    model: VAE, values: Tensor, visible: Tensor, points: Tensor, rows_at_once: int = 2048
) -> Tensor:
    r"""Log predictive density of every cell given the row's visible ones, as :func:`point_estimates`
    predicts it: :math:`\log \frac1S \sum_s p(x_d \mid z_s)`.

    Parameters
    ----------
    model : VAE
    values : Tensor of shape (n_rows, n_features)
        In model units: the truth.
    visible : bool Tensor of shape (n_rows, n_features)
        What the encoder sees of it.
    points : Tensor of shape (S, noise_dim)
    rows_at_once : int

    Returns
    -------
    float64 Tensor of shape (n_rows, n_features)
        Nats in model units, on the CPU.
    """

    @torch.no_grad()
    def density(model, points, values, visible):
        posterior = model.encode(values, visible)
        params = model.params(posterior.at(points.unsqueeze(1)), posterior)
        of_points = model.heads.log_prob(params, values)
        return of_points.logsumexp(0) - math.log(len(points))

    return _by_rows(density, model, points, values, visible, rows_at_once=rows_at_once)


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
        centre = self.values.new_zeros(1, model.noise_dim)
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
