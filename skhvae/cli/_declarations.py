"""What a user declares of columns in a JSON file: ``{"age": "count", "size": ["S", "M", "L"]}``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from skhvae.cli._problems import Problem
from skhvae.features import FEATURE_TYPES, nearest

__all__ = ["Declaration", "declarations"]


@dataclass(frozen=True)
class Declaration:
    """Of one column.

    Attributes
    ----------
    type : str
        A feature type.
    levels : tuple of str or None
        In order, the lowest first; of an ordinal feature.
    format : str or None
        How dates are written, in the codes of :meth:`datetime.datetime.strptime`.
    """

    type: str
    levels: tuple[str, ...] | None = None
    format: str | None = None


def declarations(path: str | os.PathLike, columns: list[str]) -> dict[str, Declaration]:
    """Read the declarations of some of a table's columns.

    Parameters
    ----------
    path : str or path-like
        A JSON file: an object that maps columns to a feature type, to a list of levels in order, or to an object
        ``{"type": "datetime", "format": "%d.%m.%Y"}``.
    columns : list of str
        Of the table.

    Returns
    -------
    dict

    Raises
    ------
    Problem
        If the file cannot be read or declares what cannot be.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            found = json.load(file)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Problem(
            f"{path}: JSON is written in UTF-8, found other bytes. Save it as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise Problem(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from error
    if not isinstance(found, dict):
        raise Problem(
            f'{path}: expected an object such as {{"age": "count"}}, found {_shown(found)}'
        )
    for name in found:
        if name not in columns:
            raise Problem(f"{path}: the table has no column {name!r}." + nearest(name, columns))
    return {name: _declaration(f"{path}, {name!r}", value) for name, value in found.items()}


def _declaration(where: str, value) -> Declaration:
    if isinstance(value, list):
        return Declaration("ordinal", levels=_levels(where, value))
    about = value if isinstance(value, dict) else {"type": value}
    if unknown := set(about) - {"type", "format"}:
        raise Problem(f"{where}: knows 'type' and 'format', found {sorted(unknown)}")
    kind, form = about.get("type"), about.get("format")
    if not isinstance(kind, str) or kind not in FEATURE_TYPES:
        raise Problem(
            f"{where}: {_shown(kind)} is no feature type." + nearest(str(kind), FEATURE_TYPES)
        )
    if kind == "ordinal":
        raise Problem(
            f'{where}: an ordinal column needs its levels in order, e.g. ["small", "medium", "large"]'
        )
    if form is not None and (kind != "datetime" or not isinstance(form, str)):
        raise Problem(f"{where}: a 'format' is a text such as \"%d.%m.%Y\", and for dates alone")
    return Declaration(kind, format=form)


def _levels(where: str, values: list) -> tuple[str, ...]:
    if len(values) < 2 or not all(isinstance(v, str | int | float) for v in values):
        raise Problem(f"{where}: expected two or more levels in order, found {_shown(values)}")
    levels = tuple(str(value) for value in values)
    if repeated := sorted({level for level in levels if levels.count(level) > 1}):
        raise Problem(f"{where}: the level {repeated[0]!r} stands there more than once")
    return levels


def _shown(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
