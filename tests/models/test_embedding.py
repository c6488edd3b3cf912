"""What the encoder sees of a row."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_problem import build, encode, seeded, small_problem

from skhvae.models import MODELS

N_ROWS = 600


def embedding_of(**columns):
    encoder, values, observed = encode(pd.DataFrame(columns))
    return build(encoder, values, observed).embedding, values, observed


@pytest.mark.parametrize("model", MODELS)
def test_whether_a_cell_is_missing_or_hidden_is_seen(model):
    problem = small_problem(MODELS[model])
    visible = problem.observed & (torch.rand(problem.observed.shape, generator=seeded()) < 0.5)
    by_default = problem.model.encode(problem.values, visible).mean
    missing = problem.model.encode(problem.values, visible, ~visible).mean
    hidden = problem.model.encode(problem.values, visible, torch.zeros_like(visible)).mean
    assert torch.equal(by_default, missing)
    assert not torch.allclose(missing, hidden)


def test_numbers_with_few_values_are_looked_up():
    rng = np.random.default_rng(0)
    embedding, *_ = embedding_of(
        school=rng.integers(0, 10, N_ROWS),
        height=rng.normal(size=N_ROWS),
        rare=rng.integers(0, 100, N_ROWS),  # six rows a value
        either=rng.integers(0, 2, N_ROWS),  # binary, a level of its own anyway
    )
    assert len(embedding.codes.columns) == 1
    assert len(embedding.codes.lookup.vectors) == 10 + 1


def test_each_value_has_a_vector_of_its_own_and_others_that_of_the_nearest():
    embedding, values, observed = embedding_of(
        code=np.arange(N_ROWS) % 5 * 10.0, height=np.random.default_rng(0).normal(size=N_ROWS)
    )
    (column,) = embedding.codes.columns
    looked_up = embedding.codes(values, observed)
    assert len(looked_up.unique(dim=0)) == 5
    step = values[1, column] - values[0, column]
    for away in (-0.4, 0.4):
        assert torch.equal(embedding.codes(values + away * step, observed), looked_up)
    beyond = values.clone()
    beyond[:, column] = 1e6
    assert torch.equal(embedding.codes(beyond, observed), looked_up[4].expand(N_ROWS, -1))


def test_a_value_that_is_not_visible_is_not_looked_up():
    embedding, values, observed = embedding_of(
        code=np.arange(N_ROWS) % 5 * 10.0, height=np.random.default_rng(0).normal(size=N_ROWS)
    )
    assert not embedding.codes(values, torch.zeros_like(observed)).any()


@pytest.mark.parametrize("others", [5, 9, N_ROWS])
def test_weights_of_another_table_bring_what_is_looked_up(others):
    """Of fewer values, of more, or none: the state alone makes a model of the same architecture."""
    rng = np.random.default_rng(0)
    columns = dict(height=rng.normal(size=N_ROWS))
    embedding, values, observed = embedding_of(code=np.arange(N_ROWS) % 7 * 10.0, **columns)
    other, *_ = embedding_of(code=np.arange(N_ROWS) % others * 10.0, **columns)
    unlike = other.codes.lookup
    before = torch.get_rng_state()
    other.load_state_dict(embedding.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    assert other.codes.lookup is not unlike
    assert torch.equal(other(values, observed, ~observed), embedding(values, observed, ~observed))
    kept = other.codes.lookup
    other.load_state_dict(embedding.state_dict())  # as training does, whose optimiser knows it
    assert other.codes.lookup is kept
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(
            {k: v for k, v in embedding.state_dict().items() if k != "dense.bias"}
        )


def test_weights_of_a_table_without_codes():
    columns = dict(height=np.random.default_rng(0).normal(size=N_ROWS))
    embedding, values, observed = embedding_of(code=np.arange(N_ROWS) % N_ROWS * 1.0, **columns)
    other, *_ = embedding_of(code=np.arange(N_ROWS) % 7 * 10.0, **columns)
    other.load_state_dict(embedding.state_dict())
    assert other.codes.lookup is None
    assert torch.equal(other(values, observed, ~observed), embedding(values, observed, ~observed))
