"""How like the real ones synthetic rows are.

A classifier is asked to tell synthetic rows from real ones that the imputer has not seen: an area under the ROC curve
of 0.5 says that it cannot. And classifiers that were trained on synthetic rows predict columns of real ones, beside
classifiers that were trained on real rows. The baseline draws every column by itself.

Example::

    python examples/benchmarks/synthetic.py --rows 20000 --samples 5000
"""

from __future__ import annotations

import argparse
import ast

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult

TARGETS = ["sex", "occupation", "relationship"]


def as_numbers(table: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Numbers and level codes, the same in every table."""
    columns = {}
    for name in like:
        column = table[name]
        if not pd.api.types.is_numeric_dtype(like[name].dtype):
            column = pd.Categorical(
                column.astype(object), like[name].astype("category").cat.categories
            )
            column = column.codes
        columns[name] = np.asarray(column, dtype=float)
    return pd.DataFrame(columns)


def told_apart(real: pd.DataFrame, other: pd.DataFrame) -> float:
    """Cross-validated area under the ROC curve of telling two tables apart."""
    rows = pd.concat([real, other])
    labels = np.repeat([0, 1], [len(real), len(other)])
    model = HistGradientBoostingClassifier(random_state=0)
    return cross_val_score(model, rows, labels, cv=5, scoring="roc_auc").mean()


def accuracy(train: pd.DataFrame, test: pd.DataFrame, target: str) -> float:
    """Of a classifier of a column, trained on one table and tested on another."""
    model = HistGradientBoostingClassifier(early_stopping=False, max_iter=50, random_state=0)
    model.fit(train.drop(columns=target), train[target])
    return model.score(test.drop(columns=target), test[target])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="that the imputer learns")
    parser.add_argument("--samples", type=int, default=5_000, help="of each kind of rows compared")
    parser.add_argument("--param", action="append", default=[], help="KEY=VALUE, of the imputer")
    args = parser.parse_args()
    params = {k: ast.literal_eval(v) for k, v in (p.split("=", 1) for p in args.param)}
    adult = load_adult().dropna().sample(frac=1, random_state=0, ignore_index=True)
    seen, unseen = adult[: args.rows], adult[args.rows :][: 2 * args.samples]
    real, test = unseen[: args.samples], unseen[args.samples :]
    imputer = HeterogeneousVAEImputer(random_state=0, **params).fit(seen)
    kinds = {
        "real": seen.sample(args.samples, random_state=1),
        "synthetic": imputer.sample(args.samples, random_state=0),
        "each column by itself": pd.DataFrame(
            {c: seen[c].sample(args.samples, random_state=i).array for i, c in enumerate(seen)}
        ),
    }
    test, real = as_numbers(test, adult), as_numbers(real, adult)
    rows = {}
    for name, table in kinds.items():
        table = as_numbers(table, adult)
        rows[name] = {"told from real rows (AUC)": told_apart(real, table)}
        rows[name] |= {f"accuracy, {t}": accuracy(table, test, t) for t in TARGETS}
    print(f"Adult, {len(seen)} rows learned, {args.samples} rows of each kind")
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()
