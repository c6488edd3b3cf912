"""Compare imputers of mixed tables: errors on hidden cells, time, memory.

Every run is a process of its own. Its per-feature errors are appended to a CSV file, and a summary
is printed per table. Tables are the bundled ones, ``adult`` and ``heterogeneous``, or those of a
folder with ``NAME.parquet`` and ``NAME.masks.npz`` (boolean arrays, True = hide this cell).

Examples::

    python examples/benchmarks/compare_imputers.py --tables adult --masks mcar20_1,mnar30_2
    python examples/benchmarks/compare_imputers.py --data FOLDER --imputers skhvae,missForest \
        --seeds 0,1,2 --param max_iter=50 --param 'moo="pcgrad"'

A mask of the bundled tables is ``mechanism``, percentage, ``_`` and random state: ``mar30_1``.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import re
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from skhvae import table as tables
from skhvae.datasets import load_adult, make_heterogeneous
from skhvae.evaluation import hide_cells, imputation_errors, total_error
from skhvae.schema import infer_schema, nearest

BUNDLED = {
    "adult": load_adult,
    "heterogeneous": lambda: make_heterogeneous(5000, random_state=0).data,
}


# What is compared: functions of (seed, parameters) that import what they need, and return a
# function from a table with missing cells to the imputed table. The peers regress ordinal ranks and
# round them, which is better than to classify.


def mean_mode(seed, params):
    return lambda table: impute_encoded(table, with_mean_or_mode)


def one_pass_boosting(seed, params):
    """Gradient boosting per column on all others, whose gaps it handles itself."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def impute(encoded, schema):
        nominal = np.array([f.type.metric == "error rate" for f in schema])
        nominal &= np.nanmax(encoded, axis=0) < 255  # the most levels it takes as categories
        result = encoded.copy()
        for i, feature in enumerate(schema):
            labels = feature.type.metric == "error rate"
            model = HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor
            model = model(categorical_features=np.delete(nominal, i), random_state=seed)
            predict_column(model, i, encoded, encoded, result)
        return result

    return lambda table: impute_encoded(table, impute)


def miss_forest(seed, params):
    """Random forests in turn, each on the last imputations of the others (Stekhoven 2012)."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    def impute(encoded, schema):
        result = with_mean_or_mode(encoded, schema)
        for _ in range(3):
            for i in np.argsort(np.isnan(encoded).sum(axis=0), kind="stable"):
                labels = schema.features[i].type.metric == "error rate"
                model = RandomForestClassifier if labels else RandomForestRegressor
                model = model(n_estimators=100, n_jobs=2, random_state=seed)
                predict_column(model, i, encoded, result, result)
        return result

    return lambda table: impute_encoded(table, impute)


def skhvae(seed, params):
    from skhvae import HeterogeneousVAEImputer

    return HeterogeneousVAEImputer(random_state=seed, **params).fit_transform


IMPUTERS = {
    "mean/mode": mean_mode,
    "one-pass HistGradientBoosting": one_pass_boosting,
    "missForest": miss_forest,
    "skhvae": skhvae,
}


def impute_encoded(table, impute):
    """Impute a matrix of numbers and level codes, and put the results back into the table."""
    schema = infer_schema(table)
    encoded = np.empty(table.shape)
    for i, feature in enumerate(schema):
        column = table[feature.name]
        if feature.type.finite:
            codes = pd.Categorical(column.astype(object), categories=feature.levels).codes
            encoded[:, i] = np.where(codes < 0, np.nan, codes)
        else:
            encoded[:, i] = tables.numbers(column, tables.missing_cells(column))
    imputed = impute(encoded, schema)
    result = table.copy()
    for i, feature in enumerate(schema):
        column, missing = table[feature.name], np.isnan(encoded[:, i])
        values = imputed[missing, i]
        if feature.type.finite:
            values = feature.levels[
                np.clip(np.rint(values), 0, len(feature.levels) - 1).astype(int)
            ]
        elif pd.api.types.is_integer_dtype(column.dtype):
            values = np.rint(values)
        if missing.any():
            result.isetitem(i, tables.fill(column, missing, values))
    return result


def with_mean_or_mode(encoded, schema):
    columns = []
    for feature, column in zip(schema, encoded.T, strict=True):
        known = column[~np.isnan(column)]
        best = np.bincount(known.astype(int)).argmax() if feature.type.finite else known.mean()
        columns.append(np.where(np.isnan(column), best, column))
    return np.column_stack(columns)


def predict_column(model, i, encoded, source, result):
    """Fit column `i` of `encoded` on the other columns of `source`; its gaps go to `result`."""
    missing = np.isnan(encoded[:, i])
    if missing.any():
        others = np.delete(source, i, axis=1)
        model.fit(others[~missing], encoded[~missing, i])
        result[missing, i] = model.predict(others[missing])


# How it is measured.


def load_case(data, name, mask):
    """The true table, the table with hidden cells missing, and which cells are hidden."""
    if data is None:
        table = BUNDLED[name]()
        if not (parts := re.fullmatch(r"([a-z]+)(\d+)_(\d+)", mask)):
            raise ValueError(f"A mask of a bundled table is like 'mcar20_1', found {mask!r}.")
        mechanism, percent, seed = parts.groups()
        return table, *hide_cells(table, int(percent) / 100, mechanism, random_state=int(seed))
    table = pd.read_parquet(data / f"{name}.parquet")
    with np.load(data / f"{name}.masks.npz") as masks:
        hidden = masks[mask]
    return table, table.mask(hidden), hidden


def measure(data, name, mask, imputer, seed, params) -> tuple[dict, pd.DataFrame]:
    """One run: what it took, and the errors of every feature."""
    table, with_gaps, hidden = load_case(data, name, mask)
    impute = IMPUTERS[imputer](seed, params)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    imputed = impute(with_gaps)
    wall, cpu = time.perf_counter() - wall, sum(os.times()[:4]) - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    errors = imputation_errors(table, imputed, hidden)
    return {
        "total_error": total_error(errors),
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "peak_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
    }, errors


def measure_apart(*case) -> tuple[dict, pd.DataFrame]:
    """`measure` in a new process, so that memory is its own and a crash ends only this run."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure, *case).result()


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean total error and its standard error per table and imputer, and times beside missForest's."""
    grouped = runs.groupby(["table", "imputer"], sort=False)
    rows = grouped[["total_error", "wall_s", "cpu_s", "peak_mb"]].mean()
    rows.insert(1, "standard_error", grouped["total_error"].sem())
    rows["runs"] = grouped.size()
    if "missForest" in runs["imputer"].values:
        reference = rows.xs("missForest", level="imputer")["wall_s"]
        rows["time_ratio"] = rows["wall_s"].div(reference, level="table")
    return rows.round({"total_error": 4, "standard_error": 4, "time_ratio": 3, "peak_mb": 0})


def known_names(text, known, what):
    """The comma-separated names, all of them known."""
    for name in (names := text.split(",")):
        if name not in known:
            raise SystemExit(f"Unknown {what} {name!r}." + nearest(name, known))
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of NAME.parquet and NAME.masks.npz")
    add("--tables", help="names, comma-separated (default: all)")
    add("--masks", default="mcar20_1", help="names, comma-separated")
    add("--imputers", default=",".join(IMPUTERS), help="names, comma-separated")
    add("--seeds", default="0", help="integers, comma-separated")
    add("--param", action="append", default=[], metavar="KEY=VALUE", help="for skhvae, a literal")
    add("--out", type=Path, default=Path("results.csv"), help="CSV file to append to")
    options = parser.parse_args()

    known = sorted(p.stem for p in options.data.glob("*.parquet")) if options.data else BUNDLED
    names = known_names(options.tables or ",".join(known), known, "table")
    imputers = known_names(options.imputers, IMPUTERS, "imputer")
    seeds = map(int, options.seeds.split(","))
    pairs = (pair.partition("=") for pair in options.param)
    params = {key: ast.literal_eval(value) for key, _, value in pairs}

    runs, failures = [], 0
    for name, mask, seed, imputer in product(names, options.masks.split(","), seeds, imputers):
        run = {"table": name, "mask": mask, "imputer": imputer, "seed": seed}
        run["params"] = str(params) if imputer == "skhvae" else ""
        print(*list(run.values())[:4], end=" ... ", flush=True)
        try:
            taken, errors = measure_apart(options.data, name, mask, imputer, seed, params)
        except Exception as error:
            print(f"failed: {type(error).__name__}: {error}", flush=True)
            failures += 1
            continue
        print(*(f"{key} {value:.4g}" for key, value in taken.items()), flush=True)
        runs.append(run | taken)
        lines = errors.reset_index().assign(**runs[-1])
        lines = lines[[*runs[-1], *errors.reset_index().columns]]
        lines.to_csv(options.out, mode="a", header=not options.out.exists(), index=False)
    if runs:
        print("\n" + summary(pd.DataFrame(runs)).to_string())
    sys.exit(f"{failures} run(s) failed." if failures else 0)


if __name__ == "__main__":
    main()
