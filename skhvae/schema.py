"""Infer from a table what each of its columns is.

Examples
--------
>>> import pandas as pd
>>> from skhvae.schema import infer_schema
>>> table = pd.DataFrame({"age": [31, 45, 28], "smokes": [True, False, None], "city": ["Bonn", "Ulm", "Kiel"]})
>>> infer_schema(table)
Schema of 3 columns
  column  type     dtype   missing  why
  age     count    int64        0%  non-negative integers
  smokes  binary   object      33%  booleans
  city    nominal  str          0%  strings, 3 levels
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skhvae import table as tables
from skhvae.features import FEATURE_TYPES, Feature, FeatureType, Schema, key, nearest
from skhvae.table import label
from skhvae.typing import FeatureTypes

__all__ = ["FEATURE_TYPES", "Feature", "FeatureType", "Schema", "infer_schema", "key", "nearest"]

_TIMES = {"datetime", "datetime with time zone", "timedelta"}
_EXACT_FLOAT = 2**53
_ENOUGH_TO_SEE_MANY = 1000  # cells; most columns show there that their values are no short list


def infer_schema(
    table: pd.DataFrame,
    feature_types: FeatureTypes = "infer",
    missing_values: Any = np.nan,
    whole_numbers: bool = True,
    all_levels: bool = False,
) -> Schema:
    """Infer each column's feature type from its dtype and its observed values.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
    feature_types : "infer" or dict, default="infer"
        ``{column: type}`` for the columns whose type is not to be inferred.
    missing_values : scalar, default=nan
        The value that marks a missing cell, beside NaN, None, NaT and pd.NA.
    whole_numbers : bool, default=True
        Treat a float column by its values: whole numbers as counts, right-skewed non-negative
        ones as positive. ``False`` (arrays, where the dtype says nothing) takes floats as real.
    all_levels : bool, default=False
        Take all levels that a categorical dtype declares for levels of the feature, instead of those
        that are observed: others may follow.

    Returns
    -------
    Schema

    Raises
    ------
    ValueError
        If a declared type is unknown, names no column, or cannot fit the column's values; if a
        column holds infinities.
    TypeError
        If a column's dtype has no feature type.

    Warns
    -----
    UserWarning
        For numbers stored as text, columns of mixed kinds, integers too large for ``float64``, and
        text columns that look like identifiers.
    """
    declared = _check_declared(feature_types, table)
    return Schema(
        _infer_feature(column, declared.get(name), missing_values, whole_numbers, all_levels)
        for name, column in table.items()
    )


def _check_declared(feature_types, table) -> Mapping:
    if isinstance(feature_types, str) and feature_types == "infer":
        return {}
    if not isinstance(feature_types, Mapping):
        raise ValueError(
            "feature_types must be 'infer' or a dict {column: type}, "
            f"found {type(feature_types).__name__}."
        )
    names = table.columns.tolist()
    for name, kind in feature_types.items():
        if name not in names:
            raise ValueError(
                f"feature_types names column {label(name)}, which is not in the table."
                + nearest(name, map(str, names))
            )
        if not isinstance(kind, str) or kind not in FEATURE_TYPES:
            raise ValueError(
                f"Column {label(name)}: unknown feature type {kind!r}."
                + nearest(kind, FEATURE_TYPES)
            )
    return feature_types


def _infer_feature(column, declared, missing_values, whole_numbers, all_levels) -> Feature:
    missing = tables.missing_cells(column, missing_values)
    stored = tables.storage(column, missing)
    numeric = stored in {"integer", "float"} | _TIMES
    about = dict(
        name=column.name,
        dtype=column.dtype,
        storage=stored,
        n_missing=int(missing.sum()),
        n_rows=len(column),
    )
    if missing.all():
        empty = FEATURE_TYPES[declared or ("real" if numeric else "nominal")]
        return Feature(type=empty, why="no observed cell", **about)
    about["example"] = column.iloc[[int(np.argmin(missing))]]
    if numeric:
        kind, why, more = _numbers(column, missing, stored, declared, whole_numbers)
    else:
        kind, why, more = _levels(column, missing, stored, declared, all_levels)
    if len(more.get("levels", ())) == 1:
        why = "constant"
    elif declared:
        why = "declared"
    return Feature(type=FEATURE_TYPES[declared or kind], why=why, **about, **more)


def _numbers(column, missing, stored, declared, whole_numbers) -> tuple[str, str, dict]:
    """Type, reason and further attributes of a column of numbers or dates."""
    values = tables.numbers(column, missing)[~missing]
    low, high = tables.bounds(column, missing)
    exact = stored != "float" or max(-low, high) <= _EXACT_FLOAT  # larger floats are all whole
    whole = exact and bool((values == np.rint(values)).all())
    kind, why = _kind_of_numbers(stored, values, whole, whole_numbers)
    few = len(pd.unique(values[:_ENOUGH_TO_SEE_MANY])) <= 2
    listed = few or (declared is not None and FEATURE_TYPES[declared].finite)
    levels = _distinct(column, missing) if listed else ()
    if len(levels) == 2 and declared is None:
        kind, why = "binary", "two observed values"
    if declared:
        _check_numbers(column.name, declared, stored, values, levels)
    elif stored == "integer" and max(-low, high) > _EXACT_FLOAT and kind != "binary":
        _warn(
            f"Column {label(column.name)}: integers beyond 2**53 are modelled approximately. "
            "If they are identifiers, drop the column, or use "
            f"feature_types={{{label(column.name)}: 'nominal'}}."
        )
    kind = declared or kind
    step = int(stored == "integer" or declared == "count")
    if stored in _TIMES:
        step = tables.granularity(column, missing)
    more = dict(low=low, high=high, step=step)
    if FEATURE_TYPES[kind].finite or len(levels) == 1:
        more.update(levels=levels, n_declared_levels=len(levels))
    return kind, why, more


def _kind_of_numbers(stored, values, whole, whole_numbers) -> tuple[str, str]:
    if stored in _TIMES:
        return "datetime", "durations" if stored == "timedelta" else "dates and times"
    if stored == "float" and not whole_numbers:
        return "real", "floats of an array"
    negative = values.min() < 0
    if whole:
        what = "integers" if stored == "integer" else "whole numbers"
        return ("real", f"{what}, some negative") if negative else ("count", f"non-negative {what}")
    if not negative and _is_right_skewed(values / values.max()):
        return "positive", "non-negative, right-skewed"
    return "real", "floats"


def _is_right_skewed(values) -> bool:
    values = np.sort(values)  # sums must not depend on the order of the rows
    centred = values - values.mean()
    return bool(np.mean(centred**3) > 0.5 * np.mean(centred**2) ** 1.5)


def _levels(column, missing, stored, declared, all_levels) -> tuple[str, str, dict]:
    """Type, reason and further attributes of a column of anything but numbers and dates."""
    if declared:
        _check_levels(column, declared, stored)
    if stored in ("category", "ordered category"):
        used = np.full(len(column.dtype.categories), all_levels)
        used[np.unique(column.cat.codes.to_numpy()[~missing])] = True
        levels = column.dtype.categories[used].astype(object).to_numpy()
        n_declared = len(used)
    else:
        levels = _distinct(column, missing)
        n_declared = len(levels)
    if declared == "binary" and len(levels) > 2:
        raise ValueError(_too_many_levels(column.name, len(levels)))
    if declared is None:
        _warn_about_text(column, missing, stored, levels)
    more = dict(levels=levels, n_declared_levels=n_declared)
    if stored == "boolean":
        return "binary", "booleans", more
    if len(levels) == 2:
        return "binary", "two observed values", more
    if stored == "ordered category":
        return "ordinal", f"ordered categories, {len(levels)} levels", more
    what = {"category": "categories", "string": "strings", "mixed": "mixed values"}[stored]
    return "nominal", f"{what}, {len(levels)} levels", more


def _distinct(column, missing) -> np.ndarray:
    """The distinct observed values, sorted where they have an order and by kind where they have none."""
    distinct = pd.unique(tables.scalars(column)[~missing])
    try:
        return np.sort(distinct)
    except TypeError:
        ordered = np.empty_like(distinct)
        ordered[:] = sorted(distinct, key=lambda value: (type(value).__name__, str(value)))
        return ordered


def _check_numbers(name, declared, stored, values, levels) -> None:
    """Raise if numbers or dates cannot be of the declared type."""

    def use(kind):
        return f"Use feature_types={{{label(name)}: {kind!r}}}."

    if (declared == "datetime") != (stored in _TIMES) and not FEATURE_TYPES[declared].finite:
        found, right = (
            ("dates or durations", "datetime")
            if stored in _TIMES
            else (f"{stored} numbers", "real")
        )
        raise ValueError(
            f"Column {label(name)}: type {declared!r} cannot hold {found}. {use(right)}"
        )
    if declared == "count" and (bad := values[values != np.rint(values)]).size:
        raise ValueError(
            f"Column {label(name)}: type 'count' needs non-negative integers, found {bad[0]} "
            f"and other fractions in {len(bad)} row(s). {use('real')}"
        )
    if declared in ("count", "positive") and (bad := values[values < 0]).size:
        raise ValueError(
            f"Column {label(name)}: type {declared!r} needs non-negative values, found {bad.min()} "
            f"and other negatives in {len(bad)} row(s). {use('real')}"
        )
    if declared == "binary" and len(levels) > 2:
        raise ValueError(_too_many_levels(name, len(levels)))


def _check_levels(column, declared, stored) -> None:
    """Raise if values that are neither numbers nor dates cannot be of the declared type."""
    name = label(column.name)
    if declared == "ordinal" and stored != "ordered category":
        raise ValueError(
            f"Column {name}: type 'ordinal' needs an order, found {stored} values. Use X[{name}]"
            ".astype(pandas.CategoricalDtype([lowest, ..., highest], ordered=True))."
        )
    if FEATURE_TYPES[declared].finite:
        return
    if declared == "datetime":
        needs, remedy = "dates", f"pandas.to_datetime(X[{name}])"
    elif stored == "boolean":
        needs, remedy = "numbers", f"X[{name}].astype('Int64')"
    else:
        needs, remedy = "numbers", f"pandas.to_numeric(X[{name}])"
    raise ValueError(
        f"Column {name}: type {declared!r} needs {needs}, found {stored} values. Use {remedy}."
    )


def _too_many_levels(name, found) -> str:
    return (
        f"Column {label(name)}: type 'binary' needs at most two observed values, found {found}. "
        f"Use feature_types={{{label(name)}: 'nominal'}}."
    )


def _warn_about_text(column, missing, stored, levels) -> None:
    """Warn of columns that are nominal by their dtype, but hardly by intention."""
    name, n_observed = label(column.name), int((~missing).sum())
    silence = f"or silence this with feature_types={{{name}: 'nominal'}}."
    if stored == "mixed":
        kinds = sorted({type(value).__name__ for value in levels})
        holds = "mixes" if len(kinds) > 1 else "holds objects of type"
        _warn(
            f"Column {name}: {holds} {', '.join(kinds)} and is treated as nominal. Convert it to "
            f"one kind of number, string or date, {silence}"
        )
    if stored != "string" or len(levels) < 3:
        return
    if pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce").notna().all():
        _warn(
            f"Column {name}: holds numbers as text and is treated as nominal. "
            f"Use pandas.to_numeric(X[{name}]), {silence}"
        )
    elif len(levels) > 50 and len(levels) > 0.5 * n_observed:
        _warn(
            f"Column {name}: {len(levels)} different strings in {n_observed} observed cells look "
            f"like identifiers or free text, which cannot be imputed. Drop the column, {silence}"
        )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)
