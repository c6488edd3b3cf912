"""What a training's history holds, and curves of it over the epochs."""

from __future__ import annotations

from numbers import Integral

import pandas as pd

from skhvae.plotting._columns import chosen
from skhvae.plotting._theme import LIGHT, PALETTE, keep_clear, legend_beside, legend_inside, text

__all__ = ["by_feature", "check_history", "draw_curves", "draw_series", "legend_of", "outstanding"]

_FEW_EPOCHS = 20
_DASHES = ("-", "--", ":")


def check_history(history: pd.DataFrame) -> pd.DataFrame:
    """The history itself, if there is any.

    Raises
    ------
    ValueError
    """
    if len(history) == 0:
        raise ValueError(
            "There is no history: not an epoch was run, since no column held anything to learn."
        )
    return history


def by_feature(history: pd.DataFrame, what: str) -> pd.DataFrame:
    """The columns ``what[feature]`` of a history, under the features' names; those without a number left out."""
    start = f"{what}["
    found = {name[len(start) : -1]: name for name in history.columns if name.startswith(start)}
    table = history[[*found.values()]].set_axis([*found], axis=1)
    return table.dropna(axis=1, how="all")


def outstanding(wanted, known, ranks: pd.Series) -> list[str]:
    """Names of the features to show in colour: the wanted ones, or so many of the largest ranks."""
    if not isinstance(wanted, Integral | str):
        wanted = [name if name in known else str(name) for name in wanted]
    usual = ranks.sort_values(ascending=False, kind="stable").index
    names = set(chosen(wanted, known, usual))
    return [name for name in known if name in names]


def draw_series(ax, series: pd.Series, colour: str):
    """One curve over the epochs."""
    marker = "o" if len(series) <= _FEW_EPOCHS else None
    (line,) = ax.plot(series.index, series, color=colour, marker=marker, markersize=3)
    _over_epochs(ax)
    return line


def draw_curves(ax, table: pd.DataFrame, coloured: list[str]) -> dict:
    """A curve a feature over the epochs, those that are not to be coloured in grey; lines by name."""
    marker = "o" if len(table) <= _FEW_EPOCHS else None
    lines = {}
    for name in table:
        if name not in coloured:
            (lines[name],) = ax.plot(table.index, table[name], color=LIGHT, linewidth=0.8)
    for i, name in enumerate(coloured):
        if name in table:
            rounds, place = divmod(i, len(PALETTE))
            style = dict(color=PALETTE[place], linestyle=_DASHES[rounds % len(_DASHES)])
            (lines[name],) = ax.plot(
                table.index, table[name], marker=marker, markersize=3, linewidth=1.2, **style
            )
    _over_epochs(ax)
    return lines


def legend_of(ax, lines: dict, coloured: list[str], place=None):
    """Which curve is whose, at the right of the axes, or in others that are there for that."""
    from matplotlib.lines import Line2D

    names = [name for name in coloured if name in lines]
    handles, labels = [lines[name] for name in names], [text(name) for name in names]
    if n_more := len(lines) - len(names):
        handles.append(Line2D([], [], color=LIGHT))
        labels.append(f"{n_more} more")
    if place is None:
        return legend_beside(ax, handles, labels)
    place.axis("off")
    return legend_inside(place, handles, labels)


def _over_epochs(ax) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    keep_clear(ax)
