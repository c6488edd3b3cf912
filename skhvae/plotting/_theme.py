"""What all pictures share: colours, axes to draw into, and names as text."""

from __future__ import annotations

from numbers import Integral

import numpy as np

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "LIGHT",
    "PALETTE",
    "VERMILLION",
    "check_count",
    "keep_clear",
    "legend_beside",
    "legend_inside",
    "legend_of_figure",
    "legend_on_top",
    "names_below",
    "new_axes",
    "pyplot",
    "text",
    "thinned",
]

# Okabe and Ito's colours, which colour-blind people can tell apart; the palest is left out.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
GREY, LIGHT = "#8C8C8C", "#DDDDDD"

_LINE, _LETTER = 0.16, 0.1  # inches that a line of text and a letter take


def pyplot():
    """matplotlib's pyplot.

    Raises
    ------
    ImportError
        Unless matplotlib is there.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            'It takes matplotlib to draw. Install it: pip install "skhvae[plots]"'
        ) from error
    return pyplot


def new_axes(ax, n_panels: int, n_columns: int = 1, panel=(4.0, 3.2)) -> tuple:
    """Axes to draw panels into, those given or those of a new figure, a grid in rows.

    Parameters
    ----------
    ax : Axes, array-like of Axes, or None
    n_panels : int
    n_columns : int, default=1
        Of a new figure.
    panel : tuple of float, default=(4.0, 3.2)
        Width and height of a panel of a new figure, in inches.

    Returns
    -------
    figure : Figure
    axes : ndarray of Axes of shape (n_panels,)

    Raises
    ------
    ValueError
        If there are fewer axes than panels.
    """
    plt = pyplot()
    if ax is None:
        n_columns = min(n_columns, n_panels)
        n_rows = -(-n_panels // n_columns)
        size = (n_columns * panel[0], n_rows * panel[1])
        figure, grid = plt.subplots(
            n_rows, n_columns, figsize=size, squeeze=False, layout="constrained"
        )
        for spare in grid.flat[n_panels:]:
            spare.remove()
        return figure, grid.flatten()[:n_panels]
    given = np.ravel(np.asarray(ax, dtype=object))
    if len(given) < n_panels:
        raise ValueError(
            f"There are {n_panels} panels to draw, found {len(given)} axes. Pass as many, e.g. "
            f"ax=plt.subplots({n_panels})[1], leave ax out, or choose fewer."
        )
    return given[0].figure, given[:n_panels]


def text(name, width: int = 24) -> str:
    """A name as it is to be read: one line, long ones without their middle, `$` as itself.

    Examples
    --------
    >>> from skhvae.plotting._theme import text
    >>> print(text("a_name"), text(3), text("US$"), text("abcdefghij", width=5))
    a_name 3 US\\$ ab…ij
    """
    line = " ".join(str(name).split())
    if len(line) > width:
        line = f"{line[: width // 2]}…{line[len(line) - (width - 1) // 2 :]}"
    return line.replace("$", r"\$")


def thinned(axis, places, labels, most: int | None = None) -> None:
    """Label places of an axis, at most so many of them (by default as many as have room beside each other
    if they stand at right angles to the axis), at equal distances."""
    if most is None:
        box, dpi = axis.axes.get_window_extent(), axis.axes.figure.dpi
        length = box.width if axis.axis_name == "x" else box.height
        most = max(2, int(length / dpi / _LINE))
    step = max(1, -(-len(places) // most))
    axis.set_ticks(list(places)[::step], list(labels)[::step])


def names_below(ax, places, names) -> None:
    """Name places of the horizontal axis, upright where the names have no room side by side."""
    width = ax.get_window_extent().width / ax.figure.dpi
    if max(map(len, names), default=0) * len(names) > width / _LETTER:
        ax.tick_params(axis="x", rotation=90, labelsize="small")
        thinned(ax.xaxis, places, names)
    else:
        ax.set_xticks(places, names)


def keep_clear(ax) -> None:
    """Leave away the lines of the frame that say nothing."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_on_top(ax, handles, labels, n_columns: int = 3):
    """A legend above the axes, where no data are."""
    return _legend(
        ax, handles, labels, ncols=n_columns, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0.2
    )


def legend_beside(ax, handles, labels, title=None):
    """A legend at the right of the axes, where no data are."""
    return _legend(
        ax, handles, labels, title=title, loc="upper left", bbox_to_anchor=(1, 1), borderpad=0.2
    )


def legend_inside(ax, handles, labels):
    """A legend instead of data."""
    return _legend(ax, handles, labels, loc="upper left", borderaxespad=0)


def legend_of_figure(figure, handles, labels, n_columns: int = 4):
    """A legend above all axes of a figure that was made here."""
    return _legend(figure, handles, labels, ncols=n_columns, loc="outside upper left")


def _legend(ax, handles, labels, **options):
    """Of any labels: matplotlib leaves out those that begin with an underscore, unless they come later."""
    legend = ax.legend(handles, [" "] * len(labels), frameon=False, fontsize="small", **options)
    for entry, label in zip(legend.get_texts(), labels, strict=True):
        entry.set_text(label)
    return legend


def check_count(name: str, value, least: int = 1) -> None:
    """Raise a ValueError unless it is a whole number, and large enough."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, found {value!r}.")
