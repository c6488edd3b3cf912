"""Impute a table
==================

UCI Adult has numbers, categories and an ordered category. We hide a fifth of its known cells, impute
them, and compare with the truth: per feature, beside mean/mode and scikit-learn's ``SimpleImputer``.

Run it with ``python examples/01_impute_a_table.py``; ``--rows 2000 --max-iter 5`` for a quick look.
"""

import argparse
import time

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells, imputation_errors, total_error

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--rows", type=int, default=None, help="use only so many rows")
parser.add_argument("--max-iter", type=int, default=400, help="largest number of epochs")
parser.add_argument("--picture", default="imputation_errors.png", help="where the picture goes")
parser.add_argument("--verbose", type=int, default=1)
args = parser.parse_args()

# %%
# The table, with a fifth of its known cells hidden. Genuinely missing cells stay missing.
adult = load_adult().iloc[: args.rows]
table, hidden = hide_cells(adult, fraction=0.2, random_state=0)
print(
    f"Adult: {len(table)} rows, {table.shape[1]} columns, {table.isna().mean().mean():.0%} missing\n"
)

# %%
# One call. Feature types are inferred from the dtypes; the same DataFrame comes back, complete.
imputer = HeterogeneousVAEImputer(max_iter=args.max_iter, random_state=0, verbose=args.verbose)
start = time.perf_counter()
complete = imputer.fit_transform(table)
seconds = time.perf_counter() - start
assert complete.isna().sum().sum() == 0
assert (complete.dtypes == table.dtypes).all()

# %%
# The same with scikit-learn's ``SimpleImputer``: means for numbers, modes for categories.
simple = make_column_transformer(
    (SimpleImputer(), make_column_selector(dtype_include="number")),
    (SimpleImputer(strategy="most_frequent"), make_column_selector(dtype_include="category")),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
simple_complete = simple.fit_transform(table)[adult.columns]

# %%
# Errors on the hidden cells: RMSE / range for numbers, share of wrong levels for categories, mean
# rank difference / number of levels for ordered ones.
errors = imputation_errors(adult, complete, hidden)
simple_errors = imputation_errors(adult, simple_complete, hidden)
report = errors[["type", "metric", "n_cells"]].assign(
    skhvae=errors["error"],
    SimpleImputer=simple_errors["error"],
    ratio=errors["error"] / simple_errors["error"],
)
with pd.option_context("display.width", 120, "display.max_columns", None):
    print(f"\n{report.round(3)}\n")
print(
    f"Total error {total_error(errors):.4f}, SimpleImputer {total_error(simple_errors):.4f}; "
    f"{imputer.n_iter_} epochs in {seconds:.0f} s on {imputer.device_}."
)

# %%
# And a picture of it.
try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    print("For the picture: pip install matplotlib")
else:
    order = report.sort_values("ratio").index[::-1]
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(order) + 1.2), layout="constrained")
    axes.hlines(
        order, report["skhvae"][order], report["SimpleImputer"][order], color="0.75", zorder=1
    )
    axes.scatter(report["SimpleImputer"][order], order, color="0.45", label="SimpleImputer")
    axes.scatter(report["skhvae"][order], order, color="tab:blue", label="skhvae")
    axes.set(xlabel="error on hidden cells (each feature in its own metric)", xlim=(0, None))
    axes.set_title(
        f"Adult, a fifth hidden: {total_error(errors):.3f} against {total_error(simple_errors):.3f}"
    )
    axes.legend(loc="lower right")
    figure.savefig(args.picture, dpi=150)
    print(f"Picture: {args.picture}")
