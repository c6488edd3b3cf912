"""Why cells are missing: by chance, for what other columns hold, or for their own value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from skhvae.features import Feature
from skhvae.gaps import FEWEST_CELLS, GapRegression, OtherColumns
from skhvae.inference import predictive
from skhvae.models import VAE
from skhvae.selection import SelectionModel

__all__ = ["MECHANISMS", "explain_missingness"]

MECHANISMS = ("auto", "mar", "mnar")

# Fewer rows of wide tables: a step of a regression costs rows times columns squared.
_ENOUGH_ROWS, _MOST_WORK = 8192, 2**25
_MOST_PASSES = 32  # through the model; with more columns, several are predicted together
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
    others = OtherColumns(values, observed, features)
    known, scores = others.known, others.scores
    functions: list = [None] * len(features)
    nats = np.full((len(features), 3), np.nan)
    n_known, n_gaps = known.sum(0), (~known).sum(0)
    asked = [
        i
        for i, score in enumerate(scores)
        if mechanism != "mar" and score.usable and min(n_known[i], n_gaps[i]) >= FEWEST_CELLS
    ]
    n_passes = min(len(asked), _MOST_PASSES)
    for together in (asked[start::n_passes] for start in range(n_passes)):
        rest = observed.clone()
        rest[:, together] = False
        predicted = predictive(model, values, rest, points, together)
        for i, distribution in zip(together, predicted, strict=True):
            if not all(x.isfinite().all() for x in distribution):
                continue  # a model without a prediction says nothing about its gaps
            where, what = others.of(i)
            gaps, own_value = ~known[:, i], scores[i].predicted(*distribution)
            own = GapRegression(gaps, [where], own_value)
            functions[i] = scores[i].knots, scores[i].basis(scores[i].knots) @ own.of_value
            by_gaps = GapRegression(gaps, [where]).gain
            nats[i, :2] = by_gaps, own.gain - by_gaps
            if nats[i, 1] > _CONVINCING:
                nats[i, 2] = GapRegression(gaps, [where, what]).gain - by_gaps
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
