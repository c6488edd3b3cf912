"""Draw what `compare_imputers.py` measured: error against time, one panel per table.

Points are means over the masks; an imputer that lacks some of a table's masks is left out of its
panel, and mean/mode, whose error would set the scale, is in the title.

Examples::

    python examples/benchmarks/plot_comparison.py results.csv --picture comparison.svg
    python examples/benchmarks/plot_comparison.py results.csv --time wall --picture comparison.png
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from compare_imputers import is_ours, named, read_runs

PLAIN, OURS = "#5b6770", "#c2410c"
LABEL_HEIGHT = 12  # points
BASELINE = "mean/mode"


def points(runs, seconds):
    """Error and time per imputer: means over seeds, then over masks, of those with every mask."""
    by_mask = runs.groupby(["imputer", "mask"])[["total_error", seconds]].mean()
    complete = by_mask.groupby("imputer").size() == runs["mask"].nunique()
    left_out = complete.index[~complete].tolist()
    return by_mask.groupby("imputer").mean()[complete], left_out


def spread(heights, gap):
    """The heights, in their order, moved so that neighbours are at least `gap` apart."""
    placed = np.array(heights, dtype=float)
    order = np.argsort(placed, kind="stable")
    for _ in range(100):
        for low, high in pairwise(order):
            overlap = gap - (placed[high] - placed[low])
            if overlap > 0:
                placed[low] -= overlap / 2
                placed[high] += overlap / 2
    return placed


def draw_panel(axes, table, runs, seconds):
    rows, left_out = points(runs, seconds)
    for name in left_out:
        print(f"{table}: {name} lacks some of the masks and is left out.")
    title = table
    if BASELINE in rows.index:
        title += f" (mean/mode: {rows.loc[BASELINE, 'total_error']:.4f})"
        rows = rows.drop(BASELINE)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xscale("log")
    if rows.empty:
        return
    colours = [OURS if is_ours(name) else PLAIN for name in rows.index]
    axes.scatter(rows[seconds], rows["total_error"], s=28, c=colours, zorder=3)
    axes.margins(x=0.3, y=0.2)
    axes.autoscale_view()
    label(axes, rows, seconds, colours)


def label(axes, rows, seconds, colours):
    """Names beside the points, towards the middle of the panel, each on a line of its own."""
    at = axes.transData.transform(rows[[seconds, "total_error"]].to_numpy())
    middle = axes.transAxes.transform((0.5, 0.5))[0]
    heights = at[:, 1] * 72 / axes.figure.dpi
    for i, shift in enumerate(spread(heights, LABEL_HEIGHT) - heights):
        left = at[i, 0] < middle
        line = {"arrowstyle": "-", "color": colours[i], "lw": 0.5, "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            rows.index[i],
            (rows[seconds].iloc[i], rows["total_error"].iloc[i]),
            xytext=(8 if left else -8, shift),
            textcoords="offset points",
            ha="left" if left else "right",
            va="center",
            fontsize=8,
            color=colours[i],
            arrowprops={**line, "relpos": (0 if left else 1, 0.5)} if abs(shift) > 4 else None,
        )


def draw(runs, seconds, path):
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot as plt

    tables = sorted(runs["table"].unique())
    n_columns = min(2, len(tables))
    n_rows = -(-len(tables) // n_columns)
    figure, panels = plt.subplots(
        n_rows, n_columns, figsize=(5.2 * n_columns, 3.4 * n_rows), squeeze=False, facecolor="white"
    )
    figure.subplots_adjust(0.09, 0.6 / (3.4 * n_rows), 0.98, 0.92, wspace=0.2, hspace=0.35)
    for axes, table in zip(panels.flat, tables, strict=False):
        draw_panel(axes, table, runs[runs["table"] == table], seconds)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e3e6e8", linewidth=0.6)
        axes.tick_params(labelsize=8)
    for axes in panels.flat[len(tables) :]:
        axes.set_visible(False)
    figure.supxlabel("CPU seconds" if seconds == "cpu_s" else "seconds", fontsize=9)
    figure.supylabel("total error on hidden cells (lower is better)", fontsize=9)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("results", type=Path, help="CSV file of compare_imputers.py")
    add("--picture", type=Path, default=Path("comparison.svg"), help="an .svg or .png file")
    add("--time", choices=["cpu", "wall"], default="cpu", help="seconds on the x axis")
    options = parser.parse_args()
    draw(named(read_runs(options.results)), f"{options.time}_s", options.picture)


if __name__ == "__main__":
    main()
