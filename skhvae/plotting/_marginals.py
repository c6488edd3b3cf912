"""Marginals of what was observed, of what was imputed, and of synthetic rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from skhvae.features import Schema
from skhvae.plotting._columns import chosen, complete, gaps, table_of
from skhvae.plotting._scales import Levels, scale_of
from skhvae.plotting._shares import at_places, gathered, in_bins, middle
from skhvae.plotting._theme import (
    BLUE,
    GREEN,
    PALETTE,
    VERMILLION,
    check_count,
    keep_clear,
    legend_of_figure,
    legend_on_top,
    names_below,
    new_axes,
)
from skhvae.schema import infer_schema
from skhvae.table import as_table, missing_cells

if TYPE_CHECKING:
    from skhvae.imputer import HeterogeneousVAEImputer
    from skhvae.typing import FeatureTypes, RandomState, Table

__all__ = ["MarginalsDisplay"]

_COLOURS = {"observed": BLUE, "imputed": VERMILLION, "generated": GREEN}
_PER_ROW = 4  # panels
_RESPONSES = ("sample_imputations", "transform")


class MarginalsDisplay:
    """Each feature's distribution in the table, in its imputed cells, and in synthetic rows.

    Bars for levels and small counts, histograms on common bins for other numbers and dates. Create it by
    :meth:`from_estimator` or :meth:`from_tables`.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    cells : dict of str to dict of column to Series
        By what is compared ("observed", "imputed", "generated"), then by column: the cells, missing ones
        left out.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_panels,)
    figure_ : Figure
    features_ : list
        The name of each panel's column.
    shares_ : list of dict of str to ndarray
        What each panel shows: of each compared group the share of its cells at every place or in every bin.
    edges_ : list of ndarray
        Of each panel's bins, or of the middles of its bars.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.evaluation import hide_cells
    >>> from skhvae.plotting import MarginalsDisplay
    >>> table, _ = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
    >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
    >>> display = MarginalsDisplay.from_estimator(imputer, table, n_samples=100, features=4)
    >>> display.features_
    ['real_1', 'real_2', 'positive_1', 'positive_2']
    >>> plt.close(display.figure_)
    """

    def __init__(self, schema: Schema, cells: dict) -> None:
        self.schema = schema
        self.cells = cells

    @classmethod
    def from_estimator(
        cls,
        imputer: HeterogeneousVAEImputer,
        X: Table,
        *,
        n_samples: int | None = 1000,
        response_method: Literal["sample_imputations", "transform"] = "sample_imputations",
        random_state: RandomState = None,
        ax: Any = None,
        features: Sequence[Any] | int = 12,
        bins: int = 20,
        max_levels: int = 12,
    ) -> MarginalsDisplay:
        """Impute and generate with a fitted imputer, and draw.

        Parameters
        ----------
        imputer : HeterogeneousVAEImputer
        X : DataFrame or array-like of shape (n_rows, n_features)
            Of a large table, a sample of the rows will do.
        n_samples : int or None, default=1000
            Number of synthetic rows; None for none.
        response_method : {"sample_imputations", "transform"}, default="sample_imputations"
            What fills the missing cells: a draw, which is to have the cells' own distribution, or the best
            guess, which varies less than they do.
        random_state : int, RandomState instance or None, default=None
        ax, features, bins, max_levels
            As for :meth:`plot`.

        Returns
        -------
        MarginalsDisplay

        Raises
        ------
        NotFittedError
        ValueError
            For another `response_method`, and as for :meth:`plot`.
        """
        if response_method not in _RESPONSES:
            raise ValueError(
                f"response_method is one of {list(_RESPONSES)}, found {response_method!r}."
            )
        table = table_of(imputer, X)
        missing = gaps(imputer, table)
        cells = {"observed": _cells(table, ~missing)}
        if missing.any(axis=None):
            if response_method == "transform":
                filled = imputer.transform(table)
            else:
                (filled,) = imputer.sample_imputations(table, 1, random_state=random_state)
            filled = complete(imputer, filled, table.index)
            cells["imputed"] = _cells(filled, missing[filled.columns])
        if n_samples is not None:
            cells["generated"] = _cells(as_table(imputer.sample(n_samples, random_state)))
        display = cls(imputer.schema_, cells)
        return display.plot(ax, features=features, bins=bins, max_levels=max_levels)

    @classmethod
    def from_tables(
        cls,
        tables: Mapping[str, Table],
        *,
        feature_types: FeatureTypes = "infer",
        ax: Any = None,
        features: Sequence[Any] | int = 12,
        bins: int = 20,
        max_levels: int = 12,
    ) -> MarginalsDisplay:
        """Compare tables of the same columns.

        Parameters
        ----------
        tables : dict of str to DataFrame
            By what they are called. What the columns are is inferred from the first one.
        feature_types : "infer" or dict, default="infer"
            ``{column: type}`` for the columns whose type is not to be inferred.
        ax, features, bins, max_levels
            As for :meth:`plot`.

        Returns
        -------
        MarginalsDisplay

        Raises
        ------
        ValueError
            If there is no table, for tables that lack columns of the first one, and as for :meth:`plot`.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from skhvae.plotting import MarginalsDisplay
        >>> true, found = pd.DataFrame({"a": [1, 2, 2, 3]}), pd.DataFrame({"a": [2, 2, 2, 3]})
        >>> display = MarginalsDisplay.from_tables({"true": true, "found": found})
        >>> display.shares_[0]["found"]
        array([0.  , 0.75, 0.25])
        >>> plt.close(display.figure_)
        """
        read = {label: as_table(table) for label, table in tables.items()}
        if not read:
            raise ValueError("tables must hold at least one table, found none.")
        first = next(iter(read.values()))
        schema = infer_schema(first, feature_types)
        for label, table in read.items():
            lacking = [name for name in schema.names if name not in table.columns]
            if lacking:
                raise ValueError(f"Table {label!r} lacks columns of the first one: {lacking}.")
        cells = {label: _cells(table[schema.names]) for label, table in read.items()}
        return cls(schema, cells).plot(ax, features=features, bins=bins, max_levels=max_levels)

    def plot(
        self,
        ax: Any = None,
        *,
        features: Sequence[Any] | int = 12,
        bins: int = 20,
        max_levels: int = 12,
    ) -> MarginalsDisplay:
        """Draw a panel a feature.

        Parameters
        ----------
        ax : Axes, array-like of Axes, or None, default=None
            One a panel.
        features : list of names or int, default=12
            Which features to draw, or how many at most. Those without an observed cell are left out.
        bins : int, default=20
        max_levels : int, default=12
            How many levels to show; the others, the rarest ones, share a bar.

        Returns
        -------
        MarginalsDisplay
            Itself.

        Raises
        ------
        ValueError
            For unknown features and those without an observed cell, and for too few axes.
        """
        check_count("bins", bins)
        check_count("max_levels", max_levels)
        usual = [feature.name for feature in self.schema if not feature.is_empty]
        names = chosen(features, self.schema.names, usual)
        empty = [name for name in names if self.schema[name].is_empty]
        if empty or not names:
            raise ValueError(f"There is no observed cell to show, in columns {empty or 'at all'}.")
        height = 2.5 if len(names) > _PER_ROW else 3.4
        self.figure_, self.axes_ = new_axes(ax, len(names), _PER_ROW, panel=(3.2, height))
        self.features_ = names
        self.shares_: list[dict[str, np.ndarray]] = []
        self.edges_: list[np.ndarray] = []
        for panel, name in zip(self.axes_, names, strict=True):
            self._draw(panel, name, bins, max_levels)
        self._legend(made_here=ax is None)
        return self

    def _draw(self, ax, name, bins: int, max_levels: int) -> None:
        scale = scale_of(self.schema[name])
        values = {
            label: scale.read(columns[name])
            for label, columns in self.cells.items()
            if name in columns
        }
        values = {label: of_group for label, of_group in values.items() if len(of_group)}
        ax.set_xlabel(scale.label)
        ax.set_ylabel("share of cells")
        keep_clear(ax)
        together = np.concatenate([np.zeros(0), *values.values()])
        places = scale.places(together) if len(together) else np.zeros(0)
        if places is None:
            low, high = middle(together)
            edges = scale.edges(low, high, bins)
            shares = {label: in_bins(of_group, edges) for label, of_group in values.items()}
            self._draw_histogram(ax, edges, shares)
            scale.prepare(ax.xaxis)
            if together.min() < edges[0] or together.max() > edges[-1]:
                ax.set_xlabel(f"{scale.label}, ends: and beyond")
        else:
            edges, shares = places, {k: at_places(v, places) for k, v in values.items()}
            if isinstance(scale, Levels):
                common = np.max([*shares.values()], axis=0) if shares else places
                kept, names = scale.shortened(places, common, max_levels)
                shares = {label: gathered(share, kept) for label, share in shares.items()}
                edges = np.arange(len(names))
                names_below(ax, edges, names)
            else:
                scale.prepare(ax.xaxis)
            self._draw_bars(ax, edges, shares)
        self.edges_.append(edges)
        self.shares_.append(shares)

    def _draw_histogram(self, ax, edges, shares) -> None:
        for i, (label, share) in enumerate(shares.items()):
            ax.stairs(
                share, edges, color=self._colour(label), fill=i == 0, alpha=0.35 if i == 0 else 1
            )
        ax.set_ylim(bottom=0)

    def _draw_bars(self, ax, places, shares) -> None:
        width = 0.84 / max(1, len(shares))
        for i, (label, share) in enumerate(shares.items()):
            at = np.asarray(places) + (i - (len(shares) - 1) / 2) * width
            colour, alpha = self._colour(label), 0.5 if i == 0 else 1
            ax.bar(at, share, width, color=colour, alpha=alpha)

    def _colour(self, label: str) -> str:
        return _COLOURS.get(label, PALETTE[list(self.cells).index(label) % len(PALETTE)])

    def _legend(self, made_here: bool) -> None:
        from matplotlib.patches import Patch

        labels = [label for label, columns in self.cells.items() if any(map(len, columns.values()))]
        first = next(iter(self.cells))
        handles = [
            Patch(color=self._colour(label), alpha=0.5 if label == first else 1) for label in labels
        ]
        if made_here:
            legend_of_figure(self.figure_, handles, labels)
        else:
            legend_on_top(self.axes_[0], handles, labels)


def _cells(table: pd.DataFrame, which: pd.DataFrame | None = None) -> dict:
    """The cells of every column that are there, and wanted."""
    cells = {}
    for i, name in enumerate(table.columns):
        column = table.iloc[:, i]
        wanted = ~missing_cells(column)
        if which is not None:
            wanted = wanted & which.iloc[:, i].to_numpy()
        cells[name] = column[wanted]
    return cells
