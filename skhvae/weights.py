"""What the weights of rows mean: rows that stand in a table more than once, or count more than others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight

__all__ = ["check_weights", "repetitions"]

_MOST_REPEATED = 65_536  # rows that counts are written out to, where the table itself has fewer


def check_weights(sample_weight, n_rows: int) -> NDArray:
    """Weights of rows as scikit-learn checks them, float64 (n_rows,).

    Raises
    ------
    ValueError
        For another number of weights or dimensions, for negative weights, NaN and infinities, and if all
        are zero.
    """
    weights = _check_sample_weight(
        sample_weight, np.empty(n_rows), dtype=np.float64, ensure_non_negative=True
    )
    if not weights.any():  # older scikit-learn lets it pass
        raise ValueError("sample_weight must have at least one non-zero number, found zeros alone.")
    return weights


def repetitions(weights: NDArray) -> tuple[NDArray, NDArray | None]:
    """What weights mean: rows that stand in a table more than once, or count more than others.

    Whole numbers are counts, and are written out: a row of weight 3 stands in the table three times. If
    that makes too many rows, or weights are no whole numbers, every row stands there once and keeps its weight.
    A row of weight 0 is left out in any case.

    Parameters
    ----------
    weights : float ndarray of shape (n_rows,)
        Finite and not negative, some of them positive.

    Returns
    -------
    rows : int ndarray of shape (n_kept,)
        Which rows the table then has.
    weights : float ndarray of shape (n_kept,) or None
        Their weights, with mean 1; None if all are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from skhvae.weights import repetitions
    >>> repetitions(np.array([2.0, 0.0, 1.0]))
    (array([0, 0, 2]), None)
    >>> repetitions(np.array([1.5, 0.0, 0.5]))
    (array([0, 2]), array([1.5, 0.5]))
    """
    with np.errstate(over="ignore"):
        few = weights.sum() <= max(len(weights), _MOST_REPEATED)
    if few and (weights == np.rint(weights)).all():
        return np.repeat(np.arange(len(weights)), weights.astype(np.int64)), None
    rows = weights.nonzero()[0]
    kept = weights[rows] / weights.max()  # huge ones have no sum
    return rows, None if (kept == 1).all() else kept / kept.mean()
