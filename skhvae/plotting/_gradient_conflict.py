"""How the features' gradients conflict, and what a strategy makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from skhvae.plotting._curves import by_feature, draw_curves, draw_series, legend_of, outstanding
from skhvae.plotting._theme import BLUE, LIGHT, names_below, new_axes, pyplot, text, thinned

if TYPE_CHECKING:
    from skhvae.imputer import HeterogeneousVAEImputer

__all__ = ["GradientConflictDisplay"]

_LARGE_RATIO = 20  # of weights, from which on they are shown by their logarithms


class GradientConflictDisplay:
    """Cosines of the features' gradients; how many pairs conflict, and what each feature counts, over time.

    Create it by :meth:`from_estimator` or :meth:`from_cosines`.

    Parameters
    ----------
    cosines : DataFrame of shape (n_features, n_features)
        As ``gradient_conflict_``: the mean cosine of each pair, NaN where there was none.
    history : DataFrame or None, default=None
        As ``history_``.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (3,) or (1,)
        Of the heat map, of the share of pairs, and of the weights, as shares of their sum in every epoch.
    figure_ : Figure
    image_ : AxesImage
    colorbar_ : Colorbar
    lines_ : dict of str to Line2D
        By the history's column.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.plotting import GradientConflictDisplay
    >>> table = make_heterogeneous(200, random_state=0).data
    >>> imputer = HeterogeneousVAEImputer(max_iter=3, random_state=0).fit(table)
    >>> display = GradientConflictDisplay.from_estimator(imputer)
    >>> display.image_.get_array().shape
    (10, 10)
    >>> plt.close(display.figure_)
    """

    def __init__(self, cosines: pd.DataFrame, history: pd.DataFrame | None = None) -> None:
        self.cosines = cosines
        self.history = history

    @classmethod
    def from_estimator(
        cls,
        imputer: HeterogeneousVAEImputer,
        *,
        ax: Any = None,
        features: Sequence[Any] | int = 6,
        curves: bool = True,
    ) -> GradientConflictDisplay:
        """Draw ``gradient_conflict_`` and ``history_`` of a fitted imputer.

        Parameters
        ----------
        imputer : HeterogeneousVAEImputer
        ax, features, curves
            As for :meth:`plot`.

        Returns
        -------
        GradientConflictDisplay

        Raises
        ------
        NotFittedError
        ValueError
            As for :meth:`plot`.
        """
        check_is_fitted(imputer)
        display = cls(imputer.gradient_conflict_, imputer.history_)
        return display.plot(ax, features=features, curves=curves)

    @classmethod
    def from_cosines(cls, cosines: Any, *, ax: Any = None) -> GradientConflictDisplay:
        """Draw cosines that are known.

        Parameters
        ----------
        cosines : DataFrame or array-like of shape (n_features, n_features)
        ax : Axes or None, default=None

        Returns
        -------
        GradientConflictDisplay

        Raises
        ------
        ValueError
            Unless there are as many rows as columns, and at least one.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from skhvae.plotting import GradientConflictDisplay
        >>> display = GradientConflictDisplay.from_cosines([[1.0, -0.2], [-0.2, 1.0]])
        >>> len(display.axes_)
        1
        >>> plt.close(display.figure_)
        """
        cosines = pd.DataFrame(cosines)
        if cosines.shape[0] != cosines.shape[1]:
            raise ValueError(f"cosines must be a square table, found shape {cosines.shape}.")
        return cls(cosines).plot(ax)

    def plot(
        self, ax: Any = None, *, features: Sequence[Any] | int = 6, curves: bool = True
    ) -> GradientConflictDisplay:
        """Draw the heat map, and beside it two panels of curves if there is a history of conflicts.

        Parameters
        ----------
        ax : Axes, array-like of Axes, or None, default=None
            One a panel.
        features : list of names or int, default=6
            Which features' weights to colour: those of these names, or so many of the largest. All others are
            grey.
        curves : bool, default=True
            Whether to draw more than the heat map.

        Returns
        -------
        GradientConflictDisplay
            Itself.

        Raises
        ------
        ValueError
            If there are no features with gradients, for unknown features, and for too few axes.
        """
        if self.cosines.size == 0:
            raise ValueError("There are no gradients: no column held anything to learn.")
        weights = pd.DataFrame() if self.history is None else by_feature(self.history, "weight")
        curves = curves and weights.shape[1] > 0
        if curves:
            weights = weights.div(weights.abs().sum(axis=1), axis=0)
            coloured = outstanding(features, weights.columns, weights.mean())
        self.figure_, self.axes_ = self._new_axes(ax, curves)
        self.lines_: dict[str, Any] = {}
        self._draw_cosines(self.axes_[0])
        if curves and self.history is not None:
            self._draw_share(self.axes_[1], self.history["conflicting_pairs"])
            self._draw_weights(self.axes_[2], weights, coloured)
        return self

    def _new_axes(self, ax, curves: bool):
        side = min(3.0 + 0.17 * len(self.cosines), 10.0)
        if ax is not None or not curves:
            return new_axes(ax, 3 if curves else 1, panel=(side + 0.8, side))
        height = max(side, 5.2)
        figure, axes = pyplot().subplot_mosaic(
            [[0, 1], [0, 2]],
            figsize=(height + 5.2, height),
            width_ratios=(height + 0.8, 4.4),
            layout="constrained",
        )
        return figure, np.array([axes[i] for i in range(3)], dtype=object)

    def _draw_cosines(self, ax) -> None:
        from matplotlib import colormaps

        values = self.cosines.to_numpy(dtype=float)
        others = np.abs(values[~np.eye(len(values), dtype=bool)])
        others = others[np.isfinite(others)]
        limit = max(others.max(initial=0.0), 1e-3)
        # Those of the gradients with themselves, 1, would leave no colours for the others.
        colours = colormaps["RdBu"].with_extremes(over=LIGHT, bad="white")
        self.image_ = ax.imshow(values, cmap=colours, vmin=-limit, vmax=limit)
        names = [text(name, 18) for name in self.cosines.columns]
        names_below(ax, range(len(names)), names)
        thinned(ax.yaxis, range(len(names)), names)
        ax.tick_params(labelsize="small")
        ax.set_title("cosines of gradients; red: conflict")
        self.colorbar_ = ax.figure.colorbar(self.image_, ax=ax, shrink=0.7, label="mean cosine")

    def _draw_share(self, ax, share: pd.Series) -> None:
        self.lines_["conflicting_pairs"] = draw_series(ax, share, BLUE)
        ax.set(title="conflicting pairs", ylabel="share of pairs", ylim=(0, None))

    def _draw_weights(self, ax, weights: pd.DataFrame, coloured: list[str]) -> None:
        lines = draw_curves(ax, weights, coloured)
        self.lines_ |= {f"weight[{name}]": line for name, line in lines.items()}
        ax.set(title="what each gradient counts", ylabel="share of weights")
        low, high = np.nanmin(weights), np.nanmax(weights)
        if low > 0 and high > _LARGE_RATIO * low:
            ax.set_yscale("log")
        legend_of(ax, lines, coloured)
