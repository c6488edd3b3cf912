"""Fitted imputers that all Displays share; no window, and no figure that stays open."""

import matplotlib

matplotlib.use("Agg")

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from light import light

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells


@dataclass
class Case:
    """table: with gaps; truth: the table without; imputer: fitted to the table."""

    truth: object
    table: object
    imputer: HeterogeneousVAEImputer

    @property
    def missing(self):
        return self.table.isna().to_numpy()


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def fitted(truth, **parameters):
    table, _ = hide_cells(truth, 0.25, random_state=0)
    return Case(truth, table, light(validation_fraction=0.2, **parameters).fit(table))


@pytest.fixture(scope="session")
def mixed():
    """Ten columns of all types."""
    return fitted(make_heterogeneous(200, random_state=0).data)


@pytest.fixture(scope="session")
def wide():
    """Sixty columns of all types with long names."""
    n_each = dict(n_real=15, n_positive=10, n_count=5, n_binary=8, n_nominal=10, n_ordinal=7)
    truth = make_heterogeneous(150, **n_each, n_datetime=5, random_state=0).data
    truth.columns = [f"{name} of a table with long names" for name in truth]
    return fitted(truth)


@pytest.fixture(scope="session")
def in_polars():
    """Columns of polars, one of them without a cell."""
    random, n = np.random.default_rng(0), 120
    table = pl.DataFrame(
        {
            "size": random.normal(size=n),
            "empty": pl.Series([None] * n, dtype=pl.Float64),
            "city": random.choice(["Bonn", "Kiel", "Ulm"], n),
            "rooms": random.integers(1, 6, n),
            "joined": pl.Series(np.datetime64("2020-01-01") + random.integers(0, 900, n)),
        }
    )
    gaps = {name: pl.Series(random.random(n) < 0.2) for name in table.columns}
    columns = [pl.when(~gap).then(pl.col(name)).alias(name) for name, gap in gaps.items()]
    table = table.select(columns)
    with pytest.warns(UserWarning, match="without any observed"):
        return Case(None, table, light(validation_fraction=0.2).fit(table))


@pytest.fixture(scope="session")
def odd():
    """Names and levels that matplotlib would read as mathematics or hide, nullable dtypes, nothing to learn."""
    random, n = np.random.default_rng(0), 90
    rows = np.arange(n)
    table = pd.DataFrame(
        {
            "$a$_b": pd.array(random.normal(size=n), dtype="Float64"),
            3: pd.array(random.integers(0, 5, n), dtype="Int64"),
            ("x", "y"): pd.array(random.random(n) < 0.5, dtype="boolean"),
            "empty": np.full(n, np.nan),
            "constant": "one",
            "_c": pd.Categorical(random.choice(["_p", "$q$", "r"], n)),
            "day": pd.Timestamp("2020-01-01", tz="Europe/Berlin") + pd.to_timedelta(rows, "D"),
            "wait": pd.to_timedelta(random.integers(0, 9000, n), unit="s"),
        }
    )
    table = table.mask(random.random(table.shape) < 0.2).set_axis([f"r$_{i // 2}$" for i in rows])
    with pytest.warns(UserWarning, match="without any observed"):
        return Case(None, table, light(validation_fraction=0.2).fit(table))
