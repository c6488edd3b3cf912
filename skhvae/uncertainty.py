"""What an imputer says beyond its best guesses: draws, distributions, intervals, densities, synthetic rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skhvae.chunks import one_table
from skhvae.columns import check_columns

if TYPE_CHECKING:
    from skhvae.engine import Engine
    from skhvae.typing import RandomState, Table

__all__ = ["UncertaintyMixin", "check_coverage"]


class UncertaintyMixin:
    """The part of an imputer that asks its engine how sure it is."""

    _engine: Engine
    keep_empty_features: bool
    random_state: RandomState
    _given_back: Callable[..., Any]

    def sample_imputations(
        self,
        X: Table,
        n_imputations: int = 5,
        random_state: RandomState = None,
        calibrate: bool = True,
    ) -> list[Any]:
        """Multiple imputation: several completed tables, which differ where `X` leaves doubt.

        The missing cells of a row are drawn jointly (see Notes). Analyse every table, and combine the results with
        :func:`skhvae.pool`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        n_imputations : int, default=5
        random_state : int, RandomState instance or None, default=None
            An int makes the draws reproducible; None takes the estimator's own `random_state`.
        calibrate : bool, default=True
            Whether to draw from the distributions calibrated on cells held out in fit, and corrected by regressions
            of the network's residuals on all other columns.

        Returns
        -------
        list of n_imputations tables
            Each as :meth:`transform` returns it.

        Raises
        ------
        ValueError
            If `n_imputations` is not a positive integer, and as for :meth:`transform`.

        Notes
        -----
        The cells of a row are drawn one after the other in random order, each given the observed ones and those
        drawn before; then twice more, each given all others. Every imputation draws the coefficients of the regressions
        that correct it anew from their posterior (Rubin 1987, example 5.1), and with several members (`n_members`)
        imputation i is drawn from member i modulo their number: so tables differ by what is not known of the model, too.
        A row's draws do not depend on the rows beside it. A row of more than 32 missing cells is drawn in 32 turns.

        Examples
        --------
        >>> from skhvae import HeterogeneousVAEImputer
        >>> from skhvae.datasets import make_heterogeneous
        >>> from skhvae.evaluation import hide_cells
        >>> table, _ = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
        >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
        >>> draws = imputer.sample_imputations(table, n_imputations=3, random_state=0)
        >>> len(draws), [int(draw.isna().sum().sum()) for draw in draws]
        (3, [0, 0, 0])
        """
        return list(self.iter_imputations(X, n_imputations, random_state, calibrate))

    def iter_imputations(
        self,
        X: Table,
        n_imputations: int = 5,
        random_state: RandomState = None,
        calibrate: bool = True,
    ) -> Iterator[Any]:
        """The tables of :meth:`sample_imputations`, one at a time, so that no more than one is in memory.

        Parameters
        ----------
        X, n_imputations, random_state, calibrate
            As there.

        Yields
        ------
        DataFrame or ndarray of shape (n_rows, n_features_out)
        """
        check_is_fitted(self)
        _check_positive("n_imputations", n_imputations)
        own, table = self._own_and_table(X)
        draws = self._engine.draws(
            table, self.keep_empty_features, n_imputations, self._seed(random_state), calibrate
        )
        missing = self._engine.encoder.missing(table)
        return (self._given_back(X, own, draw, missing) for draw in draws)

    def predict_distributions(
        self, X: Table, quantiles: Sequence[float] = (0.05, 0.5, 0.95), calibrate: bool = True
    ) -> dict[Any, pd.DataFrame]:
        """What is predicted for every missing cell.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        quantiles : sequence of float, default=(0.05, 0.5, 0.95)
            Levels in (0, 1).
        calibrate : bool, default=True
            Whether to correct the predictions by what they turned out to be on cells held out in fit.

        Returns
        -------
        dict of column to DataFrame
            A row for each missing cell of the column, with the index of `X`. Of numbers and dates: "mean"
            (what :meth:`transform` fills in, before it rounds), "std", and a column for each quantile. Of
            others: the probability of each level, a column a level. Columns without anything to learn, those that
            are constant or empty, are left out.

        Raises
        ------
        ValueError
            If a level is not in (0, 1), and as for :meth:`transform`.

        Examples
        --------
        >>> from skhvae import HeterogeneousVAEImputer
        >>> from skhvae.datasets import make_heterogeneous
        >>> from skhvae.evaluation import hide_cells
        >>> table, _ = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
        >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
        >>> distributions = imputer.predict_distributions(table)
        >>> distributions["real_1"].columns.tolist()
        ['mean', 'std', 0.05, 0.5, 0.95]
        """
        check_is_fitted(self)
        quantiles = list(quantiles)
        if not quantiles or not all(isinstance(q, Real) and 0 < q < 1 for q in quantiles):
            raise ValueError(f"quantiles must be numbers between 0 and 1, found {quantiles}.")
        _, table = self._own_and_table(X)
        return self._engine.distributions(table, quantiles, calibrate)

    def predict_interval(
        self, X: Table, coverage: float = 0.9, calibrate: bool = True
    ) -> tuple[Any, Any]:
        """Intervals for the missing cells of columns with an order.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        coverage : float, default=0.9
            What share of the missing cells of each column the intervals are to contain.
        calibrate : bool, default=True
            Whether to make the intervals as wide as the cells held out in fit ask for: the share holds for
            cells like these (split-conformal intervals), not within every group of rows.

        Returns
        -------
        lower, upper : DataFrame or ndarray of shape (n_rows, n_features_out)
            As :meth:`transform` returns it. Observed cells are as they are in both; missing cells of nominal and
            binary columns, which have no order, stay missing: see :meth:`predict_distributions`.

        Raises
        ------
        ValueError
            If `coverage` is not in (0, 1), and as for :meth:`transform`.

        Examples
        --------
        >>> from skhvae import HeterogeneousVAEImputer
        >>> from skhvae.datasets import make_heterogeneous
        >>> from skhvae.evaluation import hide_cells
        >>> table, _ = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
        >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
        >>> lower, upper = imputer.predict_interval(table, coverage=0.8)
        >>> bool((lower["real_1"] <= upper["real_1"]).all())
        True
        """
        check_is_fitted(self)
        check_coverage(coverage)
        own, table = self._own_and_table(X)
        ends = self._engine.intervals(table, self.keep_empty_features, coverage, calibrate)
        missing = self._engine.encoder.missing(table)
        return tuple(self._given_back(X, own, end, missing) for end in ends)

    def score_samples(self, X: Table) -> np.ndarray:
        """Log density of the observed cells of every row: how usual it is.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)

        Returns
        -------
        float64 ndarray of shape (n_rows,)
            Nats, of numbers in the model's units (about standard deviations). By the chain rule,
            :math:`\\log p(x_o) = \\sum_i \\log p(x_i \\mid x_{<i})`, averaged in probability over four
            orders of the columns, the same for all rows.
        """
        check_is_fitted(self)
        return self._engine.log_densities(self._own_and_table(X)[1])

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Any:
        """Synthetic rows like those of the training table.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            As for :meth:`sample_imputations`.

        Returns
        -------
        DataFrame of shape (n_samples, n_features)
            With the columns and dtypes of the training table; those without an observed cell there stay empty.
        """
        check_is_fitted(self)
        _check_positive("n_samples", n_samples)
        return self._engine.synthesise(n_samples, self._seed(random_state))

    def _own_and_table(self, X) -> tuple[pd.DataFrame, pd.DataFrame]:
        own = one_table(X)
        return own, check_columns(self, X, own, reset=False)

    def _seed(self, random_state) -> int:
        given = self.random_state if random_state is None else random_state
        return int(check_random_state(given).randint(2**31 - 1))


def check_coverage(coverage: Any) -> None:
    """Raise a ValueError unless it is a share of cells that intervals can cover."""
    if not (isinstance(coverage, Real) and 0 < float(coverage) < 1):
        raise ValueError(f"coverage must be a number between 0 and 1, found {coverage!r}.")


def _check_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a positive integer, found {value!r}.")
