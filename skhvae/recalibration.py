"""Learn from held-out cells how far predicted distributions are right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skhvae.calibration import TEMPERATURES, Calibration
from skhvae.evaluation import crps_of_quantiles
from skhvae.inference import by_rows, chunk_size, predictions_at, steady
from skhvae.matching import Matching
from skhvae.models import VAE
from skhvae.predictive import Predictive

__all__ = ["recalibrate"]

_LEVELS = (np.arange(19) + 0.5) / 19  # at which distributions are compared
_BETTER = 0.98  # features are matched whose CRPS becomes less than so much of what it was


def recalibrate(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    held: Tensor,
    points: Tensor,
    half_steps: Tensor,
    generator: np.random.Generator,
    known: Tensor | None = None,
) -> tuple[Calibration, Matching]:
    """What held-out cells say of the model's predictions, each by the first member that did not learn it.

    Parameters
    ----------
    model, values, points
        As for :func:`skhvae.inference.impute_rows`; `values` are the truth.
    visible, held : bool Tensor of shape (..., n_rows, n_features)
        What each member sees, and what was held out from it.
    half_steps : Tensor of shape (n_features,)
        Half of what the values of a feature differ by at least, 0 if they are continuous: less is rounded away.
    generator : numpy Generator
    known : Tensor of shape (n_rows, n_features) or None
        What repetitions of the rows know of the held-out cells, NaN where nothing: there the model is not asked.

    Returns
    -------
    calibration : Calibration
    matching : Matching
        Of the numeric features whose distributions it makes better, by their CRPS.
    """
    cells = model, values, visible, held, points, half_steps
    found = _held_out(*cells)
    repeated = torch.zeros(values.shape, dtype=torch.bool) if known is None else ~known.isnan()
    for part in (found.below, found.reached, found.log_probs):
        part[repeated.numpy()] = np.nan
    calibration = Calibration(found.below, found.reached, found.log_probs, generator)
    found = _held_out(*cells, calibration)
    if known is not None:
        right = ((known == values) & ~torch.from_numpy(np.isnan(found.below))).numpy()
        found.below[right], found.reached[right] = 0.0, 1.0
    known = [~np.isnan(column) for column in found.means.T]
    means = [torch.from_numpy(m[k]) for m, k in zip(found.means.T, known, strict=True)]
    matching = Matching(means, [v[k].double() for v, k in zip(values.T, known, strict=True)])
    below, reached = (list(x.T) for x in (found.below, found.reached))
    for i, cell in enumerate(known):
        if not matching.is_possible(i):
            continue
        truth, quantiles = values[cell, i].numpy(), found.quantiles[cell, i]
        _, of_donors, donors = (x.numpy() for x in matching.of_donors(i))
        levels = (np.arange(donors.shape[1]) + 0.5) / donors.shape[1]
        matched = crps_of_quantiles(of_donors, donors, levels).mean()
        if matched < _BETTER * crps_of_quantiles(truth, quantiles, _LEVELS).mean():
            matching.applies[i] = True
            below[i] = (donors < of_donors[:, None]).mean(1)
            reached[i] = (donors <= of_donors[:, None]).mean(1)
    calibration.learn_intervals(below, reached)
    return calibration, matching


@dataclass
class _HeldOut:
    """What is predicted of held-out cells, NaN in others.

    Attributes
    ----------
    below, reached : float64 ndarray of shape (n_rows, n_features)
        Probability of less than the truth, and of at most the truth.
    means : float64 ndarray of shape (n_rows, n_features)
        NaN for finite features.
    quantiles : float64 ndarray of shape (n_rows, n_features, n_levels)
    log_probs : float64 ndarray of shape (n_rows, n_features, n_temperatures)
        Of the true levels, at each of `TEMPERATURES`; NaN for numeric features.
    """

    below: np.ndarray
    reached: np.ndarray
    means: np.ndarray
    quantiles: np.ndarray
    log_probs: np.ndarray


def _held_out(model, values, visible, held, points, half_steps, calibration=None) -> _HeldOut:
    model = steady(model)
    points = points.to(next(model.parameters()))
    half_steps, families = half_steps.to(points.device), model.heads.families
    calibration = calibration and calibration.to(points.device)
    levels = torch.from_numpy(_LEVELS).to(points.device)
    several = visible.dim() > 2

    @torch.no_grad()
    def predicted(values, visible, held):
        predictions = predictions_at(model, values, visible.movedim(0, -2), points)
        if several:
            predictions = _of_members(predictions, held.int().argmax(1))
        parts, start = [], 0
        for family, params in zip(families, predictions, strict=True):
            own = slice(start, start + params.shape[-2])
            params, truth = params.double(), values[:, own].double()
            of_family = _of_levels if family.finite else _of_numbers
            parts.append(of_family(family, params, truth, half_steps[own], own, calibration))
            start = own.stop
        wanted = levels[:, None, None].expand(-1, *values.shape)
        quantiles = Predictive(families, predictions, calibration).at(wanted).movedim(0, -1)
        found = torch.cat([torch.cat(parts, dim=-2), quantiles], dim=-1)
        known = held.any(1) if several else held
        return torch.where(known.unsqueeze(-1), found, torch.nan)

    size = min(chunk_size(model, len(points) * model.n_members), len(values))
    rows_first = (x.movedim(-2, 0) for x in (visible, held))
    found = by_rows(predicted, model, size, values, *rows_first).numpy()
    below, reached, means, log_probs, quantiles = np.split(
        found, np.cumsum([1, 1, 1, len(TEMPERATURES)]), axis=-1
    )
    return _HeldOut(below[..., 0], reached[..., 0], means[..., 0], quantiles, log_probs)


def _of_members(predictions: list[Tensor], member: Tensor) -> list[Tensor]:
    """Of parameters (S, n_members, B, n_features, n_parameters) those of one member for each cell, whose numbers
    are (B, n_features of all)."""
    chosen, start = [], 0
    for params in predictions:
        own = member[:, start : start + params.shape[-2]]
        index = own[None, None, ..., None].expand(len(params), 1, *own.shape, params.shape[-1])
        chosen.append(params.gather(1, index)[:, 0])
        start += params.shape[-2]
    return chosen


def _of_levels(family, params, truth, half_steps, own, calibration) -> Tensor:
    probs = family.probs(params).mean(0)
    if calibration is not None:
        probs = calibration.probs(probs, own)
    codes, logs = truth.long().unsqueeze(-1), probs.clamp(min=1e-300).log()
    reached = probs.cumsum(-1).gather(-1, codes)
    below = reached - probs.gather(-1, codes)
    tempered = [(logs / t).log_softmax(-1).gather(-1, codes) for t in TEMPERATURES.tolist()]
    return torch.cat([below, reached, torch.full_like(below, torch.nan), *tempered], dim=-1)


def _of_numbers(family, params, truth, half_steps, own, calibration) -> Tensor:
    # The next smaller number leaves out what lies at the value itself.
    low = torch.nextafter(truth - half_steps.double(), truth.new_tensor(-math.inf))
    below, reached = (family.cdf(params, end).mean(0) for end in (low, truth + half_steps))
    if calibration is not None:
        below, reached = (calibration.nominal_levels(x, own) for x in (below, reached))
    found = torch.stack([below, reached, family.mean(params).mean(0)], dim=-1)
    unknown = found.new_full((*truth.shape, len(TEMPERATURES)), torch.nan)
    return torch.cat([found, unknown], dim=-1)
