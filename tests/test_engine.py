"""Encoder, model and inference wired together, without scikit-learn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from skhvae import HeterogeneousVAEImputer
from skhvae.assignment import assign_likelihoods
from skhvae.datasets import make_heterogeneous
from skhvae.encoding import TableEncoder
from skhvae.engine import Engine
from skhvae.evaluation import hide_cells
from skhvae.objectives import ELBO
from skhvae.schema import infer_schema

CPU = torch.device("cpu")
TABLE = hide_cells(make_heterogeneous(60, random_state=0).data, random_state=0)[0]


def recipe(n_rows, **changes):
    """What the estimator would ask for, small, in one batch an epoch."""
    imputer = HeterogeneousVAEImputer(
        max_iter=3,
        latent_dim=3,
        hidden_layer_sizes=(8,),
        batch_size=n_rows,
        validation_fraction=0.3,
    )
    return dataclasses.replace(imputer._recipe(n_rows), **changes)


def fit(table, seed=0, **changes):
    schema = infer_schema(table)
    encoder = TableEncoder(schema, assign_likelihoods(schema, None), np.nan, "missing")
    return Engine(encoder, CPU).fit(table, recipe(len(table), **changes), seed=seed)


class Spy(ELBO):
    """Notes which cells each step counts and shows."""

    def __init__(self):
        super().__init__(0.1)
        self.steps = []

    def __call__(self, model, values, observed, visible, *args, **kwargs):
        self.steps.append((observed, visible))
        return super().__call__(model, values, observed, visible, *args, **kwargs)


def test_held_out_cells_are_neither_shown_nor_counted():
    spy = Spy()
    engine = fit(TABLE, objective=spy)
    n_held = engine.held_out_errors["n_cells"].sum()
    n_observed = TABLE.notna().sum().sum()
    assert n_held == pytest.approx(0.3 * n_observed, rel=0.2)
    for observed, visible in spy.steps[:2]:  # the epochs that they judge
        assert observed.sum() == n_observed - n_held
        assert not (visible & ~observed).any()


def test_rows_without_an_observed_cell_are_left_out():
    table = TABLE.copy()
    table.iloc[[3, 20]] = None
    spy = Spy()
    engine = fit(table.astype(TABLE.dtypes), objective=spy, validation_fraction=0.0)
    assert [len(observed) for observed, _ in spy.steps] == [58] * 3
    assert engine.held_out_errors is None
    completed, missing = engine.complete(table.astype(TABLE.dtypes), keep_empty=False)
    assert missing[[3, 20]].all()
    assert not completed.isna().any(axis=None)
    pd.testing.assert_series_equal(completed.iloc[3], completed.iloc[20], check_names=False)


def test_too_few_cells_to_spare_any():
    """Holding out all of them would leave nothing to learn from."""
    for seed in range(10):
        engine = fit(pd.DataFrame({"x": [1.0, 2.5, 4.0]}), seed=seed, validation_fraction=0.9)
        losses = [record["loss"] for record in engine.run.history]
        assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"x": [1.5, np.nan, 1.5]}),
        pd.DataFrame({"x": [np.nan, np.nan]}),
        pd.DataFrame({"x": [1.5, np.nan], "y": ["a", None], "z": [np.nan, np.nan]}),
    ],
)
def test_nothing_to_learn(table):
    """Constants complete themselves; what was never observed stays out."""
    engine = fit(table)
    assert engine.model is None
    assert engine.run.history == []
    completed, _ = engine.complete(table, keep_empty=False)
    assert list(completed) == [name for name in "xy" if name in table and table[name].any()]
    for name in completed:
        assert (completed[name] == table[name].iloc[0]).all()
    assert engine.latent(table).shape == (len(table), 3)
    assert engine.errors(table, None)["n_cells"].sum() == 0


def test_seed_decides():
    first, again, other = (
        fit(TABLE, seed=seed).complete(TABLE, keep_empty=False)[0] for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


def test_errors_know_the_truth_only_where_it_is_given():
    """Cells that are missing in the truth as well are not measured."""
    engine = fit(TABLE)
    truth = TABLE.copy()
    truth.iloc[:, 0] = 1.0
    n_cells = engine.errors(TABLE, truth)["n_cells"]
    assert n_cells.iloc[0] == TABLE.iloc[:, 0].isna().sum()
    assert (n_cells.iloc[1:] == 0).all()


def test_to_gives_a_copy():
    engine = fit(TABLE)
    expected, _ = engine.complete(TABLE, keep_empty=False)
    moved = engine.to(CPU)
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter.zero_()
    pd.testing.assert_frame_equal(engine.complete(TABLE, keep_empty=False)[0], expected)
    assert engine.to(torch.device("meta")).model.heads.linear.weight.is_meta
