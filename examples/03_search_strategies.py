"""Search among strategies
==========================

Which strategy, and how much weight for the KL term? ``moo`` and ``beta`` are parameters like any
other, so scikit-learn's ``GridSearchCV`` answers, and we ask it twice. Inside a Pipeline the
imputer is judged by what comes after it: how well a classifier tells who works more than 40 hours a
week from an Adult table with a fifth of its cells hidden. Alone, it is judged by its own ``score``,
for which hidden cells must be recovered.

What the numbers show is how such a search is made, not which strategy is best. Fits are short and
on few rows, three folds are few, and the best of eight candidates looks better than it will be on
new rows. Standard deviations are mostly of the folds, which are easier or harder for all candidates
alike; that is why the tables also hold every candidate's distance to the best one on the same
folds. Unless it is several times its own standard deviation it means nothing, and with so few folds
some distances are that by chance. The two scores need not agree: a classifier needs some columns
only, and forgives errors in the others.

Run it with ``python examples/03_search_strategies.py`` (a good minute on two cores);
``--rows 400 --max-iter 2`` for a quick look.
"""

import argparse
import time

import joblib
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--rows", type=int, default=2000, help="use only so many rows")
parser.add_argument("--max-iter", type=int, default=15, help="largest number of epochs of a fit")
parser.add_argument("--folds", type=int, default=3)
parser.add_argument("--n-jobs", type=int, default=2, help="fits at a time, each in a process")
parser.add_argument("--picture", default="strategy_search.png", help="where the picture goes")
args = parser.parse_args()

# %%
# The target is made of a column that we then drop; a fifth of the other columns' cells is hidden,
# in training and test folds alike.
adult = load_adult().iloc[: args.rows]
long_hours = (adult["hours-per-week"] > 40).to_numpy()
adult = adult.drop(columns="hours-per-week")
table, _ = hide_cells(adult, fraction=0.2, random_state=0)

# %%
# The imputer returns a DataFrame with the dtypes of the table; the next step can select by them.
numbers = make_column_selector(dtype_include="number")
categories = make_column_selector(dtype_exclude="number")
imputer = HeterogeneousVAEImputer(max_iter=args.max_iter, device="cpu", random_state=0)
encode = ColumnTransformer(
    [
        ("levels", OneHotEncoder(handle_unknown="ignore"), categories),
        ("numbers", StandardScaler(), numbers),
    ]
)
pipeline = Pipeline(
    [("impute", imputer), ("encode", encode), ("classify", LogisticRegression(max_iter=1000))]
)

# %%
# A tuple of strategies is applied in order: first the gradients' sizes, then their directions.
grid = {"moo": ["sum", "equal-norm", "pcgrad", ("equal-norm", "pcgrad")], "beta": [0.1, 1.0]}


def search(estimator, target=None, prefix="", **options) -> pd.DataFrame:
    """A row a candidate: scores over the folds, and their distance to the best candidate's."""
    start = time.perf_counter()
    searched = GridSearchCV(
        estimator,
        {prefix + name: values for name, values in grid.items()},
        cv=args.folds,
        n_jobs=args.n_jobs,
        error_score="raise",
        refit=False,  # the best candidate is known without it; leave it out to have it fitted, too
        **options,
    ).fit(table, target)
    results = pd.DataFrame(searched.cv_results_)
    scores = results[[f"split{fold}_test_score" for fold in range(args.folds)]]
    distance = scores - scores.loc[searched.best_index_]
    moo, beta = (results[f"param_{prefix}{name}"] for name in ("moo", "beta"))
    report = pd.DataFrame(
        {
            "moo": [" + ".join([m] if isinstance(m, str) else m) for m in moo],
            "beta": beta.astype(float),
            "mean": results["mean_test_score"],
            "std": results["std_test_score"],
            "rank": results["rank_test_score"],
            "to best": distance.mean(axis=1),
            "its std": distance.std(axis=1, ddof=0),
        }
    )
    seconds = time.perf_counter() - start
    print(report.round(4).to_string(index=False))
    print(f"Best: {searched.best_params_}; {seconds:.0f} s with n_jobs={args.n_jobs}\n", flush=True)
    return report


# %%
# ``n_jobs`` makes processes, and joblib gives each its share of the cores before torch starts
# there: two fits at a time on two cores have one thread each. To give less, or more, wrap the
# search in ``joblib.parallel_config("loky", inner_max_num_threads=...)``. With the backend
# "multiprocessing" each has one thread; "threading" shares nothing out: call ``torch.set_num_threads``
# first of all if you use it.
fits = joblib.effective_n_jobs(args.n_jobs)
share = joblib.Parallel(args.n_jobs)([joblib.delayed(torch.get_num_threads)()])[0]
print(f"{joblib.cpu_count()} cores, {fits} fits at a time, torch threads of each: {share}\n")

# %%
# For comparison: the classifier after means and modes, and on the table without hidden cells.
simple = make_column_transformer(
    (SimpleImputer(), numbers),
    (SimpleImputer(strategy="most_frequent"), categories),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
references = {
    name: cross_val_score(model, X, long_hours, cv=args.folds, scoring="roc_auc").mean()
    for name, model, X in [
        ("mean and mode", clone(pipeline).set_params(impute=simple), table),
        ("nothing hidden", pipeline[1:], adult),
    ]
}

# %%
# Judged by the classifier: area under the ROC curve.
print("In a Pipeline: ROC AUC of the classifier, greater is better")
downstream = search(pipeline, long_hours, "impute__", scoring="roc_auc")
print("\n".join(f"{name}: {score:.4f}" for name, score in references.items()), end="\n\n")

# %%
# Judged by itself: minus the mean error of the features on cells that are hidden for the purpose.
print("Alone: the imputer's own score, 0 is perfect")
alone = search(imputer)

# %%
# And a picture of both: means over the folds, and standard deviations.
try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    print("For the picture: pip install matplotlib")
else:
    labels = [f"{row.moo}, beta {row.beta:g}" for row in alone.itertuples()][::-1]
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    titles = {"in a Pipeline: ROC AUC": downstream, "alone: minus mean error": alone}
    for axes, (title, report) in zip(panels, titles.items(), strict=True):
        means = report["mean"][::-1]
        axes.errorbar(means, labels, xerr=report["std"][::-1], fmt="none", color="0.75")
        axes.scatter(means, labels, color="tab:blue", zorder=2)
        axes.set(xlabel=title)
    for style, (name, score) in zip((":", "--"), references.items(), strict=True):
        panels[0].axvline(score, color="0.45", linestyle=style, label=name, zorder=0)
    panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    figure.suptitle(f"Adult, {len(table)} rows, a fifth hidden: mean and std of {args.folds} folds")
    figure.savefig(args.picture, dpi=150)
    print(f"Picture: {args.picture}")
