"""What says that a cell is missing: where else its row has gaps, what the row holds, and the cell's own value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, ndtri
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from skhvae.features import Feature

__all__ = ["FEWEST_CELLS", "GapRegression", "OtherColumns", "Score", "odds_of_missing"]

FEWEST_CELLS = 20  # missing and observed ones, below which nothing is asked
_MOST_LEVELS = 64  # of a nominal feature; more cannot be told apart by their missing cells
_MOST_SYMBOLS = 10  # of a nominal feature, when it is to explain the gaps of another
_MOST_KNOTS = 33
# Coefficients are normal a priori with mean 0 and these precisions, in units of a normal score.
_OWN_PRECISION, _VALUES_PRECISION, _GAPS_PRECISION = 0.5, 3.0, 10.0
# For odds: of a large table; and of a wide one, those most correlated with the gaps (sure independence screening:
# Fan and Lv 2008, doi 10.1111/j.1467-9868.2008.00674.x).
_MOST_ROWS, _MOST_COLUMNS = 4096, 100


def odds_of_missing(values: Tensor, observed: Tensor, features: Sequence[Feature]) -> NDArray:
    """How much likelier each cell is to be missing than observed, by the row's other cells.

    So much does a cell that is observed count where it stands for missing ones (covariate shift: Shimodaira
    2000, doi 10.1016/S0378-3758(00)00115-4): weighted so, cells that are missing at random (Rubin 1976) are like
    those that are not.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
        In no particular order of the rows: of many, the first ones stand for all.
    observed : bool Tensor of shape (n_rows, n_features)
    features : sequence of Feature
        In packed order.

    Returns
    -------
    log_odds : float64 ndarray of shape (n_rows, n_features)
        Up to a constant of each feature; 0 of features of which too little is missing, or observed.
    """
    others = OtherColumns(values, observed, features)
    columns, owners = others.all()
    some, log_odds = columns[:_MOST_ROWS], np.zeros(values.shape)
    spread = some.std(0)
    for i in range(len(features)):
        gaps = ~others.known[:_MOST_ROWS, i]
        if min(gaps.sum(), (~gaps).sum()) < FEWEST_CELLS:
            continue
        related = np.abs((gaps - gaps.mean(dtype=some.dtype)) @ some)
        related /= np.where(spread > 0, spread, np.inf)
        related[owners == i] = 0
        best = np.argsort(-related, kind="stable")[: min(_MOST_COLUMNS, np.count_nonzero(related))]
        if len(best):
            found = LogisticRegression(solver="newton-cholesky")
            found.fit(some[:, best].astype(np.float64), gaps)
            log_odds[:, i] = columns[:, best] @ found.coef_[0].astype(columns.dtype)
    return log_odds


class OtherColumns:
    """What the rest of a row offers to explain a gap.

    Parameters
    ----------
    values, observed, features
        As for :func:`odds_of_missing`.

    Attributes
    ----------
    known : bool ndarray of shape (n_rows, n_features)
    scores : list of Score
        Of every feature.
    """

    def __init__(self, values: Tensor, observed: Tensor, features: Sequence[Feature]):
        self.known = observed.numpy()
        columns = list(zip(values.numpy().T, self.known.T, strict=True))
        self.scores = [Score(x[y], f) for (x, y), f in zip(columns, features, strict=True)]
        self._contents = [  # a column a level, so that wide tables need the memory
            score.columns(x, y).astype(np.float32)
            for score, (x, y) in zip(self.scores, columns, strict=True)
        ]

    def all(self) -> tuple[NDArray, NDArray]:
        """Everything that :meth:`of` can return, (n_rows, n_columns), in units in which all coefficients have
        precision 1, and of which feature each column is."""
        parts = [self.known.astype(np.float32) / _GAPS_PRECISION**0.5]
        parts += [content / _VALUES_PRECISION**0.5 for content in self._contents]
        sizes = [content.shape[1] for content in self._contents]
        features = np.arange(self.known.shape[1])
        return np.hstack(parts), np.concatenate([features, np.repeat(features, sizes)])

    def of(self, feature: int) -> tuple[tuple[NDArray, float], tuple[NDArray, float]]:
        """Which of the other cells are known, and what they hold, (n_rows, n_columns), each with the precision
        of its coefficients."""
        where = np.delete(self.known, feature, axis=1)
        where = where[:, where.any(0) & ~where.all(0)].astype(float)
        others = [*self._contents[:feature], *self._contents[feature + 1 :]]
        what = np.hstack([where[:, :0], *others])
        return (where, _GAPS_PRECISION), (what, _VALUES_PRECISION)


class Score:
    """A feature's values as explanatory variables.

    Parameters
    ----------
    known : ndarray of shape (n,)
        Its observed values, in model units.
    feature : Feature
    """

    def __init__(self, known: NDArray, feature: Feature):
        self.ordered = feature.type.estimate != "mode"
        distinct, counts = np.unique(known, return_counts=True)
        self.usable = len(distinct) > 1 and (self.ordered or len(feature.levels) <= _MOST_LEVELS)
        middle = (counts.cumsum() - counts / 2) / max(len(known), 1)
        if not len(distinct):  # a warm start's table may lack the column
            distinct, middle = np.zeros(1), np.full(1, 0.5)
        if self.ordered:
            some = np.arange(len(distinct))
            if len(distinct) > _MOST_KNOTS:  # at quantiles
                places = np.searchsorted(middle, np.linspace(0, 1, _MOST_KNOTS))
                some = np.unique(places.clip(max=len(distinct) - 1))
            self.knots, self.heights = distinct[some], ndtri(middle[some])
        else:
            self.knots = np.arange(len(feature.levels), dtype=float)
            self.symbols = distinct[np.argsort(-counts, kind="stable")][:_MOST_SYMBOLS]

    def basis(self, values: NDArray) -> NDArray:
        """What the log odds are linear in, (..., n_coefficients), at values (...)."""
        if self.ordered:
            return np.interp(values, self.knots, self.heights)[..., None]
        return (values[..., None] == self.knots).astype(float)

    def columns(self, values: NDArray, observed: NDArray) -> NDArray:
        """What a table's column holds, as explanatory variables, (n_rows, n_columns)."""
        columns = self.basis(values) if self.ordered else values[:, None] == self.symbols[1:]
        return np.where(observed[:, None], columns, 0.0)

    def predicted(self, values: Tensor, probs: Tensor) -> tuple[NDArray, NDArray]:
        """Of values and their probabilities (n_rows, n_values) the logarithms of the latter, and what the
        log odds are linear in at the former."""
        values, probs = values.double().numpy(), probs.double().numpy()
        some = values if self.ordered else values[:1]  # levels are the same in all rows
        return np.log(probs.clip(min=1e-30)), self.basis(some)


class GapRegression:
    """Logistic regression of gaps on columns and on what each row's own value may be.

    Parameters
    ----------
    gaps : bool ndarray of shape (n_rows,)
    columns : sequence of (ndarray of shape (n_rows, n_columns), float)
        With the precisions of their coefficients, which are normal a priori.
    predicted : (ndarray of shape (n_rows, n_values), ndarray of shape (n_rows or 1, n_values, p)), optional
        Log probabilities of the own value, and what the log odds are linear in there.

    Attributes
    ----------
    of_value : ndarray of shape (p,)
        Coefficients of the own value.
    gain : float
        Nats more than chance, less the number of parameters that the prior leaves free (Akaike).
    """

    def __init__(self, gaps: NDArray, columns, predicted=None):
        n_rows = len(gaps)
        self._log_probs, self._basis = predicted or (np.zeros((n_rows, 1)), np.zeros((1, 1, 0)))
        self._columns = np.column_stack([np.ones(n_rows), *(x for x, _ in columns)])
        precisions = [0.0], *(np.full(x.shape[1], p) for x, p in columns)
        precisions = np.concatenate([*precisions, np.full(self._basis.shape[-1], _OWN_PRECISION)])

        def loss(coefficients):
            log_odds, derivatives = self._log_odds(coefficients)
            penalty = precisions * coefficients
            value = 0.5 * penalty @ coefficients - _log_likelihood(log_odds, gaps)
            return value, derivatives.T @ (expit(log_odds) - gaps) + penalty

        def information(coefficients):
            log_odds, derivatives = self._log_odds(coefficients)
            chances = expit(log_odds)
            return derivatives.T @ (derivatives * (chances * (1 - chances))[:, None])

        def curvature(coefficients):  # Fisher's: it is positive, whatever the value's distribution
            return information(coefficients) + np.diag(precisions)

        chance = np.log(gaps.mean() / (1 - gaps.mean()))
        start = np.append(chance, np.zeros(len(precisions) - 1))
        best = minimize(loss, start, jac=True, hess=curvature, method="trust-exact").x
        free = np.linalg.lstsq(curvature(best), information(best), rcond=None)[0]
        gain = _log_likelihood(self._log_odds(best)[0], gaps) - _log_likelihood(chance, gaps)
        self.gain = gain - (np.trace(free) - 1)
        self.of_value = best[self._columns.shape[1] :]

    def _log_odds(self, coefficients: NDArray) -> tuple[NDArray, NDArray]:
        """Of every row, and their derivatives with respect to the coefficients."""
        of_columns, of_value = np.split(coefficients, [self._columns.shape[1]])
        terms = self._log_probs + self._basis @ of_value
        log_mean = logsumexp(terms, axis=1)
        slopes = (np.exp(terms - log_mean[:, None])[:, None, :] @ self._basis)[:, 0]
        return self._columns @ of_columns + log_mean, np.column_stack([self._columns, slopes])


def _log_likelihood(log_odds: NDArray | float, gaps: NDArray) -> float:
    return (gaps * log_odds - np.logaddexp(0, log_odds)).sum()
