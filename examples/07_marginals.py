"""Marginals
=========

Do imputed cells, and synthetic rows, look like the table? Each column's distribution among the cells that
were observed, among those that were imputed, and in rows that the model made up; before that, each column's
error beside that of mean and mode, since an overlooked column may still have the right marginal.

Run it with ``python examples/07_marginals.py``; ``SKHVAE_EXAMPLE_ROWS=500`` in the environment makes it quick.
"""

import os

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells
from skhvae.plotting import FeatureErrorDisplay, MarginalsDisplay

ROWS = int(os.environ.get("SKHVAE_EXAMPLE_ROWS", 2000))

# %%
# A fifth of the known cells is hidden, so that their truth is known.
adult = load_adult().iloc[:ROWS]
table, hidden = hide_cells(adult, fraction=0.2, random_state=0)
imputer = HeterogeneousVAEImputer(preset="fast", max_iter=60, random_state=0).fit(table)

# %%
# Each column's error, in its own metric, on the hidden cells; the worst ones in relation to mean and mode at the
# top. What is no better than these is hatched. The cells that are missing in Adult itself have no truth, so they
# stay missing in both tables.
errors = FeatureErrorDisplay.from_estimator(imputer, table, adult)
errors.figure_.savefig("feature_errors.png", dpi=120)
print(errors.errors[["metric", "error", "baseline", "ratio"]].round(3))

# %%
# Marginals. Imputed cells are draws: best guesses are the middle of what a cell can be, and vary less than the
# cells do (``response_method="transform"`` shows them). All-new rows are the harder test: nothing of
# them is observed.
marginals = MarginalsDisplay.from_estimator(imputer, table, n_samples=1000, random_state=0)
marginals.figure_.savefig("marginals.png", dpi=120)

# %%
# The same picture compares any tables: here the hidden truth with what was drawn for it.
(draw,) = imputer.sample_imputations(table, n_imputations=1, random_state=0)
compared = MarginalsDisplay.from_tables(
    {"truth": adult.where(hidden), "draws": draw.where(hidden)},
    features=["education", "occupation", "hours-per-week"],
)
compared.figure_.savefig("truth_and_draws.png", dpi=120)
print("\nPictures: feature_errors, marginals and truth_and_draws, all .png")
