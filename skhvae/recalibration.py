"""Learn from held-out cells how far predicted distributions are right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from skhvae.calibration import TEMPERATURES, Calibration, effective_number
from skhvae.evaluation import crps_of_quantiles
from skhvae.inference import by_rows, chunk_size, predictions_at, steady
from skhvae.matching import Matching
from skhvae.models import VAE
from skhvae.predictive import Predictive

__all__ = ["carry_over", "recalibrate"]

_LEVELS = (np.arange(19) + 0.5) / 19  # at which distributions are compared
_BLOCK = 256  # rows at once, of each of which dozens of numbers are asked for every feature
# Where they stand.
_BELOW, _REACHED, _MEAN = 0, 1, 2
_LOG_PROBS = slice(3, 3 + len(TEMPERATURES))
_QUANTILES = slice(_LOG_PROBS.stop, _LOG_PROBS.stop + len(_LEVELS))
_FEWEST_CELLS = 50  # that weighted ones must amount to
_MILDER = 0.75  # the power that draws weights together
_FEWEST_MISSING, _MOST_ROWS = 20, 4096  # by which two models' predictions are compared
_BETTER = 0.98  # features are matched whose CRPS becomes less than so much of what it was


def recalibrate(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    held: Tensor,
    points: Tensor,
    half_steps: Tensor,
    generator: np.random.Generator,
    log_odds: np.ndarray,
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
    log_odds : float64 ndarray of shape (n_rows, n_features)
        How much likelier each cell was to be missing, up to a constant of each feature.
    known : Tensor of shape (n_rows, n_features) or None
        What repetitions of the rows know of the held-out cells, NaN where nothing: there the model is not asked.

    Returns
    -------
    calibration : Calibration
    matching : Matching
        Of the numeric features whose distributions it makes better, by their CRPS.
    """
    of_members = held.view(-1, *values.shape)
    cells = [of_members[..., i].any(0) for i in range(values.shape[1])]
    asked = model, values, visible, held, cells, points, half_steps
    found = _held_out(*asked)
    odds = [log_odds[cell.numpy(), i] for i, cell in enumerate(cells)]
    weights = list(map(_weights, odds))
    if known is not None:
        alone = [known[cell, i].isnan().numpy() for i, cell in enumerate(cells)]
        found, odds = ([x[own] for x, own in zip(xs, alone, strict=True)] for xs in (found, odds))
    calibration = Calibration(
        [f[:, _BELOW] for f in found],
        [f[:, _REACHED] for f in found],
        [f[:, _LOG_PROBS] for f in found],
        generator,
        list(map(_weights, odds)),
    )
    found = _held_out(*asked, calibration)
    truth = [values[cell, i].double() for i, cell in enumerate(cells)]
    matching = Matching([torch.from_numpy(f[:, _MEAN]) for f in found], truth)
    below, reached = [], []
    for i, (cell, of_cells) in enumerate(zip(cells, found, strict=True)):
        low, high = of_cells[:, _BELOW], of_cells[:, _REACHED]
        if known is not None:
            right = (known[cell, i] == values[cell, i]).numpy()
            low, high = np.where(right, 0.0, low), np.where(right, 1.0, high)
        if matching.is_possible(i) and not model.heads.is_finite(i):
            _, of_donors, donors = (x.numpy() for x in matching.of_donors(i))
            levels = (np.arange(donors.shape[1]) + 0.5) / donors.shape[1]
            matched = crps_of_quantiles(of_donors, donors, levels)
            smooth = crps_of_quantiles(truth[i].numpy(), of_cells[:, _QUANTILES], _LEVELS)
            # Donors stand in the order of what is predicted for them.
            of_matched = weights[i][np.argsort(of_cells[:, _MEAN], kind="stable")]
            most = _BETTER * np.average(smooth, weights=weights[i])
            if np.average(matched, weights=of_matched) < most:
                matching.applies[i] = True
                low = (donors < of_donors[:, np.newaxis]).mean(1)
                high = (donors <= of_donors[:, np.newaxis]).mean(1)
                weights[i] = of_matched
        below.append(low)
        reached.append(high)
    calibration.learn_intervals(below, reached, weights)
    matching.forget_others()
    return calibration, matching


def carry_over(
    calibration: Calibration,
    matching: Matching,
    models: tuple[VAE, VAE],
    values: Tensor,
    observed: Tensor,
    points: Tensor,
) -> None:
    """Make what was learned of one model hold for what has become of it, in place.

    A model that learns on, and the held-out cells too, cannot be compared with any truth any more, and gets surer of
    itself than it is right. But both models predict the missing cells, so it is known how the distributions of one lie in
    those of the other; and errors become no larger by learning on.

    Parameters
    ----------
    calibration, matching
        Of the first model.
    models : two of VAE
        As it was, and as it is.
    values, observed : Tensor of shape (n_rows, n_features)
        A table with missing cells.
    points
        As for :func:`recalibrate`.
    """
    rows = (~observed).any(1).nonzero().flatten()[:_MOST_ROWS]
    if not len(rows):
        return
    before, after = map(steady, models)
    families, points = before.heads.families, points.to(next(before.parameters()))
    scores = calibration.scores.to(points.device)

    @torch.no_grad()
    def compared(values, visible):
        of_models = [
            [p.flatten(0, -4).double() for p in predictions_at(model, values, visible, points)]
            for model in (before, after)
        ]
        levels = torch.special.ndtr(scores)[:, None, None].expand(-1, *values.shape)
        at = Predictive(families, of_models[0]).at(levels)
        parts, start = [], 0
        for family, *params in zip(families, *of_models, strict=True):
            own = slice(start, start + params[0].shape[-2])
            start = own.stop
            if family.finite:
                parts.append(
                    at.new_full((len(values), own.stop - own.start, len(scores) + 2), math.nan)
                )
                continue
            # A mass at a value is half below it.
            half = 0.5 * family.support.is_discrete
            ends = at[..., own] - half, at[..., own] + half
            reached = sum(family.cdf(part, end) for part in params[1] for end in ends)
            found = torch.special.ndtri((reached / (2 * len(params[1]))).clamp(1e-15, 1 - 1e-15))
            means = torch.stack([family.mean(p).mean(0) for p in params], dim=-1)
            parts.append(torch.cat([found.movedim(0, -1), means], dim=-1))
        return torch.cat(parts, dim=-2)

    size = min(chunk_size(before, len(points) * before.n_members), _BLOCK, len(rows))
    found = by_rows(compared, before, size, values[rows], observed[rows])
    missing = ~observed[rows]
    for i in range(values.shape[1]):
        of_cells = found[missing[:, i], i]
        if len(of_cells) >= _FEWEST_MISSING and of_cells.isfinite().all():
            calibration.carry_over(i, of_cells[:, :-2].quantile(0.5, dim=0))
            matching.carry_over(i, *of_cells[:, -2:].T)


def _weights(log_odds: np.ndarray) -> np.ndarray:
    """What cells count for missing ones, drawn to equal weights as far as is needed for them not to be too few."""
    weights = np.exp(log_odds - log_odds.max(initial=-np.inf))
    while len(weights) > _FEWEST_CELLS > effective_number(weights):
        weights = weights**_MILDER
    return weights


def _held_out(model, values, visible, held, cells, points, half_steps, calibration=None):
    """What is predicted of every feature's held-out cells, float64 ndarrays (n_cells, ...): the probability of less
    than the truth, and of at most the truth; the mean, of numbers; the log probabilities of true levels, at each of
    `TEMPERATURES`; and quantiles. NaN where a feature has no such thing."""
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
        return torch.cat([torch.cat(parts, dim=-2), quantiles], dim=-1)

    size = min(chunk_size(model, len(points) * model.n_members), len(values))
    of_rows = values, visible.movedim(-2, 0), held.movedim(-2, 0)
    found: list[list[np.ndarray]] = [[] for _ in cells]
    for start in range(0, len(values), _BLOCK):  # most cells are not held out, and need no memory
        block = slice(start, start + _BLOCK)
        numbers = by_rows(predicted, model, size, *(x[block] for x in of_rows)).numpy()
        for i, (parts, cell) in enumerate(zip(found, cells, strict=True)):
            parts.append(numbers[cell[block].numpy(), i])
    return [np.concatenate(parts) for parts in found]


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
