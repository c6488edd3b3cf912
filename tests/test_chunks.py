"""Tables that come in chunks: what is read, what is kept, and how much memory that takes."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet
import pytest
from light import light
from pandas.testing import assert_frame_equal

from skhvae import chunks
from skhvae.chunks import chunks_of, sample_rows
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells

TABLE = hide_cells(make_heterogeneous(120, random_state=0).data, random_state=0)[0]


def parts(table, size=50):
    return [table.iloc[start : start + size] for start in range(0, len(table), size)]


@pytest.fixture
def folder(tmp_path):
    for i, part in enumerate(parts(TABLE)):
        part.to_parquet(tmp_path / f"{i}.parquet")
    return tmp_path


def test_all_rows_are_kept_where_they_are_few():
    sample, n_rows = sample_rows(parts(TABLE), np.random.default_rng(0))
    assert n_rows == len(TABLE)
    assert_frame_equal(sample, TABLE.reset_index(drop=True))


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_every_row_has_the_same_chance(size, monkeypatch):
    monkeypatch.setattr(chunks, "_MOST_ROWS", 30)
    table, n_times = pd.DataFrame({"row": np.arange(300)}), 200
    counts = np.zeros(len(table))
    for seed in range(n_times):
        sample, n_rows = sample_rows(parts(table, size), np.random.default_rng(seed))
        assert len(sample) == 30
        assert n_rows == 300
        assert sample["row"].is_monotonic_increasing
        counts[sample["row"]] += 1
    expected = n_times * 30 / 300
    assert ((counts - expected) ** 2 / expected).sum() < 300 + 5 * np.sqrt(2 * 300)  # chi squared
    assert abs(counts[:150].sum() - counts[150:].sum()) < 5 * np.sqrt(n_times * 30)


def test_wide_tables_keep_fewer_rows(monkeypatch):
    monkeypatch.setattr(chunks, "_MOST_CELLS", 100)
    sample, _ = sample_rows(parts(TABLE), np.random.default_rng(0))
    assert len(sample) == 100 // TABLE.shape[1]


def test_what_is_kept_while_reading_is_bounded(monkeypatch):
    monkeypatch.setattr(chunks, "_MOST_ROWS", 20)
    sizes, lowest = [], chunks._lowest
    monkeypatch.setattr(
        chunks,
        "_lowest",
        lambda kept, most: sizes.append(sum(len(t) for _, t in kept)) or lowest(kept, most),
    )
    sample_rows(parts(pd.DataFrame({"a": range(5000)}), 10), np.random.default_rng(0))
    assert max(sizes) <= 2 * 20 + 10


JOINED = {
    "categories add up": (["a", "b"], ["b", "c"], "category", "category"),
    "integers and gaps": ([1, 2], [3.0, None], None, "float64"),
    "text and nothing": (["a", "b"], [None, None], None, "str"),
    "numbers and nothing": ([0.5, 1.5], [None, None], None, "float64"),
    "dates and nothing": (
        pd.to_datetime(["2024-01-01", None]),
        [None, None],
        None,
        "datetime64[us]",
    ),
}


@pytest.mark.parametrize(("first", "second", "dtype", "expected"), JOINED.values(), ids=JOINED)
@pytest.mark.parametrize("swapped", [False, True])
def test_parts_become_one_column(first, second, dtype, expected, swapped):
    both = [pd.DataFrame({"x": pd.Series(values, dtype=dtype)}) for values in (first, second)]
    sample, _ = sample_rows(both[::-1] if swapped else both, np.random.default_rng(0))
    assert sample["x"].dtype == expected
    values = [*second, *first] if swapped else [*first, *second]
    for found, value in zip(sample["x"], values, strict=True):
        assert (pd.isna(found) and pd.isna(value)) or found == value


def test_ordered_categories_must_agree():
    small, large = (
        pd.DataFrame({"size": pd.Categorical(["S"], levels, ordered=True)})
        for levels in (["S", "M"], ["S", "L"])
    )
    with pytest.raises(
        ValueError, match="Column 'size': ordered categories must be the same in all"
    ):
        sample_rows([small, large], np.random.default_rng(0))


def test_chunks_have_the_same_columns():
    with pytest.raises(ValueError, match=r"Chunk 1 must have the columns of the first.*'b'"):
        sample_rows([pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})], np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least one chunk, found none"):
        sample_rows([], np.random.default_rng(0))


def test_tables_and_arrays_are_no_chunks():
    for X in (
        TABLE,
        pl.DataFrame({"a": [1]}),
        pa.table({"a": [1]}),
        np.ones((3, 2)),
        [[1, 2], [3, 4]],
    ):
        assert chunks_of(X) is None


READABLE = {
    "a list of tables": lambda folder: parts(TABLE),
    "an iterator": lambda folder: iter(parts(TABLE)),
    "a path": lambda folder: str(folder),
    "a list of paths": lambda folder: sorted(folder.iterdir()),
    "a dataset": lambda folder: pyarrow.dataset.dataset(folder),
}


@pytest.mark.parametrize("read", READABLE.values(), ids=READABLE)
def test_fit_to_chunks(read, folder):
    fitted = light().fit(read(folder))
    assert fitted.n_samples_seen_ == len(TABLE)
    assert fitted.feature_types_ == light().fit(TABLE).feature_types_
    complete = fitted.transform(TABLE)
    assert not complete.isna().to_numpy().any()
    assert (complete.dtypes == TABLE.dtypes).all()


def test_chunks_of_another_library():
    table = pl.DataFrame({"x": [0.5, None, 2.0, 1.5] * 10, "y": ["a", "b", None, "a"] * 10})
    fitted = light().fit(table[start : start + 7] for start in range(0, 40, 7))
    assert fitted.n_samples_seen_ == 40
    assert fitted.transform(table).null_count().sum_horizontal().item() == 0


def test_fit_to_chunks_is_a_fit_to_their_rows():
    whole = light().fit(TABLE.reset_index(drop=True))
    assert_frame_equal(light().fit(parts(TABLE)).transform(TABLE), whole.transform(TABLE))


@pytest.mark.parametrize("name", ["table.csv", "table.feather"])
def test_other_files(name, tmp_path):
    path = tmp_path / name
    table = pa.table({"a": [1.5, None, 2.5] * 20, "b": ["x", "y", None] * 20})
    if name.endswith("csv"):
        table.to_pandas().to_csv(path, index=False)
    else:
        pyarrow.feather.write_feather(table, path)
    fitted = light().fit(path)
    assert fitted.feature_names_in_.tolist() == ["a", "b"]
    assert fitted.n_samples_seen_ == 60


def test_a_path_where_nothing_is(tmp_path):
    with pytest.raises(FileNotFoundError):
        light().fit(tmp_path / "nothing.parquet")


def test_chunks_are_not_transformed(folder):
    fitted = light().fit(TABLE)
    for X in (str(folder), parts(TABLE), iter(parts(TABLE))):
        with pytest.raises(TypeError, match="chunk by chunk"):
            fitted.transform(X)
    unfitted = light()
    with pytest.raises(TypeError, match="chunk by chunk"):
        unfitted.fit_transform(iter(parts(TABLE)))
    assert not hasattr(unfitted, "schema_"), "nothing has been trained"


# Without stocks of memory, which are large, and count whether they are used or not.
PLAIN_MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
LIMITED = """
import resource, sys
import numpy as np, pandas as pd
import pyarrow.dataset
from skhvae import HeterogeneousVAEImputer, chunks

chunks._MOST_ROWS = 2000
folder = sys.argv[1]
dataset = pyarrow.dataset.dataset(folder)
imputer = HeterogeneousVAEImputer(max_iter=1, latent_dim=4, hidden_layer_sizes=(8,), mechanism="mar")
imputer.fit(pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 10))))
dataset.head(10)  # all libraries are loaded, and their threads are there
used = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 120 * 2**20,) * 2)
imputer.fit(dataset)
print(imputer.n_samples_seen_)
try:
    dataset.to_table()
except (MemoryError, OSError):
    print("too large")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its memory as Linux does")
def test_a_table_larger_than_memory(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(25):
        table = pa.table({f"x{j}": rng.normal(size=100_000) for j in range(10)})
        pa.parquet.write_table(table, tmp_path / f"{i}.parquet", row_group_size=10_000)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | PLAIN_MEMORY,
    )
    assert done.stdout.split("\n")[:2] == ["2500000", "too large"], done.stderr
