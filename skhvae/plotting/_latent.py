"""The rows of a table where the encoder puts them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from skhvae.features import Feature
from skhvae.plotting._columns import chosen, gaps, sampled, table_of
from skhvae.plotting._scales import scale_of
from skhvae.plotting._theme import (
    BLUE,
    PALETTE,
    keep_clear,
    legend_beside,
    legend_on_top,
    new_axes,
)

if TYPE_CHECKING:
    from skhvae.imputer import HeterogeneousVAEImputer
    from skhvae.typing import RandomState, Table

__all__ = ["LatentDisplay"]

_OTHERS, _MISSING = "#555555", "#BBBBBB"
_ENTRY = 30  # square points that a legend's dots take


class LatentDisplay:
    """Rows in latent space, in the plane in which they differ most, coloured by a column.

    Create it by :meth:`from_estimator`.

    Parameters
    ----------
    positions : ndarray of shape (n_rows, 2)
    explained : ndarray of shape (2,)
        What share of the variance each axis holds.
    values : Series of length n_rows or None, default=None
        The cells that give the colours.
    feature : Feature or None, default=None
        What their column is.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure
    points_ : list of PathCollection
        Rows of one colour, or of one colour scale, together.
    colorbar_ : Colorbar or None
        Of numbers, dates and ordered levels.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.plotting import LatentDisplay
    >>> table = make_heterogeneous(200, random_state=0).data
    >>> imputer = HeterogeneousVAEImputer(max_iter=2, random_state=0).fit(table)
    >>> display = LatentDisplay.from_estimator(imputer, table, "nominal_1")
    >>> display.positions.shape
    (200, 2)
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        positions: np.ndarray,
        explained: np.ndarray,
        values: pd.Series | None = None,
        feature: Feature | None = None,
    ) -> None:
        self.positions = positions
        self.explained = explained
        self.values = values
        self.feature = feature

    @classmethod
    def from_estimator(
        cls,
        imputer: HeterogeneousVAEImputer,
        X: Table,
        color_by: Hashable | None = None,
        *,
        max_rows: int | None = 5000,
        random_state: RandomState = None,
        ax: Any = None,
    ) -> LatentDisplay:
        """Encode rows, project them by their principal components, and draw.

        Parameters
        ----------
        imputer : HeterogeneousVAEImputer
        X : DataFrame or array-like of shape (n_rows, n_features)
        color_by : name of a column, or None, default=None
        max_rows : int or None, default=5000
            Of more rows a random sample is taken.
        random_state : int, RandomState instance or None, default=None
            For that sample; None takes the same one in every call.
        ax : Axes or None, default=None

        Returns
        -------
        LatentDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If there is no such column, or none of its cells was observed in fit.

        Notes
        -----
        Several members of an imputer have a latent space each; they are projected as one, side by side. The
        signs of the axes mean nothing.
        """
        table = table_of(imputer, X)
        feature = None
        if color_by is not None:
            wanted = chosen([color_by], imputer.schema_.names)
            feature = imputer.schema_[wanted[0]]
            if feature.is_empty:
                raise ValueError(f"Column {color_by!r} has no observed cell to take colours from.")
        table = table.iloc[sampled(len(table), max_rows, random_state)]
        positions, explained = _projected(imputer.encode(table))
        values = None if feature is None else _observed(imputer, table, feature)
        return cls(positions, explained, values, feature).plot(ax)

    def plot(self, ax: Any = None, *, size: float | None = None) -> LatentDisplay:
        """Draw a point a row.

        Parameters
        ----------
        ax : Axes or None, default=None
        size : float or None, default=None
            Of the points, in square points; None makes them smaller where they are many.

        Returns
        -------
        LatentDisplay
            Itself.
        """
        self.figure_, (self.ax_,) = new_axes(ax, 1, panel=(6.0, 4.4))
        self.points_: list[Any] = []
        self.colorbar_: Any = None
        if size is None:
            size = np.clip(10_000 / len(self.positions), 5, 25)
        names = [
            f"principal component {i}"
            + (f" ({share:.0%} of the variance)" if share == share else "")
            for i, share in enumerate(self.explained, 1)
        ]
        self.ax_.set(xlabel=names[0], ylabel=names[1])
        keep_clear(self.ax_)
        everywhere = np.ones(len(self.positions), dtype=bool)
        if self.feature is None or self.values is None:
            self._scatter(everywhere, BLUE, size)
            return self
        scale = scale_of(self.feature)
        coordinates = scale.read(self.values)
        draw = self._draw_in_order if scale.is_ordered else self._draw_levels
        draw(scale, coordinates, size)
        return self

    def _scatter(self, rows, colour, size, **options):
        found = self.ax_.scatter(
            *self.positions[rows].T, s=size, c=colour, alpha=0.8, linewidths=0, **options
        )
        self.points_.append(found)
        return found

    def _draw_in_order(self, scale, coordinates, size) -> None:
        missing = np.isnan(coordinates)
        if missing.any():
            grey = self._scatter(missing, _MISSING, size)
            legend = legend_on_top(self.ax_, [grey], ["missing"])
            legend.legend_handles[0].set_sizes([_ENTRY])
        known = coordinates[~missing]
        if not len(known):
            return
        low, high = scale.span(known)
        points = self._scatter(~missing, known, size, cmap="viridis", vmin=low, vmax=high)
        beyond = {(True, False): "min", (False, True): "max", (True, True): "both"}
        extend = beyond.get((bool(known.min() < low), bool(known.max() > high)), "neither")
        self.colorbar_ = self.figure_.colorbar(
            points, ax=self.ax_, label=scale.label, extend=extend
        )
        scale.prepare(self.colorbar_.ax.yaxis)

    def _draw_levels(self, scale, coordinates, size) -> None:
        missing = np.isnan(coordinates)
        places, counts = np.unique(coordinates[~missing], return_counts=True)
        common = np.sort(places[np.argsort(-counts, kind="stable")[: len(PALETTE)]])
        others = ~missing & ~np.isin(coordinates, common)
        groups = [
            ("missing", missing, _MISSING),
            (f"{len(places) - len(common)} others", others, _OTHERS),
        ]
        groups += [
            (scale.name(place), coordinates == place, colour)
            for place, colour in zip(common, PALETTE, strict=False)
        ]
        groups = [group for group in groups if group[1].any()]
        for _, rows, colour in groups:
            self._scatter(rows, colour, size)
        # Levels first: what lies under their points is named after them.
        entries = [*zip(self.points_, groups, strict=True)]
        entries.sort(key=lambda entry: entry[1][2] in (_MISSING, _OTHERS))
        legend = legend_beside(
            self.ax_, [points for points, _ in entries], [g[0] for _, g in entries], scale.label
        )
        for handle in legend.legend_handles:
            handle.set_sizes([_ENTRY])


def _observed(imputer, table, feature: Feature) -> pd.Series:
    place = imputer.schema_.names.index(feature.name)
    column = table.iloc[:, place]
    return column.mask(gaps(imputer, table).iloc[:, place].to_numpy())


def _projected(latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions on the first two principal components, and what share of the variance these hold."""
    positions, explained = np.zeros((len(latent), 2)), np.full(2, np.nan)
    n_components = min(2, len(latent) - 1, latent.shape[1])
    if n_components and np.ptp(latent, axis=0).any():
        pca = PCA(n_components, svd_solver="full")
        positions[:, :n_components] = pca.fit_transform(latent)
        explained[:n_components] = pca.explained_variance_ratio_
    return positions, explained
