"""How sure
========

An imputed cell is not a known one. Three ways to see, and to use, how sure the imputer is: intervals and
draws for cells, probabilities of levels, and an estimate that is pooled over several completed tables, so that
its interval takes in what the gaps have left open (Rubin's rules).

Run it with ``python examples/05_how_sure.py``; ``SKHVAE_EXAMPLE_ROWS=500`` in the environment makes it quick.
"""

import os

import pandas as pd

from skhvae import HeterogeneousVAEImputer, pool
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells
from skhvae.plotting import ImputationDisplay

ROWS = int(os.environ.get("SKHVAE_EXAMPLE_ROWS", 2000))

# %%
# Three tenths of the known cells are hidden.
adult = load_adult().iloc[:ROWS]
table, hidden = hide_cells(adult, fraction=0.3, random_state=0)
imputer = HeterogeneousVAEImputer(preset="fast", max_iter=60, random_state=0).fit(table)

# %%
# Intervals are to contain nine tenths of the missing cells. Do they contain the truth that often?
lower, upper = imputer.predict_interval(table, coverage=0.9)
for name in ("age", "hours-per-week"):
    cells = hidden[:, adult.columns.get_loc(name)]
    inside = (lower[name] <= adult[name]) & (adult[name] <= upper[name])
    width = (upper[name] - lower[name])[cells].mean()
    print(f"{name}: {inside[cells].mean():.0%} of {cells.sum()} cells inside, {width:.0f} wide")

# %%
# An estimate from the incomplete table: the mean age of people with a Bachelor's degree. Each completed
# table has one, with a sampling variance; their scatter shows what the gaps have cost. Filled with best guesses
# alone, the table would look as if nothing were in doubt.
draws = imputer.sample_imputations(table, n_imputations=10, random_state=0)


def mean_age(complete) -> tuple[float, float]:
    """Mean and its squared standard error."""
    ages = complete.loc[complete["education"] == "Bachelors", "age"]
    return ages.mean(), ages.var() / len(ages)


estimates, variances = zip(*map(mean_age, draws), strict=True)
pooled = pool(estimates, variances)
guess, variance_of_guess = mean_age(imputer.transform(table))
truth, variance_of_truth = mean_age(adult)
report = {
    "nothing hidden": (truth, variance_of_truth**0.5),
    "pooled over ten draws": (pooled.estimate, pooled.std_error),
    "best guesses taken for known": (guess, variance_of_guess**0.5),
}
print(f"\n{pd.DataFrame(report, index=['mean age', 'standard error']).T.round(2)}")

# %%
# The picture: where cells are missing, and for some of them what is predicted: of numbers the interval, draws and
# the best guess, of levels their probabilities.
display = ImputationDisplay.from_estimator(
    imputer,
    table,
    features=["age", "hours-per-week", "education", "relationship", "sex"],
    random_state=0,
)
display.figure_.savefig("how_sure.png", dpi=120)
print("\nPicture: how_sure.png")
