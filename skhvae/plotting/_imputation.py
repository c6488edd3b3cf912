"""Where a table has gaps, and how sure their imputations are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skhvae.features import Feature, Schema
from skhvae.plotting._cells import Predicted, some_rows
from skhvae.plotting._columns import chosen, gaps, sampled, table_of
from skhvae.plotting._scales import Levels, scale_of
from skhvae.plotting._shares import gathered
from skhvae.plotting._theme import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    check_count,
    keep_clear,
    legend_on_top,
    names_below,
    new_axes,
    text,
    thinned,
)

if TYPE_CHECKING:
    from skhvae.imputer import HeterogeneousVAEImputer
    from skhvae.typing import RandomState, Table

__all__ = ["ImputationDisplay"]

_OBSERVED = "#F0F0F0"


class ImputationDisplay:
    """The pattern of missing cells; for some of these intervals and draws, or the probabilities of levels.

    Create it by :meth:`from_estimator`.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    missing : bool DataFrame of shape (n_rows, n_features)
        Which cells are missing.
    cells : dict of column to DataFrame
        A row for each missing cell that is shown. Of numbers and dates: "estimate", "lower", "upper", and a
        column "draw i" for each draw. Of others: "estimate", and the probability of each level in the columns
        after it.
    n_rows : int
        Of the whole table, of which `missing` may be a sample.
    coverage : float, default=0.9
        Of the intervals.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_panels,)
        Of the pattern, then one a column of `cells`.
    figure_ : Figure
    image_ : AxesImage or None
        The pattern.
    intervals_ : dict of column to LineCollection
        From the lower to the upper end, a line a cell from the top down.
    probabilities_ : dict of column to AxesImage
        Cells by levels.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.evaluation import hide_cells
    >>> from skhvae.plotting import ImputationDisplay
    >>> table, _ = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
    >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
    >>> display = ImputationDisplay.from_estimator(imputer, table, features=["real_1", "nominal_1"])
    >>> [*display.intervals_], [*display.probabilities_]
    (['real_1'], ['nominal_1'])
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        schema: Schema,
        missing: pd.DataFrame,
        cells: dict,
        n_rows: int,
        coverage: float = 0.9,
    ) -> None:
        self.schema = schema
        self.missing = missing
        self.cells = cells
        self.n_rows = n_rows
        self.coverage = coverage

    @classmethod
    def from_estimator(
        cls,
        imputer: HeterogeneousVAEImputer,
        X: Table,
        *,
        features: Sequence[Any] | int = 5,
        n_cells: int = 12,
        n_draws: int = 10,
        coverage: float = 0.9,
        max_rows: int | None = 300,
        random_state: RandomState = None,
        ax: Any = None,
        pattern: bool = True,
        max_levels: int = 12,
    ) -> ImputationDisplay:
        """Ask a fitted imputer about missing cells, and draw.

        Parameters
        ----------
        imputer : HeterogeneousVAEImputer
        X : DataFrame or array-like of shape (n_rows, n_features)
        features : list of names or int, default=5
            Columns whose cells are shown, or how many at most, in the table's order. Only columns that have
            missing cells, and in which there was something to learn, have any to show.
        n_cells : int, default=12
            Of each column at most, chosen at random.
        n_draws : int, default=10
        coverage : float, default=0.9
            What share of the missing cells the intervals are to contain.
        max_rows : int or None, default=300
            Of more rows the pattern shows a random sample.
        random_state : int, RandomState instance or None, default=None
            Of the draws, and of the rows and cells that are shown. None takes the estimator's own for draws, and
            the same rows and cells in every call.
        ax, pattern, max_levels
            As for :meth:`plot`.

        Returns
        -------
        ImputationDisplay

        Raises
        ------
        NotFittedError
        ValueError
            For a named column that has no cell to show, and as for ``predict_interval`` and :meth:`plot`.
        """
        check_count("n_cells", n_cells)
        table = table_of(imputer, X)
        missing = gaps(imputer, table)
        schema = imputer.schema_
        shown = [
            feature.name
            for i, feature in enumerate(schema)
            if feature.is_modelled and missing.iloc[:, i].any()
        ]
        names = chosen(features, schema.names, shown)
        nothing = [name for name in names if not any(name is other for other in shown)]
        if nothing:
            raise ValueError(
                f"No cell of {nothing} can be shown: none is missing here, or nothing was learned of them."
            )
        columns = [schema.names.index(name) for name in names]
        rows = {
            name: some_rows(missing.iloc[:, i].to_numpy(), n_cells, random_state)
            for name, i in zip(names, columns, strict=True)
        }
        predicted = Predicted(imputer, table, rows, coverage, n_draws, random_state)
        cells = {name: predicted.of(schema[name], rows[name]) for name in names}
        missing = missing.iloc[sampled(len(table), max_rows, random_state)]
        display = cls(schema, missing, cells, len(table), coverage)
        return display.plot(ax, pattern=pattern, max_levels=max_levels)

    def plot(
        self, ax: Any = None, *, pattern: bool = True, max_levels: int = 12
    ) -> ImputationDisplay:
        """Draw the pattern, and a panel a column of cells.

        Parameters
        ----------
        ax : Axes, array-like of Axes, or None, default=None
            One a panel.
        pattern : bool, default=True
            Whether to draw the pattern of missing cells.
        max_levels : int, default=12
            How many levels to show; the others, which are the least probable ones, share a column.

        Returns
        -------
        ImputationDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is nothing to draw, and for too few axes.
        """
        check_count("max_levels", max_levels)
        n_panels = pattern + len(self.cells)
        if not n_panels:
            raise ValueError("There is nothing to draw: no missing cell, and pattern=False.")
        self.figure_, self.axes_ = new_axes(ax, n_panels, n_columns=3, panel=(4.4, 3.8))
        self.image_: Any = None
        self.intervals_: dict[Any, Any] = {}
        self.probabilities_: dict[Any, Any] = {}
        if pattern:
            self._draw_pattern(self.axes_[0])
        for panel, (name, cells) in zip(self.axes_[pattern:], self.cells.items(), strict=True):
            feature = self.schema[name]
            if feature.type.finite:
                self._draw_levels(panel, feature, cells, max_levels)
            else:
                self._draw_intervals(panel, feature, cells)
            thinned(panel.yaxis, range(len(cells)), [text(row, 12) for row in cells.index])
            panel.set(ylim=(len(cells) - 0.5, -0.5), ylabel="row")
        return self

    def _draw_pattern(self, ax) -> None:
        from matplotlib.colors import ListedColormap

        colours = ListedColormap([_OBSERVED, BLUE])
        self.image_ = ax.imshow(
            self.missing, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        n_shown, n_columns = self.missing.shape
        share = self.missing.to_numpy().mean()
        of_all = "" if n_shown == self.n_rows else f"{n_shown} of "
        rows = f"{of_all}{self.n_rows} row{'' if self.n_rows == 1 else 's'}"
        ax.set_title(f"missing: {share:.0%} of the cells", color=BLUE)
        names_below(ax, range(n_columns), [text(name, 16) for name in self.missing.columns])
        ax.set(ylabel=rows, yticks=[])

    def _draw_intervals(self, ax, feature: Feature, cells: pd.DataFrame) -> None:
        scale = scale_of(feature)
        estimate, lower, upper, *draws = (scale.read(cells[name]) for name in cells)
        places = np.arange(len(cells))
        lines = ax.hlines(
            places, lower, upper, color=BLUE, linewidth=5, alpha=0.35, capstyle="projecting"
        )
        self.intervals_[feature.name] = lines
        handles, labels = [lines], [f"{self.coverage:.0%} interval"]
        if draws:
            at = np.tile(places, len(draws)) + 0.0
            handles += ax.plot(
                np.concatenate(draws), at, "|", color=GREY, markersize=6, markeredgewidth=0.8
            )
            labels.append("draw")
        handles += ax.plot(estimate, places, "o", color=VERMILLION, markersize=5)
        labels.append("best guess")
        ax.set_xlabel(scale.label)
        scale.prepare(ax.xaxis, most=5)
        keep_clear(ax)
        legend_on_top(ax, handles, labels)

    def _draw_levels(self, ax, feature: Feature, cells: pd.DataFrame, most: int) -> None:
        scale = Levels(feature)
        probabilities = cells.iloc[:, 1:].to_numpy(dtype=float)
        places = np.arange(probabilities.shape[1])
        kept, names = scale.shortened(places, probabilities.max(axis=0), most)
        probabilities = gathered(probabilities, kept)
        image = ax.imshow(probabilities, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        self.probabilities_[feature.name] = image
        guessed = scale.read(cells["estimate"]).astype(int)
        at = np.where(np.isin(guessed, kept), np.searchsorted(kept, guessed), len(kept))
        guess = ax.plot(at, np.arange(len(cells)), "o", color=VERMILLION, markersize=5)
        guess[0].set_markeredgecolor(BLACK)
        guess[0].set_markeredgewidth(0.5)
        names_below(ax, range(len(names)), names)
        ax.set_xlabel(scale.label)
        ax.figure.colorbar(image, ax=ax, label="probability")
        legend_on_top(ax, guess, ["best guess"])
