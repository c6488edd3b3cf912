"""One self-contained HTML page: what was missing, what it was taken for, how good the imputations are, how training went."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
import pandas as pd

from skhvae._version import __version__
from skhvae.plotting import (
    FeatureErrorDisplay,
    GradientConflictDisplay,
    ImputationDisplay,
    MarginalsDisplay,
    TrainingDisplay,
)
from skhvae.table import as_table, missing_cells

__all__ = ["report"]

_ROWS_DRAWN = 5_000
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 0.9rem }
th, td { padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #e5e5e5; white-space: nowrap }
th:first-child, td:first-child, .text { text-align: left }
img { max-width: 100%; height: auto }
"""


def report(imputer, X, source: str, random_state=None) -> str:
    """Describe an imputer and a table that it completes.

    Parameters
    ----------
    imputer : HeterogeneousVAEImputer
        Fitted.
    X : DataFrame of shape (n_rows, n_features)
        With missing cells, of any library.
    source : str
        What the table is called.
    random_state : int or None, default=None
        Of the rows and cells that are drawn.

    Returns
    -------
    str
        Nothing in it is loaded from elsewhere; whatever comes from the table is escaped.
    """
    import matplotlib

    matplotlib.use("Agg")  # there may be no screen
    table = as_table(X)
    missing = np.column_stack([missing_cells(c, imputer.missing_values) for _, c in table.items()])
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(source)}, imputed</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(source)}, imputed</h1>",
        *_about(imputer, table, missing),
        *_quality(imputer),
        *_values(imputer, table, missing, random_state),
        *_training(imputer),
        f"<p>skhvae {__version__}</p></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _about(imputer, table, missing) -> list[str]:
    rows = [
        {
            "column": feature.name,
            "type": feature.type.name,
            "why": feature.why,
            "missing": f"{cells.sum():,}",
            "share": f"{cells.mean():.1%}",
        }
        for feature, cells in zip(imputer.schema_, missing.T, strict=True)
    ]
    n_complete = int((~missing.any(axis=1)).sum())
    found = [
        "<h2>What was missing, and what the columns were taken for</h2>",
        f"<p>{len(table):,} rows, {table.shape[1]} columns; {missing.mean():.1%} of the cells were missing, "
        f"{n_complete:,} rows were complete.</p>",
        _table(pd.DataFrame(rows), text=["column", "type", "why"]),
    ]
    why = imputer.missingness_
    own = [] if why is None else why.index[why["mechanism"] == "mnar"].tolist()
    if own:
        names = ", ".join(escape(str(name)) for name in own)
        found.append(
            f"<p>Cells of these columns are missing for their own value (not at random), and were imputed as the "
            f"population of their own that they are: {names}.</p>"
        )
    return found


def _quality(imputer) -> list[str]:
    errors = imputer.feature_errors_
    if errors is None or errors["error"].isna().all():
        return []
    shown = errors.reset_index(names="column")[
        ["column", "metric", "error", "baseline", "ratio", "n_cells"]
    ]
    shown = shown.rename(columns={"baseline": "mean/mode", "n_cells": "cells"})
    display = FeatureErrorDisplay.from_errors(errors)
    return [
        "<h2>How good each column's imputations are</h2>",
        "<p>Errors on known cells that training had held out, beside those of mean and mode on the same cells: "
        "root mean squared error / range (nrmse), share of wrong levels, mean difference of ranks / number of "
        f"levels. Mean over columns: {errors['error'].mean():.4f}, mean/mode {errors['baseline'].mean():.4f}.</p>",
        _picture(display, "Error of every column beside that of mean and mode"),
        _table(shown.round(4).astype(object).where(shown.notna(), "–"), text=["column", "metric"]),
    ]


def _values(imputer, table, missing, random_state) -> list[str]:
    if len(table) > _ROWS_DRAWN:
        rows = np.random.default_rng(random_state).choice(len(table), _ROWS_DRAWN, replace=False)
        table, missing = table.iloc[np.sort(rows)], missing[np.sort(rows)]
    marginals = MarginalsDisplay.from_estimator(
        imputer, table, features=24, random_state=random_state
    )
    found = [
        "<h2>What was imputed</h2>",
        "<p>Observed cells, draws of the missing ones, and rows that the model makes up.</p>",
        _picture(marginals, "Marginal distributions of observed, imputed and generated cells"),
    ]
    modelled = [feature.is_modelled for feature in imputer.schema_]
    if missing[:, modelled].any():
        cells = ImputationDisplay.from_estimator(imputer, table, random_state=random_state)
        found += [
            "<p>Which cells were missing, and how sure the model is of some of them.</p>",
            _picture(cells, "Pattern of missing cells; intervals and draws of some of them"),
        ]
    return found


def _training(imputer) -> list[str]:
    if not len(imputer.history_):
        return []
    return [
        "<h2>How training went</h2>",
        f"<p>{imputer.n_iter_} epochs of {imputer.n_samples_seen_:,} rows; strategy {escape(str(imputer.moo))}.</p>",
        _picture(TrainingDisplay.from_estimator(imputer), "Loss and errors by epoch"),
        "<p>Where the columns' gradients point in opposite directions (cosines below zero), they conflict.</p>",
        _picture(
            GradientConflictDisplay.from_estimator(imputer), "Cosines of the columns' gradients"
        ),
    ]


def _picture(display, about: str) -> str:
    buffer = io.BytesIO()
    display.figure_.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    _close(display.figure_)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{escape(about)}" src="data:image/png;base64,{data}"></p>'


def _close(figure) -> None:
    import matplotlib.pyplot

    matplotlib.pyplot.close(figure)


def _table(frame: pd.DataFrame, text: list[str]) -> str:
    """`frame` as HTML, with the columns named in `text` to the left."""

    def row(tag, cells):
        marks = [' class="text"' if name in text else "" for name in frame]
        return (
            "<tr>"
            + "".join(
                f"<{tag}{mark}>{escape(str(cell))}</{tag}>"
                for mark, cell in zip(marks, cells, strict=True)
            )
            + "</tr>"
        )

    body = "\n".join(row("td", cells) for cells in frame.astype(object).to_numpy())
    return f'<div class="wide"><table><thead>{row("th", frame)}</thead>\n<tbody>{body}</tbody></table></div>'
