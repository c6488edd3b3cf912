"""How cost grows: with rows, with columns, with levels; and what a million rows take.

Times are the smallest of several rounds in turn, because machines are noisy; compare them within one
run. Without options it takes about a minute::

    python examples/benchmarks/scale.py

Why cells are missing is not asked here: that costs the more the wider the table is. ``--large`` fits and transforms 1,000,000 rows of 50 columns in a process of its own, and reports its
peak memory; ``--max-iter 1`` shortens the training to one epoch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from torch import nn

from skhvae import HeterogeneousVAEImputer
from skhvae.models import output_size

BATCH = 512


def make_table(n_rows, n_floats, levels, n_integers=0, n_texts=0, seed=0) -> pd.DataFrame:
    """Columns that follow three common factors, a fifth of their cells missing.

    Parameters
    ----------
    n_rows, n_floats, n_integers, n_texts : int
        The integers are nullable ones, the texts have 50 levels.
    levels : sequence of int
        Number of levels of each categorical column.
    """
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_rows, 3), dtype=np.float32)

    def signal():
        noise = rng.standard_normal(n_rows, dtype=np.float32)
        return factors @ rng.standard_normal(3, dtype=np.float32) + 0.5 * noise

    def missing():
        return rng.random(n_rows, dtype=np.float32) < 0.2

    def category(n_levels):
        codes = np.argsort(np.argsort(signal())) * n_levels // n_rows
        codes[missing()] = -1
        return pd.Series(pd.Categorical.from_codes(codes, [f"level {i}" for i in range(n_levels)]))

    columns = {}
    for i in range(n_floats):
        columns[f"float {i}"] = np.where(missing(), np.nan, signal()).astype(np.float32)
    for i, n_levels in enumerate(levels):
        columns[f"category {i}"] = category(n_levels)
    for i in range(n_integers):
        counts = np.rint(np.exp(signal() / 2)).astype(np.int64)
        columns[f"integer {i}"] = pd.arrays.IntegerArray(counts, missing())
    for i in range(n_texts):
        columns[f"text {i}"] = category(50).astype("str")
    return pd.DataFrame(columns)


def seconds_of(function, *args) -> float:
    started = time.perf_counter()
    function(*args)
    return time.perf_counter() - started


def fitted(table: pd.DataFrame, max_iter: int, **options) -> HeterogeneousVAEImputer:
    return HeterogeneousVAEImputer(
        mechanism="mar", max_iter=max_iter, batch_size=BATCH, random_state=0, **options
    ).fit(table)


def epochs(tables: dict, rounds: int) -> pd.Series:
    """Seconds an epoch on each table, without early stopping; they take turns."""
    seconds = dict.fromkeys(tables, np.inf)
    for _ in range(rounds):
        for name, table in tables.items():
            found = fitted(table, 2, early_stopping=False).history_["seconds"].min()
            seconds[name] = min(seconds[name], found)
    return pd.Series(seconds)


def growth(what: str, sizes: list[int], seconds: pd.Series) -> None:
    """Print the times, and by which power of the size they grow."""
    print(f"\nseconds an epoch by {what}")
    print(pd.DataFrame({"seconds": seconds, "ratio": seconds / seconds.iloc[0]}).round(3))
    power = np.polyfit(np.log(sizes), np.log(seconds.to_numpy()), 1)[0]
    print(f"grows with {what} to the power of {power:.2f}")


def by_rows(rounds: int) -> None:
    sizes = [4096, 8192, 16_384]
    tables = {n: make_table(n, 10, [10] * 10) for n in sizes}
    growth("rows", sizes, epochs(tables, rounds))


def by_columns(rounds: int) -> None:
    sizes = [10, 20, 40, 80, 160]
    tables = {n: make_table(4096, n // 2, [10] * (n // 2)) for n in sizes}
    growth("columns", sizes, epochs(tables, rounds))


def by_levels(rounds: int) -> None:
    """A step on 15 columns, of which one or three have many levels."""
    n_rows = 8192
    tables = {
        (n_wide, n_levels): make_table(n_rows, 8, [n_levels] * n_wide + [10] * (7 - n_wide))
        for n_wide in (1, 3)
        for n_levels in (20, 500, 5000)
    }
    step = epochs(tables, rounds) / (n_rows // BATCH) * 1e3
    step.index = pd.MultiIndex.from_tuples(step.index, names=["wide columns", "levels"])
    narrow = step.xs(20, level="levels").reindex(step.index, level="wide columns")
    print(f"\nmilliseconds a step of {BATCH} rows, 15 columns")
    print(pd.DataFrame({"milliseconds": step, "ratio": step / narrow}).round(2))


def multiply_adds(model: nn.Module) -> int:
    """Of the linear layers, for one row: the decoder's for every posterior point."""
    total = 0
    for name, layer in model.named_modules():
        if output_size(layer) is not None:
            decoder = name.startswith(("trunk", "heads"))
            total += layer.weight.numel() * (model.n_points if decoder else 1)
    return total


def matrix_product_rate() -> float:
    """Multiply-adds a second in float32 products of the networks' shape, at best."""
    x, weight = torch.randn(1024, 192), torch.randn(192, 192)
    best = min(seconds_of(lambda: [x @ weight for _ in range(5)]) for _ in range(50))
    return 5 * x.numel() * weight.shape[1] / best


def transform_speed(rounds: int, n_rows=20_000) -> None:
    """Rows a second of 20 columns, and what the matrix products alone would allow."""
    table = make_table(n_rows, 10, range(3, 23, 2))
    imputer = fitted(table, 1, early_stopping=False)
    model = imputer._engine.model
    work = multiply_adds(model)
    print(
        f"\ntransform, 20 columns: {work:,} multiply-adds a row, {model.n_points} posterior point(s)"
    )
    available = torch.get_num_threads()
    for threads in dict.fromkeys([1, available]):
        torch.set_num_threads(1)
        limit = threads * matrix_product_rate() / work
        torch.set_num_threads(threads)
        best = min(seconds_of(imputer.transform, table) for _ in range(rounds))
        one = min(seconds_of(imputer.transform, table[:1]) for _ in range(10))
        print(
            f"{threads} thread(s): {n_rows / best:,.0f} rows/s of at most {limit:,.0f}; "
            f"a row alone {one * 1e3:.0f} ms"
        )
    torch.set_num_threads(available)


def large(n_rows: int, max_iter: int, threads: int) -> None:
    """A million rows, fitted and transformed; printed with the process's peak memory."""
    torch.set_num_threads(threads)

    def report(what, started):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        seconds = time.perf_counter() - started
        print(f"{what}: {seconds:.0f} s, peak memory so far {peak:,.0f} MB", flush=True)

    started = time.perf_counter()
    table = make_table(n_rows, 25, range(3, 33, 2), n_integers=5, n_texts=5)
    size = table.memory_usage(deep=True).sum() / 2**20
    print(f"\n{n_rows:,} rows x {table.shape[1]} columns, {size:,.0f} MB", flush=True)
    report("table", started)
    started = time.perf_counter()
    imputer = fitted(table, max_iter)
    report("fit", started)
    epoch = imputer.history_["seconds"]
    print(f"of which {len(epoch)} epoch(s) of {epoch.median():.0f} s")
    started = time.perf_counter()
    complete = imputer.transform(table)
    report("transform", started)
    assert complete.notna().all(axis=None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--only", choices=["rows", "columns", "levels", "transform"])
    parser.add_argument("--large", action="store_true", help="1,000,000 rows x 50 columns instead")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large table")
    parser.add_argument("--max-iter", type=int, default=400, help="of the large table")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", message="Column .* look like identifiers")
    if args.large:
        process = multiprocessing.get_context("spawn").Process(
            target=large, args=(args.rows, args.max_iter, torch.get_num_threads())
        )
        process.start()
        process.join()
        return
    parts = {
        "rows": by_rows,
        "columns": by_columns,
        "levels": by_levels,
        "transform": transform_speed,
    }
    for name, part in parts.items():
        if args.only in (None, name):
            part(args.rounds)


if __name__ == "__main__":
    main()
