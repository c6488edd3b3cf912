"""Generated tables with every feature type, whose best possible imputation is known."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from statistics import NormalDist

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from skhvae.evaluation import imputation_errors
from skhvae.typing import Seed

_EPOCH = pd.Timestamp("2020-01-01").to_datetime64().astype("datetime64[s]")
_DAY = 86_400


def make_heterogeneous(
    n_rows: int = 1000,
    *,
    n_real: int = 2,
    n_positive: int = 2,
    n_count: int = 1,
    n_binary: int = 1,
    n_nominal: int = 2,
    n_ordinal: int = 1,
    n_datetime: int = 1,
    n_levels: int = 5,
    latent_dim: int = 2,
    noise: float = 0.3,
    random_state: Seed = None,
) -> Bunch:
    """Generate a complete table of mixed types whose columns depend on each other.

    Every column is a different non-linear function f of the same latent variables z, plus noise
    of its own. Numeric columns have very different scales, from hundredths to hundreds of thousands.

    Parameters
    ----------
    n_rows : int, default=1000
    n_real, n_positive, n_count, n_binary, n_nominal, n_ordinal, n_datetime : int
        The number of columns of each feature type.
    n_levels : int, default=5
        The number of levels of nominal and ordinal columns, at least 3 (two would be binary).
    latent_dim : int, default=2
        The number of latent variables.
    noise : float, default=0.3
        The standard deviation of the columns' own noise; that of f is about 1. At 0 the latent
        variables determine every column but the counts.
    random_state : int, numpy Generator or None, default=None
        The functions do not depend on `n_rows`: an int gives two tables of different lengths the
        same functions.

    Returns
    -------
    Bunch
        - ``data`` : DataFrame of shape (n_rows, n_columns), with ``float64``, ``int64``, ``bool``,
          ``category``, ordered ``category`` and ``datetime64[s]`` columns;
        - ``feature_types`` : {column: feature type}, what `skhvae.schema.infer_schema` infers
          unless the rows are too few to show it;
        - ``latent`` : ndarray of shape (n_rows, latent_dim), standard normal;
        - ``best`` : DataFrame of shape (n_rows, n_columns), the point predictions that nobody can
          better who knows z: the mean of numeric columns (``float64`` for counts), the mode of
          binary and nominal ones, the median of ordinal ones;
        - ``best_error`` : callable, ``best_error(hidden)`` is the DataFrame of
          `skhvae.evaluation.imputation_errors` for ``best``.

    Notes
    -----
    With :math:`y = f(z) + \\text{noise} \\cdot \\varepsilon`, :math:`\\varepsilon \\sim N(0, 1)`
    (Gumbel for nominal columns), and a column's own scale s, a value is

    ========  ==============================  ===============================
    type      value                           best prediction
    ========  ==============================  ===============================
    real      s y                             s f
    datetime  2020-01-01 + y years            2020-01-01 + f years
    positive  s exp(y)                        s exp(f + noise² / 2)
    count     Poisson(s exp(y))               s exp(f + noise² / 2)
    binary    y > 0                           f > 0
    ordinal   y between thresholds            f between the same thresholds
    nominal   argmax over levels k of y_k     argmax over levels k of f_k
    ========  ==============================  ===============================

    An imputer sees the other cells of a row and not z, so ``best_error`` is a bound that it comes
    near to with many columns and little noise. Of few cells an imputer may be better by chance.

    Examples
    --------
    >>> from skhvae.datasets import make_heterogeneous
    >>> made = make_heterogeneous(n_rows=200, n_positive=1, n_nominal=1, random_state=0)
    >>> made.data.dtypes
    real_1                float64
    real_2                float64
    positive_1            float64
    count_1                 int64
    binary_1                 bool
    nominal_1            category
    ordinal_1            category
    datetime_1      datetime64[s]
    dtype: object
    >>> from skhvae.evaluation import hide_cells
    >>> with_gaps, hidden = hide_cells(made.data, fraction=0.3, random_state=0)
    >>> made.best_error(hidden)[["metric", "error", "baseline"]].round(2)
                    metric  error  baseline
    feature
    real_1           nrmse   0.05      0.21
    real_2           nrmse   0.06      0.19
    positive_1       nrmse   0.04      0.09
    count_1          nrmse   0.10      0.18
    binary_1    error rate   0.07      0.56
    nominal_1   error rate   0.15      0.66
    ordinal_1   rank error   0.08      0.24
    datetime_1       nrmse   0.05      0.14
    """
    numbers = {
        "real": n_real,
        "positive": n_positive,
        "count": n_count,
        "binary": n_binary,
        "nominal": n_nominal,
        "ordinal": n_ordinal,
        "datetime": n_datetime,
    }
    _check(numbers, n_rows, n_levels, latent_dim, noise)
    rng = np.random.default_rng(random_state)
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    names = [f"{kind}_{i + 1}" for kind, number in numbers.items() for i in range(number)]
    # All that describes the columns is drawn before the rows, whose number it must not depend on.
    functions = [_Function(n_levels if kind == "nominal" else 1, latent_dim, rng) for kind in kinds]
    scales = 10 ** rng.uniform(-2, 5, size=len(kinds))
    latent = rng.standard_normal((n_rows, latent_dim))
    columns, centres = {}, {}
    for name, kind, function, scale in zip(names, kinds, functions, scales, strict=True):
        clean = function(latent)
        columns[name], centres[name] = _COLUMNS[kind](clean, noise, scale, n_levels, rng)
    data, best = pd.DataFrame(columns), pd.DataFrame(centres)
    feature_types = dict(zip(names, kinds, strict=True))
    return Bunch(
        data=data,
        feature_types=feature_types,
        latent=latent,
        best=best,
        best_error=partial(imputation_errors, data, best, feature_types=feature_types),
    )


def _check(numbers, n_rows, n_levels, latent_dim, noise) -> None:
    counts = {f"n_{kind}": (number, 0) for kind, number in numbers.items()}
    counts |= dict(n_rows=(n_rows, 1), n_levels=(n_levels, 3), latent_dim=(latent_dim, 1))
    for name, (value, least) in counts.items():
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, found {value!r}.")
    if not any(numbers.values()):
        raise ValueError("The table must have a column, found 0 for every feature type.")
    if not (isinstance(noise, Real) and 0 <= float(noise) < np.inf):
        raise ValueError(f"noise must be a non-negative number, found {noise!r}.")


class _Function:
    """``f(z) = (u·z + sin(2 v·z)) / sqrt(1.5)`` with random directions u and v.

    Standard normal z make it vary by about 1. The sine makes it more than a linear regression.
    """

    def __init__(self, n_outputs, latent_dim, rng):
        directions = rng.standard_normal((2, latent_dim, n_outputs))
        self.linear, self.wave = directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def __call__(self, latent) -> np.ndarray:
        """Values of shape (n_rows, n_outputs)."""
        return (latent @ self.linear + np.sin(2 * latent @ self.wave)) / np.sqrt(1.5)


def _noisy(clean, noise, rng) -> np.ndarray:
    return clean + noise * rng.standard_normal(clean.shape)


def _real(clean, noise, scale, n_levels, rng):
    return scale * _noisy(clean, noise, rng)[:, 0], scale * clean[:, 0]


def _positive(clean, noise, scale, n_levels, rng):
    value = scale * np.exp(_noisy(clean, noise, rng)[:, 0])
    return value, scale * np.exp(clean[:, 0] + noise**2 / 2)


def _count(clean, noise, scale, n_levels, rng):
    rate = 1 + scale**0.5  # some hundreds at most, so that counts are few
    value, mean = _positive(clean, noise, rate, n_levels, rng)
    return rng.poisson(value), mean


def _binary(clean, noise, scale, n_levels, rng):
    return _noisy(clean, noise, rng)[:, 0] > 0, clean[:, 0] > 0


def _nominal(clean, noise, scale, n_levels, rng):
    levels = [f"level {k}" for k in range(1, n_levels + 1)]
    value = clean + noise * rng.gumbel(size=clean.shape)
    return tuple(pd.Categorical.from_codes(y.argmax(axis=1), levels) for y in (value, clean))


def _ordinal(clean, noise, scale, n_levels, rng):
    spread = NormalDist(sigma=np.sqrt(1 + noise**2))
    thresholds = [spread.inv_cdf(k / n_levels) for k in range(1, n_levels)]
    levels = [str(k) for k in range(1, n_levels + 1)]
    return tuple(
        pd.Categorical.from_codes(np.searchsorted(thresholds, y[:, 0]), levels, ordered=True)
        for y in (_noisy(clean, noise, rng), clean)
    )


def _datetime(clean, noise, scale, n_levels, rng):
    return tuple(
        _EPOCH + np.rint(365 * _DAY * y[:, 0]).astype("timedelta64[s]")
        for y in (_noisy(clean, noise, rng), clean)
    )


_COLUMNS = {
    "real": _real,
    "positive": _positive,
    "count": _count,
    "binary": _binary,
    "nominal": _nominal,
    "ordinal": _ordinal,
    "datetime": _datetime,
}
