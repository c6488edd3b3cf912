"""Why cells are missing: by chance, for what other columns hold, or for their own value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp, ndtri
from torch import Tensor

from skhvae.features import Feature
from skhvae.inference import predictive
from skhvae.models import VAE
from skhvae.selection import SelectionModel

__all__ = ["MECHANISMS", "explain_missingness"]

MECHANISMS = ("auto", "mar", "mnar")

_ENOUGH_ROWS = 8192
_MOST_WORK = (
    2**25
)  # rows times columns squared, what a step of a regression costs: fewer rows of wide tables
_MOST_PASSES = 32  # through the model; with more columns, several are predicted together
_FEWEST_CELLS = 20  # missing and observed ones, below which nothing is asked
_MOST_LEVELS = 64  # of a nominal feature; more cannot be told apart by their missing cells
_MOST_SYMBOLS = 10  # of a nominal feature, when it is to explain the gaps of another
_MOST_KNOTS = 33
# Coefficients are normal a priori with mean 0 and these precisions, in units of a normal score.
_OWN_PRECISION, _VALUES_PRECISION, _GAPS_PRECISION = 0.5, 3.0, 10.0
_CONVINCING = 5.0  # nats: by chance once in two thousand columns
_MANY = 1 / 3  # of the columns with gaps
_BETTER = 1.01  # ratio of nats that is more than a tie
_CLOSE = 1.5  # ratio of nats up to which two explanations are about as good


def explain_missingness(
    model: VAE,
    values: Tensor,
    observed: Tensor,
    points: Tensor,
    features: Sequence[Feature],
    mechanism: str,
    generator: torch.Generator,
) -> tuple[SelectionModel | None, pd.DataFrame]:
    r"""Find the features whose cells are missing for their own value, and how.

    Two explanations of a feature's gaps compete: a logistic regression on what the other columns
    hold (at random, in Rubin's sense); and one on the cell's own value (self-masking). The latter is unknown
    where it matters, but the model predicts it from the others, and a value :math:`x` with log odds
    :math:`a + s(x)` of being missing makes the log odds in a row

    .. math:: \log \frac{P(\text{missing} \mid \text{others})}{P(\text{observed} \mid \text{others})}
              = a + \log E[e^{s(x)} \mid \text{others}, \text{observed}]

    (Kim and Yu 2011, doi 10.1198/jasa.2011.tm10104). So the two explain the same data, and can be
    compared; which one is right cannot be known from them (Molenberghs et al. 2008, doi
    10.1111/j.1467-9868.2007.00640.x), only which one predicts the gaps better. Of features with an order
    :math:`s` is linear in the normal score of the value's rank, of others free for every level. Both
    may also say that cells of some columns are missing together.

    Parameters
    ----------
    model : VAE
        Trained on the observed cells.
    values : Tensor of shape (n_rows, n_features)
    observed : bool Tensor of shape (n_rows, n_features)
    points : Tensor of shape (S, noise_dim)
    features : sequence of Feature
        In packed order.
    mechanism : {"auto", "mar", "mnar"}
        "mar" takes the gaps of no feature to tell of their values, "mnar" those of all; with "auto", the
        better explanation decides and, where that is not clear, what most columns say.
    generator : torch.Generator
        On the CPU: which rows stand for a large table.

    Returns
    -------
    SelectionModel or None
        None if it applies to no feature.
    DataFrame
        A row a feature, see ``HeterogeneousVAEImputer.missingness_``.
    """
    n_missing = (~observed).sum(0).tolist()
    n_rows = min(_ENOUGH_ROWS, max(512, _MOST_WORK // max(len(features), 1) ** 2))
    rows = torch.randperm(len(values), generator=generator)[:n_rows].sort().values
    values, observed = values[rows], observed[rows]
    known = observed.numpy()
    scores = [_Score(x[y], f) for x, y, f in zip(values.numpy().T, known.T, features, strict=True)]
    contents = [s.columns(x, y) for s, x, y in zip(scores, values.numpy().T, known.T, strict=True)]
    functions: list = [None] * len(features)
    nats = np.full((len(features), 3), np.nan)
    n_known, n_gaps = known.sum(0), (~known).sum(0)
    asked = [
        i
        for i, score in enumerate(scores)
        if mechanism != "mar" and score.usable and min(n_known[i], n_gaps[i]) >= _FEWEST_CELLS
    ]
    n_passes = min(len(asked), _MOST_PASSES)
    for together in (asked[start::n_passes] for start in range(n_passes)):
        rest = observed.clone()
        rest[:, together] = False
        predicted = predictive(model, values, rest, points, together)
        for i, distribution in zip(together, predicted, strict=True):
            if not all(x.isfinite().all() for x in distribution):
                continue  # a model without a prediction says nothing about its gaps
            where = np.delete(known, i, axis=1)
            where = where[:, where.any(0) & ~where.all(0)].astype(float), _GAPS_PRECISION
            what = (
                np.hstack([where[0][:, :0], *contents[:i], *contents[i + 1 :]]),
                _VALUES_PRECISION,
            )
            gaps, own_value = ~known[:, i], scores[i].predicted(*distribution)
            own = _Regression(gaps, [where], own_value)
            functions[i] = scores[i].knots, scores[i].basis(scores[i].knots) @ own.of_value
            by_gaps = _Regression(gaps, [where]).gain
            nats[i, :2] = by_gaps, own.gain - by_gaps
            if nats[i, 1] > _CONVINCING:
                nats[i, 2] = _Regression(gaps, [where, what]).gain - by_gaps
    asked = ~np.isnan(nats[:, 1])
    chosen = asked.copy()
    if mechanism == "auto" and asked.any():
        chosen[asked] = _own_is_better(*nats[asked].T)
    report = pd.DataFrame(
        {
            "n_missing": n_missing,
            "mechanism": np.where(chosen, "mnar", "mar"),
            **dict(zip(("other_gaps", "own_value", "other_values"), nats.T, strict=True)),
        },
        index=pd.Index([feature.name for feature in features], name="feature", tupleize_cols=False),
    )
    if not chosen.any():
        return None, report
    as_tensors = (
        tuple(torch.tensor(x, dtype=torch.float32) for x in function) if wanted else None
        for function, wanted in zip(functions, chosen, strict=True)
    )
    return SelectionModel(list(as_tensors)), report


def _own_is_better(gaps: NDArray, own: NDArray, others: NDArray) -> NDArray:
    """Whether a feature's gaps are explained better by its own values, from the nats of the explanations; the
    others' are NaN where the own values are not convincing.

    Ratios decide, since differences between two approximations grow with the table. What is close is decided
    by all columns together, and if many speak for their own values, so are those that say nothing: the
    gaps of one table are often of one kind. Otherwise a column must show more by its values than by being missing
    where others are: such blocks are special rows, and what they have in common need not hold for other gaps.
    """
    clear = ~np.isnan(others)
    ratio = np.maximum(own, 1.0) / np.where(clear, np.maximum(others, 1.0), 1.0)
    leans = own[clear].sum() > _BETTER * others[clear].sum()
    if leans and clear.mean() > _MANY:
        return ~clear | (ratio > 1 / _CLOSE)
    return clear & (ratio > (1 if leans else _CLOSE)) & (own > gaps)


class _Score:
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
            self.knots, self._of_knots = distinct[some], ndtri(middle[some])
        else:
            self.knots = np.arange(len(feature.levels), dtype=float)
            self._symbols = distinct[np.argsort(-counts, kind="stable")][:_MOST_SYMBOLS]

    def basis(self, values: NDArray) -> NDArray:
        """What the log odds are linear in, (..., n_coefficients), at values (...)."""
        if self.ordered:
            return np.interp(values, self.knots, self._of_knots)[..., None]
        return (values[..., None] == self.knots).astype(float)

    def columns(self, values: NDArray, observed: NDArray) -> NDArray:
        """What a table's column holds, as explanatory variables, (n_rows, n_columns)."""
        columns = self.basis(values) if self.ordered else values[:, None] == self._symbols[1:]
        return np.where(observed[:, None], columns, 0.0)

    def predicted(self, values: Tensor, probs: Tensor) -> tuple[NDArray, NDArray]:
        """Of values and their probabilities (n_rows, n_values) the logarithms of the latter, and what the
        log odds are linear in at the former."""
        values, probs = values.double().numpy(), probs.double().numpy()
        some = values if self.ordered else values[:1]  # levels are the same in all rows
        return np.log(probs.clip(min=1e-30)), self.basis(some)


class _Regression:
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
