"""Rubin's rules: one result from analyses of several imputations."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["PooledEstimates", "pool"]

Numbers = Any  # a float, an ndarray or a Series of k, as the estimates are


@dataclass(frozen=True)
class PooledEstimates:
    """Estimates pooled over imputations, and what is known of their errors.

    Attributes
    ----------
    n_imputations : int
        m.
    estimate : float, ndarray or Series of shape (k,)
        Mean over the imputations.
    within, between : like `estimate`
        Mean squared standard error of the imputations, and the variance of their estimates.
    variance : like `estimate`
        Of the estimate, ``within + (1 + 1 / m) * between``.
    dof : like `estimate`
        Degrees of freedom of Student's t.
    relative_increase : like `estimate`
        By how much missing cells increase the variance, relative to `within`.
    fraction_missing : like `estimate`
        Share of the variance that is due to missing cells.
    fraction_missing_information : like `estimate`
        Share of the information that they take.
    covariance : ndarray or DataFrame of shape (k, k), or None
        Of the estimates, if covariance matrices were given.
    """

    n_imputations: int
    estimate: Numbers
    within: Numbers
    between: Numbers
    variance: Numbers
    dof: Numbers
    relative_increase: Numbers
    fraction_missing: Numbers
    fraction_missing_information: Numbers
    covariance: np.ndarray | pd.DataFrame | None = None

    @property
    def std_error(self) -> Numbers:
        """Square root of `variance`."""
        return self.variance**0.5

    def interval(self, coverage: float = 0.95) -> tuple[Numbers, Numbers]:
        """Ends of the central interval of Student's t, each like `estimate`.

        They are infinite where `dof` is too near 0 for finite ones.

        Raises
        ------
        ValueError
            If `coverage` is not in (0, 1).
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be a number between 0 and 1, found {coverage!r}.")
        dof = np.asarray(self.dof)
        # Tails go as |t|^-dof: few degrees of freedom have quantiles whose squares overflow, in scipy too.
        overflow = dof * np.log(np.finfo(float).max) / 2 <= -np.log1p(-coverage)
        quantile = np.where(overflow, np.inf, stats.t.ppf((1 + coverage) / 2, dof))
        half = self._like(quantile) * self.std_error
        return self.estimate - half, self.estimate + half

    def p_values(self, null: float = 0.0) -> Numbers:
        """Two-sided p-values of Student's t against a value, like `estimate`."""
        dof = np.asarray(self.dof)
        p_values = 2 * stats.t.sf(np.abs(self._statistic(null)), dof)
        return self._like(np.where(dof == 0, 1.0, p_values))

    def to_frame(self, coverage: float = 0.95) -> pd.DataFrame:
        """A row a coefficient; its statistic and p-value are against 0."""
        low, high = self.interval(coverage)
        columns = {
            "estimate": self.estimate,
            "std_error": self.std_error,
            "statistic": self._statistic(0.0),
            "dof": self.dof,
            "p_value": self.p_values(),
            "lower": low,
            "upper": high,
            "fraction_missing_information": self.fraction_missing_information,
        }
        return pd.DataFrame({name: pd.Series(column) for name, column in columns.items()})

    def _statistic(self, null: float) -> Numbers:
        distance, error = np.asarray(self.estimate - null), np.asarray(self.std_error)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return self._like(np.where(distance == 0, 0.0, distance / error))

    def _like(self, values: Any) -> Numbers:
        if isinstance(self.estimate, pd.Series):
            return pd.Series(values, index=self.estimate.index)
        return float(values) if isinstance(self.estimate, float) else values


def pool(estimates: Any, variances: Any, dof_complete: float | None = None) -> PooledEstimates:
    r"""Pool the results of one analysis of several imputations by Rubin's rules [1]_.

    .. math:: \bar Q = \frac1m \sum_i Q_i, \qquad
              T = \frac1m \sum_i U_i + \left(1 + \frac1m\right) \frac1{m - 1} \sum_i (Q_i - \bar Q)^2

    with the degrees of freedom of Barnard and Rubin [2]_, which are never more than those of the analysis
    of a complete table.

    Parameters
    ----------
    estimates : array-like of shape (m,) or (m, k), DataFrame or list of Series
        A row an imputation: estimates of a number, or of k.
    variances : array-like of shape (m,), (m, k) or (m, k, k)
        Their squared standard errors, or their covariance matrices.
    dof_complete : float or None, default=None
        Residual degrees of freedom of the analysis of a complete table; None or ``inf`` is infinitely many.

    Returns
    -------
    PooledEstimates
        Floats for a number, arrays for several, Series where the estimates have names.

    Raises
    ------
    ValueError
        If there are fewer than two imputations, if shapes or names do not fit, if a variance is negative or a
        number not finite, or if `dof_complete` is not positive.

    References
    ----------
    .. [1] Rubin, Multiple Imputation for Nonresponse in Surveys, 1987, eq. 3.1.2 to 3.1.10.
    .. [2] Barnard and Rubin, "Small-sample degrees of freedom with multiple imputation", Biometrika 86(4),
       1999, eq. 3 to 5.

    Examples
    --------
    >>> import skhvae
    >>> pooled = skhvae.pool([10.0, 12.0, 11.0], [1.0, 1.2, 0.8], dof_complete=50)
    >>> low, high = pooled.interval(0.95)
    >>> round(pooled.estimate, 3), round(pooled.std_error, 3), round(low, 2), round(high, 2)
    (11.0, 1.528, 7.0, 15.0)

    Coefficients keep their names:

    >>> import pandas as pd
    >>> estimates = pd.DataFrame({"age": [0.5, 0.7], "sex": [-1.0, -1.4]})
    >>> skhvae.pool(estimates, [[0.04, 0.25], [0.06, 0.35]]).std_error.round(3)
    age    0.283
    sex    0.648
    dtype: float64
    """
    _check_dof(dof_complete)
    index = _names_of(estimates, "estimates")
    _check_names(index, _names_of(variances, "variances"))
    estimates, variances = _numbers(estimates, "estimates"), _numbers(variances, "variances")
    scalar = estimates.ndim == 1
    q = estimates[:, np.newaxis] if scalar else estimates
    u = variances[:, np.newaxis] if scalar and variances.ndim == 1 else variances
    _check(estimates, variances, q, u)
    m, matrices = len(q), u.ndim == 3
    deviations = q - q[0]  # exactly 0 where all imputations agree
    covariance = None
    if matrices:
        between = np.atleast_2d(np.cov(deviations, rowvar=False))
        covariance = u.mean(0) + (1 + 1 / m) * between
        u = np.diagonal(u, axis1=1, axis2=2)
    within, between = u.mean(0), deviations.var(0, ddof=1)
    added = (1 + 1 / m) * between
    variance = within + added
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        increase = np.where(added > 0, added / within, 0.0)
        share = np.where(added > 0, added / variance, 0.0)
        rest = np.where(added > 0, within / variance, 1.0)
        inverse = share**2 / (m - 1)  # 0 where all imputations agree
        if dof_complete is not None and np.isfinite(dof_complete):
            observed = (dof_complete + 1) / (dof_complete + 3) * dof_complete * rest
            inverse = inverse + 1 / observed
        dof = 1 / inverse
    # (r + 2 / (dof + 3)) / (1 + r), also where nothing is known within the imputations
    information = share + rest * 2 / (dof + 3)

    def shaped(values: np.ndarray) -> Numbers:
        if index is not None:
            return pd.Series(values, index=index)
        return float(values[0]) if scalar else values

    if covariance is not None and index is not None:
        covariance = pd.DataFrame(covariance, index=index, columns=index)
    parts = {
        "estimate": q[0] + deviations.mean(0),
        "within": within,
        "between": between,
        "variance": variance,
        "dof": dof,
        "relative_increase": increase,
        "fraction_missing": share,
        "fraction_missing_information": information,
    }
    each = {name: shaped(part) for name, part in parts.items()}
    return PooledEstimates(m, **each, covariance=covariance)


def _numbers(values, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numbers, of the same shape for every imputation: {error}"
        ) from error


def _names_of(values, name: str) -> pd.Index | None:
    """Names of the k coefficients, None if they have none."""
    if isinstance(values, pd.DataFrame):
        return values.columns
    kinds = pd.Series if name == "estimates" else pd.Series | pd.DataFrame
    if not isinstance(values, list | tuple) or not all(isinstance(v, kinds) for v in values):
        return None
    axes = [axis for one in values for axis in one.axes]
    different = [axis for axis in axes if not axis.equals(axes[0])]
    if different:
        raise ValueError(
            f"{name} of all imputations must have the same names in the same order, found "
            f"{axes[0].tolist()} and {different[0].tolist()}."
        )
    return axes[0] if axes else None


def _check_dof(dof_complete) -> None:
    number = isinstance(dof_complete, Real) and not isinstance(dof_complete, bool)
    if dof_complete is not None and not (number and dof_complete > 0):
        raise ValueError(f"dof_complete must be a positive number or None, found {dof_complete!r}.")


def _check_names(estimates: pd.Index | None, variances: pd.Index | None) -> None:
    if estimates is None or variances is None or isinstance(variances, pd.RangeIndex):
        return
    if not estimates.equals(variances):
        raise ValueError(
            "estimates and variances must have the same names in the same order, found "
            f"{estimates.tolist()} and {variances.tolist()}."
        )


def _check(estimates, variances, q, u) -> None:
    if estimates.ndim not in (1, 2):
        raise ValueError(f"estimates must be of shape (m,) or (m, k), found {estimates.shape}.")
    if len(q) < 2:
        raise ValueError(
            f"At least two imputations are needed to see how they differ, found {len(q)}."
        )
    if u.shape not in (q.shape, (*q.shape, q.shape[1])):
        raise ValueError(
            "variances must be of the shape of estimates, or of (m, k, k), found "
            f"{variances.shape} and estimates of {estimates.shape}."
        )
    own = u if u.ndim == 2 else np.diagonal(u, axis1=1, axis2=2)
    if not np.isfinite(q).all() or not np.isfinite(u).all() or (own < 0).any():
        raise ValueError(
            "estimates must be finite, and variances finite and not negative, found "
            f"{int((~np.isfinite(q)).sum())} estimates and {int((~np.isfinite(u)).sum())} variances "
            f"that are not finite, and {int((own < 0).sum())} negative variances."
        )
