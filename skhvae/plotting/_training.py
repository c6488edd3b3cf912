"""What happened while a model was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skhvae.plotting._curves import (
    by_feature,
    check_history,
    draw_curves,
    draw_series,
    legend_of,
    outstanding,
)
from skhvae.plotting._theme import BLUE, new_axes

if TYPE_CHECKING:
    from skhvae.imputer import HeterogeneousVAEImputer

__all__ = ["TrainingDisplay"]

_TOTALS = {
    "loss": ("loss", "nats a row"),
    "kl": ("KL term", "nats a row"),
    "held_out_error": ("held-out error", "mean over features"),
}
_BY_FEATURE = {
    "loss": ("loss by feature", "nats a row"),
    "error": ("held-out error by feature", "in its metric"),
    "weight": ("weight by feature", "of its gradient"),
}


class TrainingDisplay:
    """Loss, KL term and held-out error over the epochs, in all and by feature.

    Create it by :meth:`from_estimator`; ``TrainingDisplay(history).plot()`` draws a history that was kept.

    Parameters
    ----------
    history : DataFrame
        As ``history_``: a row an epoch.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_panels,)
    figure_ : Figure
    lines_ : dict of str to Line2D
        By the history's column.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.plotting import TrainingDisplay
    >>> table = make_heterogeneous(200, random_state=0).data
    >>> imputer = HeterogeneousVAEImputer(max_iter=3, random_state=0).fit(table)
    >>> display = TrainingDisplay.from_estimator(imputer)
    >>> [ax.get_title() for ax in display.axes_][:2]
    ['loss', 'KL term']
    >>> plt.close(display.figure_)
    """

    def __init__(self, history: pd.DataFrame) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls,
        imputer: HeterogeneousVAEImputer,
        *,
        ax: Any = None,
        features: Sequence[Any] | int = 6,
        curves: Sequence[str] = ("loss", "error"),
    ) -> TrainingDisplay:
        """Draw the ``history_`` of a fitted imputer.

        Parameters
        ----------
        imputer : HeterogeneousVAEImputer
        ax, features, curves
            As for :meth:`plot`.

        Returns
        -------
        TrainingDisplay

        Raises
        ------
        NotFittedError
        ValueError
            As for :meth:`plot`.
        """
        check_is_fitted(imputer)
        return cls(imputer.history_).plot(ax, features=features, curves=curves)

    def plot(
        self,
        ax: Any = None,
        *,
        features: Sequence[Any] | int = 6,
        curves: Sequence[str] = ("loss", "error"),
    ) -> TrainingDisplay:
        """Draw a panel a quantity; without held-out cells there is no error.

        Parameters
        ----------
        ax : array-like of Axes or None, default=None
            One a panel.
        features : list of names or int, default=6
            Which features' curves to colour: those of these names, or so many whose error (without held-out
            cells, whose loss) fell least. All others are grey.
        curves : sequence of {"loss", "error", "weight"}, default=("loss", "error")
            What to draw by feature.

        Returns
        -------
        TrainingDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is no history, for unknown features and curves, and for too few axes.
        """
        history = check_history(self.history)
        unknown = [what for what in curves if what not in _BY_FEATURE]
        if unknown:
            raise ValueError(f"curves are some of {[*_BY_FEATURE]}, found {unknown[0]!r}.")
        totals = [name for name in _TOTALS if name in history and history[name].notna().any()]
        tables = {what: by_feature(history, what) for what in curves}
        tables = {what: table for what, table in tables.items() if table.shape[1]}
        known = by_feature(history, "loss")
        coloured = outstanding(features, known.columns, _remaining(history))
        n_panels = len(totals) + len(tables)
        spare = int(ax is None and bool(tables))  # for the legend
        self.figure_, axes = new_axes(ax, n_panels + spare, n_columns=3, panel=(4.0, 2.9))
        self.axes_ = axes[:n_panels]
        self.lines_ = {}
        for panel, name in zip(self.axes_, totals, strict=False):
            title, unit = _TOTALS[name]
            self.lines_[name] = draw_series(panel, history[name], BLUE)
            panel.set(title=title, ylabel=unit)
        if "held_out_error" in totals:
            best = history["held_out_error"].idxmin()
            self.axes_[len(totals) - 1].set_title(f"held-out error, lowest in epoch {best}")
        for panel, (what, table) in zip(self.axes_[len(totals) :], tables.items(), strict=True):
            title, unit = _BY_FEATURE[what]
            lines = draw_curves(panel, table, coloured)
            self.lines_ |= {f"{what}[{name}]": line for name, line in lines.items()}
            panel.set(title=title, ylabel=unit)
        if tables:
            legend_of(self.axes_[-1], lines, coloured, axes[-1] if spare else None)
        return self


def _remaining(history: pd.DataFrame) -> pd.Series:
    """What share of its first error, or loss, every feature has kept to the end."""
    errors = by_feature(history, "error")
    table = errors if errors.shape[1] else by_feature(history, "loss")
    first, last = table.bfill().iloc[0], table.ffill().iloc[-1]
    return (last - first) / first.abs().where(first != 0, 1.0)
