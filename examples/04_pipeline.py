"""Before a classifier
===================

Is a table worth imputing before a classifier sees it? Some classifiers need complete tables; others,
such as scikit-learn's ``HistGradientBoostingClassifier``, take missing values as they are. We ask both
kinds who is married, from an Adult table with a part of its cells hidden, and cross-validate whole
pipelines: every fold's imputer sees that fold's training rows alone.

Do not expect much of it for strong learners: where cells are missing at random, boosting loses little
by itself, and may do better without an imputer than with one; "Imputation for prediction: beware of
diminishing returns" (arXiv 2407.19804) measures that on many tables. The imputer earns its keep where the
next step cannot take missing values, where the completed table is itself what is wanted, or where
many steps share it. Folds are easier or harder for all alike, so the table also holds every way's
distance to the first one on the same folds; unless that is several times its own standard deviation,
it means nothing.

Both classifiers share a cache: what is imputed for the first is not imputed again for the second.

Run it with ``python examples/04_pipeline.py`` (a few minutes on two cores); ``--rows 400 --max-iter 2
--folds 2`` for a quick look.
"""

import argparse
import tempfile
import time

import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--rows", type=int, default=5000, help="use only so many rows")
parser.add_argument("--hidden", type=float, default=0.3, help="share of the cells to hide")
parser.add_argument("--preset", default="fast", help="how much to spend on an imputer")
parser.add_argument("--max-iter", type=int, default=400, help="largest number of its epochs")
parser.add_argument("--folds", type=int, default=5)
parser.add_argument("--n-jobs", type=int, default=2, help="folds at a time, each in a process")
parser.add_argument("--picture", default="pipeline.png", help="where the picture goes")
args = parser.parse_args()

# %%
# The target, without the columns that give it away; cells are hidden in training and test folds alike.
adult = load_adult().iloc[: args.rows]
married = adult["marital-status"].str.startswith("Married").to_numpy()
adult = adult.drop(columns=["marital-status", "relationship"])
table, _ = hide_cells(adult, fraction=args.hidden, random_state=0)
print(
    f"{len(table)} rows, {table.isna().mean().mean():.0%} missing; {married.mean():.1%} are married\n"
)

# %%
# Ways to complete a table. Ours gives back the dtypes that it was given; those of
# ``SimpleImputer`` have to be restored, so that boosting finds its categories.
numbers = make_column_selector(dtype_include="number")
categories = make_column_selector(dtype_include="category")
simple = make_column_transformer(
    (SimpleImputer(), numbers),
    (SimpleImputer(strategy="most_frequent"), categories),
    verbose_feature_names_out=False,
).set_output(transform="pandas")
imputer = HeterogeneousVAEImputer(
    preset=args.preset, max_iter=args.max_iter, device="cpu", random_state=0
)
ways = {
    "as it is": "passthrough",
    "SimpleImputer": make_pipeline(
        simple, FunctionTransformer(pd.DataFrame.astype, kw_args={"dtype": table.dtypes.to_dict()})
    ),
    "skhvae": imputer,
    "skhvae, gaps marked": clone(imputer).set_params(add_indicator=True),
}

# %%
# Classifiers: one that takes missing values, and one that does not.
boosting = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
encode = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), categories),
    (StandardScaler(), make_column_selector(dtype_exclude="category")),
)
classifiers = {
    "boosting": boosting,
    "logistic regression": make_pipeline(encode, LogisticRegression(max_iter=1000)),
}


def validate(classifier, way, data, cache=None) -> tuple[pd.Series, float]:
    """Accuracy in every fold, and the seconds that took."""
    start = time.perf_counter()
    scores = cross_val_score(
        Pipeline([("impute", way), ("classify", classifier)], memory=cache),
        data,
        married,
        cv=args.folds,
        n_jobs=args.n_jobs,
        error_score="raise",
    )
    return pd.Series(scores), time.perf_counter() - start


# %%
# A cache by ``memory=``: a fit that is in there, with the same parameters on the same rows, is read.
reports = {}
with tempfile.TemporaryDirectory() as cache:
    for name, classifier in classifiers.items():
        able = {k: v for k, v in ways.items() if v != "passthrough" or classifier is boosting}
        found = {how: validate(classifier, way, table, cache) for how, way in able.items()}
        found["nothing hidden"] = validate(classifier, "passthrough", adult)
        scores = pd.DataFrame({how: scores for how, (scores, _) in found.items()})
        distance = scores.sub(scores.iloc[:, 0], axis=0)
        reports[name] = pd.DataFrame(
            {
                "accuracy": scores.mean(),
                "std": scores.std(ddof=0),
                "to first": distance.mean(),
                "its std": distance.std(ddof=0),
                "seconds": {how: round(seconds) for how, (_, seconds) in found.items()},
            }
        )
        print(f"{name}\n{reports[name].round(4)}\n", flush=True)

# %%
# And a picture: means over the folds, and standard deviations.
try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    print("For the picture: pip install matplotlib")
else:
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True, layout="constrained")
    for axes, (name, report) in zip(panels, reports.items(), strict=True):
        report = report.reindex([*ways, "nothing hidden"][::-1])
        axes.errorbar(
            report["accuracy"], report.index, xerr=report["std"], fmt="none", color="0.75"
        )
        axes.scatter(report["accuracy"], report.index, color="tab:blue", zorder=2)
        axes.set(xlabel="accuracy", title=name)
    figure.savefig(args.picture, dpi=150)
    print(f"Picture: {args.picture}")
