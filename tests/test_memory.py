"""Blocks of rows that get smaller where memory does not suffice."""

import numpy as np
import pandas as pd
import pytest
import torch

from skhvae import HeterogeneousVAEImputer
from skhvae.completer import impute_rows
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.memory import in_blocks

ERRORS = [
    MemoryError(),
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
]


class Work:
    """Notes the rows that were worked on; fails for more than it can take."""

    def __init__(self, most, error):
        self.most, self.error, self.done, self.sizes = most, error, [], []

    def __call__(self, rows, size):
        if rows.stop - rows.start > self.most:
            raise self.error
        self.done.extend(range(rows.start, rows.stop))
        self.sizes.append(size)


@pytest.mark.parametrize("n_rows", [0, 1, 99, 100, 101, 450])
def test_all_rows_once_and_in_order(n_rows):
    work = Work(100, None)
    in_blocks(work, n_rows, 100)
    assert work.done == list(range(n_rows))
    assert set(work.sizes) <= {100}


@pytest.mark.parametrize("error", ERRORS, ids=str)
@pytest.mark.parametrize(("most", "size"), [(30, 25), (70, 50), (399, 200)])
def test_blocks_are_halved_until_they_fit(error, most, size):
    work = Work(most, error)
    in_blocks(work, 500, 400)
    assert work.done == list(range(500))
    assert set(work.sizes) == {size}


def test_memory_that_never_suffices():
    with pytest.raises(MemoryError):
        in_blocks(Work(0, MemoryError()), 500, 400)


@pytest.mark.parametrize("error", [RuntimeError("of a likelihood"), ValueError("out of memory")])
def test_other_errors_pass_at_once(error):
    work = Work(10, error)
    with pytest.raises(type(error), match=str(error)):
        in_blocks(work, 500, 400)
    assert not work.done


@pytest.mark.parametrize("allocate", [np.empty, torch.empty], ids=["numpy", "torch"])
def test_what_the_libraries_really_raise(allocate):
    """For numbers that no machine has room for."""
    done = []

    def work(rows, size):
        if size > 100:
            allocate(2**53)
        done.append(rows)

    in_blocks(work, 400, 400)
    assert [rows.stop - rows.start for rows in done] == [100] * 4


# Transform


@pytest.fixture(scope="module")
def fitted():
    table = hide_cells(make_heterogeneous(60, random_state=0).data, random_state=0)[0]
    imputer = HeterogeneousVAEImputer(
        max_iter=2,
        latent_dim=16,
        hidden_layer_sizes=(16,),
        n_members=1,
        random_state=0,
        device="cpu",
    )
    return imputer.fit(table), pd.concat([table] * 20, ignore_index=True)


def scarce(monkeypatch, most_rows, most_at_once=10**9):
    """Memory for blocks of so many rows, and for so many of them at once in the model."""
    done = []

    def impute(model, values, *args):
        if len(values) > most_rows or args[-1] > most_at_once:
            raise MemoryError
        done.append(len(values))
        return impute_rows(model, values, *args)

    monkeypatch.setattr("skhvae.completer.impute_rows", impute)
    return done


def test_transform_with_little_memory_gives_the_same_to_the_last_bit(fitted, monkeypatch):
    imputer, table = fitted
    expected = imputer.transform(table)
    done = scarce(monkeypatch, 600)
    pd.testing.assert_frame_equal(imputer.transform(table), expected, check_exact=True)
    assert len(done) > 1
    assert max(done) == 512
    assert sum(done) == table.isna().any(axis=1).sum()


def test_transform_takes_fewer_rows_at_once_where_not_even_a_chunk_fits(fitted, monkeypatch):
    imputer, table = fitted
    expected = imputer.transform(table)
    done = scarce(monkeypatch, 10**9, most_at_once=100)
    pd.testing.assert_frame_equal(imputer.transform(table), expected, rtol=1e-5)
    assert max(done) == 64


def test_transform_without_memory(fitted, monkeypatch):
    imputer, table = fitted
    scarce(monkeypatch, 0)
    with pytest.raises(MemoryError):
        imputer.transform(table)
