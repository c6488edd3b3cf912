"""Rows that a table holds more than once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skhvae import repeats
from skhvae.repeats import RepeatedRows, repetitions_that_pay


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def repetitive(n_rows=400, n_features=8, share=0.5, gaps=0.2, seed=0):
    """Rows of which a share repeat an earlier one, all of them with gaps: the truth, and what is known."""
    rng = np.random.default_rng(seed)
    complete = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    again = rng.permutation(n_rows)[: int(share * n_rows)]
    complete[again] = complete[rng.integers(n_rows, size=len(again))]
    return torch.tensor(complete), torch.tensor(rng.random(complete.shape) >= gaps)


def by_comparing_all(values, observed, asked, visible, own):
    """What the repetitions of highest evidence know, row by row."""
    n_rows, n_features = values.shape
    surprise = np.zeros(asked.shape)
    for d in range(n_features):
        known = values[observed[:, d], d]
        for i in range(len(asked)):
            share = (known == asked[i, d]).mean() if len(known) else 0.0
            surprise[i, d] = -np.log(share) if share else 0.0
    found = np.full(asked.shape, np.nan, dtype=np.float32)
    best = np.full(asked.shape, np.log(n_rows) + repeats._SURE)
    for i in range(len(asked)):
        for j in range(n_rows):
            both = visible[i] & observed[j]
            if own[i] == j or (asked[i] != values[j])[both].any():
                continue
            evidence = surprise[i, both].sum()
            better = ~visible[i] & observed[j] & (evidence >= best[i]) & (evidence > 0)
            found[i, better], best[i, better] = values[j, better], evidence
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([0, 1, 3, 12]), st.booleans())
def test_as_by_comparing_all_rows(seed, n_rows, n_distinct, of_the_table):
    """With as many keys and candidates as there are."""
    rng = np.random.default_rng(seed)
    shape = n_rows, 6
    values = rng.standard_normal(shape).astype(np.float32)
    if n_distinct:
        values = rng.integers(n_distinct, size=shape).astype(np.float32)
    values[rng.integers(n_rows, size=n_rows // 2)] = values[0]
    observed = rng.random(shape) < 0.7
    asked, visible, own = values, observed & (rng.random(shape) < 0.8), np.arange(n_rows)
    if not of_the_table:
        asked = np.concatenate([values[::2], values[:3] + np.float32(0.5)])
        visible = rng.random(asked.shape) < 0.8
        own = np.full(len(asked), -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "_SURE", -np.log(n_rows))  # any agreement will do
        patch.setattr(repeats, "_N_KEYS", 6)
        patch.setattr(repeats, "_MOST_CANDIDATES", n_rows)
        patch.setattr(repeats, "_BATCH", 7)
        rows = RepeatedRows(torch.tensor(values), torch.tensor(observed), seeded())
        found = rows.look_up(torch.tensor(asked), torch.tensor(visible), own).numpy()
        expected = by_comparing_all(values, observed, asked, visible, own)
    np.testing.assert_array_equal(found, expected)


def test_repetitions_know_the_truth():
    complete, observed = repetitive()
    values = torch.where(observed, complete, 0)
    found = RepeatedRows(values, observed, seeded()).look_up(values, observed)
    known = ~found.isnan()
    assert not known[observed].any()
    assert 0.3 < known.sum() / (~observed).sum() < 0.9
    assert torch.equal(found[known], complete[known])


def test_agreement_by_chance_is_no_repetition():
    """Two thousand rows of three frequent values in each of six columns agree often."""
    rng = np.random.default_rng(0)
    values = torch.tensor(rng.integers(3, size=(2000, 6)).astype(np.float32))
    observed = torch.tensor(rng.random((2000, 6)) < 0.8)
    assert RepeatedRows(values, observed, seeded()).look_up(values, observed).isnan().all()


def test_a_row_alone_answers_as_among_others():
    complete, observed = repetitive()
    rows = RepeatedRows(complete, observed, seeded())
    whole = rows.look_up(complete, observed)
    for some in (torch.tensor([7]), torch.arange(399, -1, -3)):
        found = rows.look_up(complete[some], observed[some])
        torch.testing.assert_close(found, whole[some], rtol=0, atol=0, equal_nan=True)
    assert rows.look_up(complete[:0], observed[:0]).shape == (0, 8)


def test_of_a_large_table_some_rows_are_kept(monkeypatch):
    monkeypatch.setattr(repeats, "_MOST_ROWS", 100)
    complete, observed = repetitive()
    rows = RepeatedRows(complete, observed, seeded())
    assert len(rows.kept) == 100
    found = rows.look_up(complete, observed)
    known = ~found.isnan()
    assert known.any()
    assert torch.equal(found[known], complete[known])
    alone = rows.look_up(complete[rows.kept], observed[rows.kept], rows.kept)
    assert alone.isnan().sum() > found[rows.kept].isnan().sum() - 1


def held_out(complete, observed, seed=1):
    rng = np.random.default_rng(seed)
    return observed & torch.tensor(rng.random(complete.shape) < 0.1)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_repetitions_pay_where_there_are_any(share):
    complete, observed = repetitive(share=share)
    held = held_out(complete, observed)
    finite = torch.zeros(8, dtype=torch.bool)
    nothing = torch.zeros_like(complete)
    rows = repetitions_that_pay(complete, observed, held, nothing, finite, seeded())
    assert (rows is None) == (share == 0)
    # Nothing is better than the truth.
    assert repetitions_that_pay(complete, observed, held, complete, finite, seeded()) is None


def test_the_row_itself_is_no_repetition():
    """It would know its own held-out cells."""
    complete, observed = repetitive(share=0.0, gaps=0.0)
    rows = RepeatedRows(complete, observed, seeded())
    visible = ~held_out(complete, observed)
    assert not rows.look_up(complete, visible).isnan().all()
    assert rows.look_up(complete, visible, np.arange(400)).isnan().all()


def test_repetitions_of_levels_pay_too():
    rng = np.random.default_rng(0)
    complete = torch.tensor(rng.integers(40, size=(300, 10)).astype(np.float32))
    complete[150:] = complete[:150]
    observed = torch.tensor(rng.random((300, 10)) < 0.8)
    held, finite = held_out(complete, observed), torch.ones(10, dtype=torch.bool)
    guess = torch.zeros_like(complete)
    rows = repetitions_that_pay(complete, observed, held, guess, finite, seeded())
    assert isinstance(rows, RepeatedRows)


def test_first_rows_are_enough_to_judge():
    complete, observed = repetitive()
    held = held_out(complete, observed)[:200]
    finite = torch.zeros(8, dtype=torch.bool)
    rows = repetitions_that_pay(complete, observed, held, torch.zeros(200, 8), finite, seeded())
    assert len(rows.kept) == 400


def test_columns_without_a_value():
    complete, observed = repetitive()
    observed[:, 2] = False
    found = RepeatedRows(complete, observed, seeded()).look_up(complete, observed)
    assert found[:, 2].isnan().all()
    assert not found.isnan().all()
