"""Hypothesis strategies for tables of every kind that pandas stores.

A table is drawn as a plan: how its columns are made, which cells are missing, names and index. So a plan that fails
is printed, and shrinks, as a few words.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from random_columns import ALIKE, KINDS, SHAPES, Column

__all__ = ["Plan", "others", "plans"]


@dataclass(frozen=True)
class Plan:
    """How a table is made.

    Attributes
    ----------
    columns : tuple of Column
    names : Index
    index : str
        Of INDEXES.
    n_rows : int
    empty : float
        Share of the rows without any value, where columns can do without.
    repeated : bool
        Whether every row stands there twice, but for gaps.
    """

    columns: tuple
    names: pd.Index = field(repr=False)
    index: str
    n_rows: int
    empty: float
    repeated: bool
    seed: int

    def table(self):
        rng = np.random.default_rng(self.seed)
        rows = np.arange(self.n_rows)
        if self.repeated:
            rows = rows % -(-self.n_rows // 2)
        empty = rng.random(self.n_rows) < self.empty
        table = pd.concat([column.series(rows, empty) for column in self.columns], axis=1)
        table.columns = self.names
        return table.set_axis(INDEXES[self.index](rng, self.n_rows), axis=0)


INDEXES = {
    "range": lambda rng, n: pd.RangeIndex(5, 5 + 2 * n, 2),
    "text": lambda rng, n: pd.Index([f"row {i}" for i in rng.permutation(n)], name="who"),
    "repeated": lambda rng, n: pd.Index(rng.integers(0, 3, n)),
    "dates": lambda rng, n: pd.date_range("2024", periods=n, freq="h", tz="UTC", name="when"),
    "levels": lambda rng, n: pd.MultiIndex.from_arrays(
        [rng.integers(0, 2, n), [f"{i}" for i in range(n)]], names=["a", None]
    ),
    "mixed": lambda rng, n: pd.Index([(1, "a"), None, "b", 2.5] * n, tupleize_cols=False)[:n],
    "categories": lambda rng, n: pd.CategoricalIndex(rng.choice(["x", "y"], n)),
}

# Plans

SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0])
HASHABLE = st.one_of(
    st.text(max_size=3),
    st.integers(-3, 3),
    st.floats(-1, 1, width=16),
    st.sampled_from([None, np.nan, True, False, b"x", frozenset("ab"), pd.Timestamp(2024, 1, 1)]),
    st.tuples(st.text("ab", max_size=1), st.integers(0, 2)),
)


def _as_pandas_compares(name):
    return None if name is None or name != name else (name,)


def names(n):
    """Names of n columns, all different."""

    def unlike(values):
        return st.lists(values, min_size=n, max_size=n, unique_by=_as_pandas_compares)

    pairs = st.tuples(st.text("ab", max_size=1), st.integers(0, 5))
    return st.one_of(
        unlike(st.text(max_size=3)).map(lambda some: pd.Index(some, dtype="str", name="what")),
        unlike(HASHABLE).map(lambda some: pd.Index(some, tupleize_cols=False)),
        unlike(pairs).map(lambda some: pd.MultiIndex.from_tuples(some, names=["one", None])),
        st.just(pd.RangeIndex(n)),
        st.just(pd.date_range("2024", periods=n, name="day")),
        st.just(pd.CategoricalIndex([f"column {i}" for i in range(n)])),
    )


def sizes(fewest):
    return st.one_of(st.integers(fewest, 12), st.integers(fewest, 12), st.integers(13, 300))


@st.composite
def plans(draw, n_rows=None, kinds=frozenset(KINDS)):
    """Plans of tables, by default of at least two rows."""
    columns = st.builds(
        Column, st.sampled_from(sorted(kinds)), st.sampled_from(sorted(SHAPES)), SHARES, SEEDS
    )
    columns = draw(st.lists(columns, min_size=1, max_size=12))
    return Plan(
        tuple(columns),
        draw(names(len(columns))),
        draw(st.sampled_from(sorted(INDEXES))),
        draw(sizes(2)) if n_rows is None else n_rows,
        draw(st.sampled_from([0.0, 0.0, 0.2, 1.0])),
        draw(st.booleans()),
        draw(SEEDS),
    )


@st.composite
def others(draw, plan, alike=False, fewest=1):
    """Plans of tables with the columns of another one: with other values, levels and gaps, and in other
    dtypes if these may only be alike."""
    columns = [
        replace(
            column,
            kind=draw(st.sampled_from(ALIKE[column.kind])) if alike else column.kind,
            shape=draw(st.sampled_from(sorted(SHAPES))),
            missing=draw(SHARES),
            seed=draw(SEEDS),
            shift=draw(st.integers(0, 200)),
        )
        for column in plan.columns
    ]
    return replace(
        plan,
        columns=tuple(columns),
        index=draw(st.sampled_from(sorted(INDEXES))),
        n_rows=draw(sizes(fewest)),
        seed=draw(SEEDS),
    )
