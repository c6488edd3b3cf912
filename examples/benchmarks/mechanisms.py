"""Why cells are missing: is it found out, and what is it worth?

Cells of complete columns are hidden in seven ways, of which the imputer assumes two. It is fitted once for
each; its errors are printed as they are, and as they would be had it taken all cells to be missing at
random (``mechanism="mar"``)::

    python examples/benchmarks/mechanisms.py
    python examples/benchmarks/mechanisms.py --data FOLDER --tables boston,wine --seeds 0,1 --out report.csv

``FOLDER`` holds ``NAME.parquet``; without it the tables are the bundled ones.
"""

from __future__ import annotations

import argparse
import ast
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult, make_heterogeneous
from skhvae.evaluation import hide_cells, imputation_errors, total_error

BUNDLED = {
    "heterogeneous": lambda: make_heterogeneous(800, random_state=0).data,
    "adult": lambda: load_adult().sample(5000, random_state=0).reset_index(drop=True),
}


def scores(table, rng) -> np.ndarray:
    """Every column as standardised ranks, or a random number a level; 0 where missing."""
    columns = []
    for _, column in table.items():
        codes, levels = pd.factorize(column, sort=True)
        number = rng.standard_normal(len(levels))[codes]
        ordered = column.dtype.ordered if column.dtype == "category" else codes.max() > 1
        if ordered and not pd.api.types.is_string_dtype(column.dtype):
            number = pd.Series(codes).rank().to_numpy()
        known = codes >= 0
        number = (number - number[known].mean()) / (number[known].std() or 1.0)
        columns.append(np.where(known, number, 0.0))
    return np.column_stack(columns)


def by_own_value(chance):
    """Hide a cell with a chance that depends on its own score."""

    def hide(table, rng):
        return rng.random(table.shape) < chance(scores(table, rng))

    return hide


def by_a_column(chance):
    """A third of the complete columns are kept, and one of them, drawn for each other column, decides."""

    def hide(table, rng):
        found = scores(table, rng)
        complete = np.flatnonzero(table.notna().all())
        kept = rng.choice(complete, max(1, len(complete) // 3), replace=False)
        deciding = found[:, rng.choice(kept, size=table.shape[1])]
        deciding[:, kept] = np.nan  # no chance is greater than NaN
        return rng.random(table.shape) < np.where(np.isnan(deciding), 0, chance(deciding))

    return hide


def by_hide_cells(mechanism):
    def hide(table, rng):
        return hide_cells(table, 0.3, mechanism, random_state=rng)[1]

    return hide


def in_steps(score):
    return np.where(score > 0, 0.55, 0.05)


def at_both_ends(score):
    return np.where(np.abs(score) > 1, 0.7, 0.12)


MECHANISMS = {
    "at random, mcar": by_hide_cells("mcar"),
    "at random, logistic in several columns": by_hide_cells("mar"),
    "at random, a step of one column": by_a_column(in_steps),
    "at random, both ends of one column": by_a_column(at_both_ends),
    "own value, logistic": by_hide_cells("mnar"),
    "own value, a step": by_own_value(in_steps),
    "own value, both ends": by_own_value(at_both_ends),
}


def measure(table, hide, seed, params) -> dict:
    """Which columns were taken to be missing for their own value, and the errors with and without."""
    hidden = hide(table, np.random.default_rng(seed)) & table.notna().to_numpy()
    with_gaps = table.mask(hidden)
    imputer = HeterogeneousVAEImputer(random_state=seed, **params).fit(with_gaps)

    def error():
        return total_error(imputation_errors(table, imputer.transform(with_gaps), hidden))

    report = imputer.missingness_
    line = {
        "columns": int(report["own_value"].notna().sum()),
        "taken for mnar": int((report["mechanism"] == "mnar").sum()),
        "error": error(),
    }
    imputer._engine.selection = None
    return line | {"as if at random": error()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of NAME.parquet")
    add("--tables", help="names, by default all")
    add("--seeds", default="0")
    add("--param", action="append", default=[], help="of the imputer, e.g. max_steps=500")
    add("--out", type=Path, help="CSV file of the lines")
    add("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    params = dict(item.split("=", 1) for item in options.param)
    params = {name: ast.literal_eval(value) for name, value in params.items()}
    if options.data:
        paths = {path.stem: path for path in sorted(options.data.glob("*.parquet"))}
        load = {name: lambda path=path: pd.read_parquet(path) for name, path in paths.items()}
    else:
        load = BUNDLED
    lines = []
    for name in options.tables.split(",") if options.tables else load:
        table = load[name]()
        for mechanism, hide in MECHANISMS.items():
            for seed in map(int, options.seeds.split(",")):
                line = {"table": name, "mechanism": mechanism, "seed": seed}
                lines.append(line | measure(table, hide, seed, params))
                print(*(f"{value:.4f}" if isinstance(value, float) else value
                        for value in lines[-1].values()), sep="  ", flush=True)  # fmt: skip
    lines = pd.DataFrame(lines)
    lines["ratio"] = lines["error"] / lines["as if at random"]
    if options.out:
        lines.to_csv(options.out, index=False)
    of_mechanism = lines.groupby("mechanism", sort=False)
    shares = of_mechanism["taken for mnar"].sum() / of_mechanism["columns"].sum()
    ratios = np.exp(of_mechanism["ratio"].agg(lambda ratio: np.log(ratio).mean()))
    print(
        "\nShare of columns taken to be missing for their own value; error relative to 'at random'"
    )
    print(pd.DataFrame({"share": shares.round(2), "ratio": ratios.round(3)}).to_string())


if __name__ == "__main__":
    main()
