"""Regressions of what a network leaves unexplained, so that draws keep the relations that a table has.

A network that stops in time has learned weak relations weakly, and draws from it have them weaker than the table: a
regression on draws is then biased towards nothing, however many there are (uncongeniality: Meng 1994, doi
10.1214/ss/1177010269). So every feature's residuals are regressed on all other features, in a table completed by draws
(data augmentation: Tanner and Wong 1987, doi 10.1080/01621459.1987.10478458), and draws are corrected by coefficients that
are themselves drawn from their posterior, once for a whole table (Rubin 1987, example 5.1): so tables differ
by what is not known of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg, special
from scipy.optimize import minimize
from torch import Tensor

from skhvae.calibration import Calibration
from skhvae.draws import draw_cells, turns
from skhvae.explanatory import Columns
from skhvae.features import Feature
from skhvae.inference import by_rows, chunk_size, predictions_at, steady
from skhvae.likelihoods import Likelihood
from skhvae.models import VAE
from skhvae.predictive import Shifts

__all__ = ["DrawnRegression", "ResidualRegression", "regress_residuals"]

_MOST_ROWS, _FEWEST_ROWS, _MOST_CELLS = 2048, 256, 65_536  # that regressions are made of
_FEWEST_CELLS = 50  # of a feature, below which it is left as it is
# Of a feature's regression; and how many cells each coefficient needs.
_MOST_COLUMNS, _MOST_COEFFICIENTS, _MOST_LEVELS, _CELLS_A_COEFFICIENT = 30, 90, 10, 10
_ROUNDS = 2  # of regressions, each in a table completed by the last one's
_SMALLEST_SPREAD = 0.1
_FARTHEST = 8.0  # normal scores
_LOGISTIC_VARIANCE = math.pi**2 / 3
_FLAT = 1e-3  # the precision of what is not to be drawn to 0
_SMALLEST_SCALE = 1e-6  # of normal scores, below which all are the same
_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class DrawnRegression:
    """A draw of all features' coefficients.

    Attributes
    ----------
    columns : Columns
    weights : list of Tensor of shape (n_columns + 1, n_features of the family, 1 or n_levels)
        By family, of numbers or of levels; the last row is constant.
    spreads : Tensor of shape (n_features,)
    """

    columns: Columns
    weights: list[Tensor]
    spreads: Tensor

    def of(self, values: Tensor) -> Shifts:
        """What to correct in the predictions of the cells of rows (B, n_features), each of which follows from all
        others."""
        columns = self.columns.of(values)
        shifts = [
            (columns @ own[:-1].flatten(1) + own[-1].flatten()).view(-1, *own.shape[1:])
            for own in self.weights
        ]
        return Shifts(shifts, self.spreads)


class ResidualRegression:
    r"""Posteriors of regressions of every feature's residuals on all other features.

    Numbers: :math:`u = a + x^\top b + \sigma \epsilon`, where u is the normal score of the level at which a cell's value
    lies in its predicted distribution. Cells that the network has learned lie closer to what it predicts for them than
    others do, by about as much as these lie farther from it than the truth would (Mallows 1973, doi
    10.1080/00401706.1973.10489103): so the variance of all u is taken to be half way between that of learned cells and
    that of calibrated ones, 1. Levels: log odds :math:`\log p_k + a_k + x^\top b_k` against the most frequent level.
    Slopes are normal a priori with mean 0, and as large as if all p columns together explained everything: where
    columns have variance 1, their precision is p, or p divided by the variance of a logistic distribution.

    Parameters
    ----------
    columns : Columns
    chosen : sequence of int Tensor of shape (p,)
        Which columns explain a feature.
    means : sequence of Tensor of shape (k, p + 1)
        Of the posteriors; the last coefficient is constant.
    factors : sequence of Tensor of shape (k * (p + 1), k * (p + 1))
        A matrix A for each, so that :math:`A A^\top` is the posterior's covariance.
    codes : sequence of int Tensor of shape (k,)
        Which levels the rows of `means` are of; 0 of numbers.
    spreads : Tensor of shape (n_features,)
    """

    def __init__(self, columns, chosen, means, factors, codes, spreads):
        self._columns, self._chosen, self._codes = columns, list(chosen), list(codes)
        self._means, self._factors, self._spreads = list(means), list(factors), spreads

    def drawn(
        self, families: Sequence[Likelihood], generator: np.random.Generator
    ) -> DrawnRegression:
        """Coefficients drawn from their posterior.

        Parameters
        ----------
        families : sequence of Likelihood
            In packed order.
        generator : numpy Generator
        """
        weights, feature = [], 0
        for family in families:
            n_own = len(family.initial)
            n_codes = family.probs(family.initial).shape[-1] if family.finite else 1
            own = self._spreads.new_zeros(len(self._columns.owners) + 1, n_own, n_codes)
            for i in range(n_own):
                mean, codes = self._means[feature], self._codes[feature]
                noise = torch.from_numpy(generator.standard_normal(mean.numel())).to(mean)
                drawn = mean + (self._factors[feature] @ noise).view_as(mean)
                own[self._chosen[feature][:, None], i, codes] = drawn[:, :-1].T
                own[-1, i, codes] = drawn[:, -1]
                feature += 1
            weights.append(own)
        return DrawnRegression(self._columns, weights, self._spreads)

    def to(self, device: torch.device) -> ResidualRegression:
        """A copy on another device."""
        parts = self._chosen, self._means, self._factors, self._codes
        moved = [[x.to(device) for x in part] for part in parts]
        return ResidualRegression(self._columns.to(device), *moved, self._spreads.to(device))


def regress_residuals(
    model: VAE,
    values: Tensor,
    observed: Tensor,
    features: Sequence[Feature],
    half_steps: Tensor,
    seed: int,
    *,
    calibration: Calibration,
    **options,
) -> list[ResidualRegression]:
    """Regress the residuals of every member of a model, each in a table that its own draws complete.

    Parameters
    ----------
    model : VAE
    values, observed : Tensor of shape (n_rows, n_features)
        In no particular order of the rows: of many, the first ones stand for all.
    features : sequence of Feature
        In packed order.
    half_steps : Tensor of shape (n_features,)
        As for :func:`skhvae.recalibration.recalibrate`.
    seed : int
    calibration, **options
        As for :func:`skhvae.draws.draw_cells`.

    Returns
    -------
    list of ResidualRegression
        One a member; none if there are too few cells for any.
    """
    n_rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _MOST_CELLS // values.shape[1]))
    values, observed = values[:n_rows], observed[:n_rows]
    if observed.sum(0).amax() < _FEWEST_CELLS:
        return []
    columns = Columns(values, observed, features)
    codes = [
        _common(x[y]) if feature.type.finite else np.zeros(1, dtype=np.int64)
        for x, y, feature in zip(values.numpy().T, observed.numpy().T, features, strict=True)
    ]

    def of_member(member: int) -> ResidualRegression:
        generator, found = np.random.default_rng([seed, member]), None

        def draw(values, visible, **more):
            order, levels = torch.from_numpy(generator.random((2, *values.shape)))
            given = dict(member=member, calibration=calibration, **options, **more)
            return draw_cells(model, values, visible, turns(~observed, order), levels, **given)

        completed = draw(values, observed)
        for _ in range(_ROUNDS):
            if found is not None:
                drawn = found.to(options["points"].device).drawn(model.heads.families, generator)
                completed = draw(completed, torch.ones_like(observed), shifts=drawn.of)
            predicted = _predictions(
                model, completed, half_steps, codes, member, options["points"], calibration
            )
            found = _regression(columns, completed, observed, features, codes, predicted, generator)
        return found

    return [of_member(member) for member in range(model.n_members)]


def _regression(columns: Columns, completed, observed, features, codes, predicted, generator):
    """Of all features, in a completed table."""
    x, truth, owners = columns.of(completed).numpy(), completed.numpy(), columns.owners.numpy()
    parts = []
    for i, (feature, levels, of_cells) in enumerate(zip(features, codes, predicted, strict=True)):
        rows, others = observed[:, i].numpy(), np.flatnonzero(owners != i)
        if rows.sum() < _FEWEST_CELLS or not len(levels):
            parts.append(_nothing(len(levels)))
        elif feature.type.finite:
            found = truth[rows, i, None] == levels
            parts.append(_of_levels(x[rows], found, of_cells[rows], others))
        else:
            parts.append(_of_numbers(x[rows], of_cells[rows], others, generator))
    *tensors, spreads = zip(*parts, strict=True)
    tensors = [[torch.from_numpy(part) for part in own] for own in (*tensors, codes)]
    return ResidualRegression(columns, *tensors, torch.tensor(spreads, dtype=torch.float64))


def _common(codes: NDArray) -> NDArray:
    """The most frequent levels but the first, which the others are compared with."""
    distinct, counts = np.unique(codes.astype(np.int64), return_counts=True)
    return distinct[np.argsort(-counts, kind="stable")][1:_MOST_LEVELS]


def _predictions(model, values, half_steps, codes, member, points, calibration):
    """What is predicted of each feature given all others, by one member, (n_rows, n) each: of a number, with what
    probability it is less, and at most, what it is; of levels, the log probabilities of all but `codes`, and of these."""
    model = steady(model)
    points = points.to(next(model.parameters()))
    half_steps = half_steps.to(points.device)
    calibration = calibration.to(points.device)
    size = chunk_size(model, len(points) * model.n_members)
    start = 0
    for position, family in enumerate(model.heads.families):
        own = slice(start, start + len(family.initial))
        start = own.stop
        for i in range(own.start, own.stop):

            @torch.no_grad()
            def predicted(values, i=i, own=own, position=position, family=family):
                visible = torch.ones_like(values, dtype=torch.bool)
                visible[:, i] = False
                params = predictions_at(model, values, visible, points)[position]
                params = (params if params.dim() == 4 else params[:, member]).double()
                if family.finite:
                    probs = calibration.probs(family.probs(params).mean(0), own)
                    some = probs[:, i - own.start, codes[i]]
                    rest = 1 - some.sum(1, keepdim=True)
                    return torch.cat([rest, some], dim=1).clamp(min=_SMALLEST_PROBABILITY).log()
                truth = values[:, own].double()
                low = torch.nextafter(truth - half_steps[own], truth.new_tensor(-math.inf))
                ends = low, truth + half_steps[own]
                levels = torch.stack([family.cdf(params, end).mean(0) for end in ends])
                levels = calibration.nominal_levels(levels, own)
                return levels[..., i - own.start].T

            yield by_rows(predicted, model, size, values).double().numpy()


def _chosen(x: NDArray, residuals: NDArray, others: NDArray) -> NDArray:
    """Those of the other columns that residuals (n, k) are most related with (sure independence screening)."""
    n_rows, k = residuals.shape
    related = np.abs(x[:, others].T @ residuals).max(1)
    related[related < 1e-9 * n_rows] = 0
    n_coefficients = min(_MOST_COEFFICIENTS, n_rows // _CELLS_A_COEFFICIENT)
    most = min(_MOST_COLUMNS, n_coefficients // k, np.count_nonzero(related))
    return others[np.sort(np.argsort(-related, kind="stable")[:most])]


def _prior(chosen: NDArray, variance: float) -> NDArray:
    """Precisions: of slopes, so that all columns together are expected to explain what varies; of a constant."""
    return np.append(np.full(len(chosen), len(chosen) / variance), _FLAT)


def _nothing(k: int):
    return np.zeros(0, dtype=np.int64), np.zeros((k, 1)), np.zeros((k, k)), 1.0


def _of_numbers(x: NDArray, ends: NDArray, others: NDArray, generator: np.random.Generator):
    """A linear regression: what :class:`ResidualRegression` is made of."""
    # A mass at a value is spread over its levels.
    low, high = ends.T
    levels = low + generator.random(len(low)) * (high - low)
    scores = special.ndtri(levels).clip(-_FARTHEST, _FARTHEST)
    mean, deviation = scores.mean(), scores.std()
    if deviation < _SMALLEST_SCALE:
        return _nothing(1)
    scores = (scores - mean) / deviation
    chosen = _chosen(x - x.mean(0), scores[:, None], others)
    means = np.append(x[:, chosen].mean(0), 0.0)
    design = np.column_stack([x[:, chosen], np.ones(len(x))]) - means
    precision = design.T @ design + np.diag(_prior(chosen, 1.0))
    best = linalg.solve(precision, design.T @ scores, assume_a="pos")
    spread = math.sqrt(max(1 - (design @ best).var(), _SMALLEST_SPREAD**2))
    factor = spread * linalg.inv(linalg.cholesky(precision))
    scale = math.sqrt((1 + deviation**2) / 2)
    # Of columns that are not centred.
    back = np.eye(len(best))
    back[-1, :-1] = -means[:-1]
    best = scale * (back @ best)
    best[-1] += mean
    return chosen, best[None], scale * (back @ factor), scale * spread


def _of_levels(x: NDArray, found: NDArray, log_probs: NDArray, others: NDArray):
    """A multinomial logistic regression with offsets: its posterior by Laplace's approximation."""
    n_rows, k = found.shape
    chosen = _chosen(x, found - np.exp(log_probs[:, 1:]), others)
    design = np.column_stack([x[:, chosen], np.ones(n_rows)])
    prior = np.tile(_prior(chosen, _LOGISTIC_VARIANCE), k)
    truth = np.column_stack([~found.any(1), found])

    def log_probs_at(coefficients):
        logits = log_probs.copy()
        logits[:, 1:] += design @ coefficients.reshape(k, -1).T
        return special.log_softmax(logits, axis=1)

    def loss(coefficients):
        logs = log_probs_at(coefficients)
        slopes = (np.exp(logs[:, 1:]) - found).T @ design
        penalty = prior * coefficients
        return 0.5 * penalty @ coefficients - logs[truth].sum(), slopes.ravel() + penalty

    def curvature(coefficients):
        probs = np.exp(log_probs_at(coefficients)[:, 1:])
        weighted = (probs[:, :, None] * design[:, None]).reshape(n_rows, -1)
        blocks = [design.T @ (p[:, None] * design) for p in probs.T]
        return linalg.block_diag(*blocks) - weighted.T @ weighted + np.diag(prior)

    start = np.zeros(len(prior))
    best = minimize(loss, start, jac=True, hess=curvature, method="trust-exact").x
    factor = linalg.inv(linalg.cholesky(curvature(best)))
    return chosen, best.reshape(k, -1), factor, 1.0
