"""Each feature's error beside that of mean and mode."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skhvae.plotting._columns import chosen
from skhvae.plotting._theme import (
    BLACK,
    BLUE,
    VERMILLION,
    keep_clear,
    legend_on_top,
    new_axes,
    text,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skhvae.imputer import HeterogeneousVAEImputer
    from skhvae.typing import Table

__all__ = ["FeatureErrorDisplay"]

_UNITS = {
    "nrmse": "RMSE / range",
    "error rate": "share of wrong levels",
    "rank error": "rank difference / levels",
}
_LABEL = 44  # letters a line


class FeatureErrorDisplay:
    """Error of every feature beside that of mean and mode; those that are no better are marked.

    Create it by :meth:`from_estimator` or :meth:`from_errors`.

    Parameters
    ----------
    errors : DataFrame with columns "error" and "baseline", indexed by feature
        As ``score_features`` gives it; a column "metric" says what the errors are.

    Attributes
    ----------
    overlooked : bool Series of shape (n_features,)
        Whether a feature is imputed no better than by its mean or mode although that errs.
    ax_ : Axes
    figure_ : Figure
    bars_ : BarContainer
        The errors, from the bottom up.
    baselines_ : Line2D
        Those of mean and mode.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.evaluation import hide_cells
    >>> from skhvae.plotting import FeatureErrorDisplay
    >>> truth = make_heterogeneous(200, random_state=0).data
    >>> table, _ = hide_cells(truth, random_state=0)
    >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
    >>> display = FeatureErrorDisplay.from_estimator(imputer, table, truth)
    >>> len(display.bars_) == truth.shape[1]
    True
    >>> plt.close(display.figure_)
    """

    def __init__(self, errors: pd.DataFrame) -> None:
        self.errors = errors

    @classmethod
    def from_estimator(
        cls,
        imputer: HeterogeneousVAEImputer,
        X: Table,
        X_true: Table | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        ax: Any = None,
        features: Sequence[Any] | int | None = None,
        sort: bool = True,
    ) -> FeatureErrorDisplay:
        """Measure a fitted imputer, and draw.

        Parameters
        ----------
        imputer : HeterogeneousVAEImputer
        X : DataFrame or array-like of shape (n_rows, n_features)
        X_true : DataFrame or array-like of shape (n_rows, n_features), optional
            The complete table. Without it a tenth of the observed cells of `X` is hidden, and must be
            recovered.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            What each row counts.
        ax, features, sort
            As for :meth:`plot`.

        Returns
        -------
        FeatureErrorDisplay

        Raises
        ------
        NotFittedError
        ValueError
            As for ``score_features``, and as for :meth:`plot`.
        """
        check_is_fitted(imputer)
        errors = imputer.score_features(X, X_true, sample_weight)
        return cls(errors).plot(ax, features=features, sort=sort)

    @classmethod
    def from_errors(
        cls,
        errors: Any,
        baseline: Any = None,
        *,
        ax: Any = None,
        features: Sequence[Any] | int | None = None,
        sort: bool = True,
    ) -> FeatureErrorDisplay:
        """Draw errors that are known.

        Parameters
        ----------
        errors : DataFrame, Series or dict of feature to float
            A DataFrame as ``score_features`` or :func:`skhvae.evaluation.imputation_errors` gives it, or
            the errors alone.
        baseline : Series or dict of feature to float, optional
            Those of mean and mode, or of another imputer.
        ax, features, sort
            As for :meth:`plot`.

        Returns
        -------
        FeatureErrorDisplay

        Raises
        ------
        ValueError
            If there is no baseline, or not of every feature, and as for :meth:`plot`.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from skhvae.plotting import FeatureErrorDisplay
        >>> display = FeatureErrorDisplay.from_errors({"age": 0.1, "job": 0.5}, {"age": 0.2, "job": 0.5})
        >>> display.overlooked.to_dict()
        {'age': False, 'job': True}
        >>> plt.close(display.figure_)
        """
        table = errors if isinstance(errors, pd.DataFrame) else pd.DataFrame({"error": errors})
        if baseline is not None:
            table = table.assign(baseline=pd.Series(baseline, dtype=float).reindex(table.index))
        if not {"error", "baseline"} <= set(table.columns):
            raise ValueError(
                "The errors of mean and mode are needed beside the features' own: pass baseline, or a "
                f"DataFrame with columns 'error' and 'baseline', found {table.columns.tolist()}."
            )
        lacking = table.index[table["baseline"].isna() & table["error"].notna()].tolist()
        if baseline is not None and lacking:
            raise ValueError(f"baseline has no error of {lacking}.")
        return cls(table).plot(ax, features=features, sort=sort)

    @property
    def overlooked(self) -> pd.Series:
        baseline = self.errors["baseline"]
        return (self.errors["error"] >= baseline) & (baseline > 0)

    def plot(
        self, ax: Any = None, *, features: Sequence[Any] | int | None = None, sort: bool = True
    ) -> FeatureErrorDisplay:
        """Draw a bar a feature.

        Parameters
        ----------
        ax : Axes or None, default=None
        features : list of names, int or None, default=None
            Which to draw: all, those of these names, or as many, the worst first. Features without an
            error, of which no cell was hidden, are left out.
        sort : bool, default=True
            Whether those that gain least over mean and mode stand at the top; otherwise in the order of the
            table.

        Returns
        -------
        FeatureErrorDisplay
            Itself.

        Raises
        ------
        ValueError
            For unknown features, and if none has an error.
        """
        with_error = self.errors[self.errors["error"].notna()]
        if with_error.empty:
            raise ValueError("No feature has an error: no cell was hidden.")
        order = with_error.index
        if sort or isinstance(features, int):
            worst = with_error["error"] / with_error["baseline"].where(with_error["baseline"] > 0)
            order = worst.sort_values(ascending=False, kind="stable", na_position="last").index
        names = chosen(features, self.errors.index, order)
        ranks = {name: i for i, name in enumerate(order if sort else self.errors.index)}
        names = sorted((name for name in names if name in ranks), key=ranks.__getitem__)[::-1]
        shown = with_error.loc[names]
        marked = self.overlooked[names].to_numpy()
        height = 0.9 + 0.24 * len(names)
        self.figure_, (self.ax_,) = new_axes(ax, 1, panel=(7.0, height))
        places = np.arange(len(names))
        self.bars_ = self.ax_.barh(
            places, shown["error"], 0.7, color=np.where(marked, VERMILLION, BLUE)
        )
        for bar in np.asarray(self.bars_, dtype=object)[marked]:
            bar.set(hatch="////", edgecolor="white", linewidth=0)
        (self.baselines_,) = self.ax_.plot(
            shown["baseline"], places, linestyle="none", marker="|", markersize=13, color=BLACK
        )
        self.baselines_.set_markeredgewidth(2)
        self._label(names, shown)
        return self

    def _label(self, names, shown) -> None:
        from matplotlib.patches import Patch

        ax = self.ax_
        ax.set_yticks(np.arange(len(names)), [text(name) for name in names])
        ax.set(ylim=(-0.6, len(names) - 0.4), xlim=(0, None))
        metrics = set(shown.get("metric", ()))
        units = ", ".join(unit for metric, unit in _UNITS.items() if metric in metrics)
        ax.set_xlabel("\n".join(wrap(f"error: {units}" if units else "error", _LABEL)))
        keep_clear(ax)
        entries = {"imputed": Patch(color=BLUE)}
        if self.overlooked[names].any():
            entries["imputed, overlooked"] = Patch(
                facecolor=VERMILLION, hatch="////", edgecolor="white", linewidth=0
            )
        entries["mean or mode"] = self.baselines_
        legend_on_top(ax, entries.values(), entries)
