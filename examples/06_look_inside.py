"""Look inside
===========

What happened while the model was trained on UCI Adult, how the columns' gradients conflict, and where the
encoder puts the rows.

Run it with ``python examples/06_look_inside.py``; ``SKHVAE_EXAMPLE_ROWS=500`` in the environment makes it quick.
"""

import os

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells
from skhvae.plotting import GradientConflictDisplay, LatentDisplay, TrainingDisplay

ROWS = int(os.environ.get("SKHVAE_EXAMPLE_ROWS", 2000))

# %%
# A table with gaps, and an imputer.
table, _ = hide_cells(load_adult().iloc[:ROWS], fraction=0.2, random_state=0)
imputer = HeterogeneousVAEImputer(preset="fast", max_iter=30, random_state=0).fit(table)
print(f"{imputer.n_iter_} epochs on {len(table)} rows")

# %%
# Loss and KL term, and the error on cells that were held out: in all and by feature. Those whose
# error fell least are coloured; where a curve stays flat, nothing is learned of that column.
training = TrainingDisplay.from_estimator(imputer, features=5)
training.figure_.savefig("training.png", dpi=120)

# %%
# The mean cosine of each two columns' gradients where they meet. Red pairs pull the shared representation
# apart. Beside it, what share of the pairs conflict, and what each column's gradient counts after they have
# been reconciled.
conflict = GradientConflictDisplay.from_estimator(imputer)
conflict.figure_.savefig("gradient_conflict.png", dpi=120)
cosines = imputer.gradient_conflict_.rename_axis(index="one", columns="other").stack()
cosines = cosines[[one < other for one, other in cosines.index]].sort_values()
print(f"\nThe pairs that conflict most\n{cosines.head(3).round(3)}")
print(f"\nThe pairs that agree most\n{cosines.tail(3).round(3)}")

# %%
# Every row's place in latent space, in the plane in which the rows differ most; the same place, in the colours
# of two columns, one with levels and one of numbers.
latent = LatentDisplay.from_estimator(imputer, table, "relationship")
latent.figure_.savefig("latent_relationship.png", dpi=120)

# %%
latent = LatentDisplay.from_estimator(imputer, table, "age")
latent.figure_.savefig("latent_age.png", dpi=120)
print("\nPictures: training, gradient_conflict, latent_relationship and latent_age, all .png")
