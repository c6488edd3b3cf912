"""Feature overlooking, and its cure
=====================================

The papers' claim on one table: when a VAE for mixed types is trained on the plain sum of its
features' losses, the features with the largest gradients win and others are not learned at all.
Reconciling the gradients where they meet cures that (Javaloy, Meghdadi and Valera 2022, arXiv
2206.04496).

Everything is equal but the strategy: the papers' model (``model="vae"``), the true ELBO (``beta=1``), the
same hidden cells, the same number of steps. Some features cannot be imputed by anybody; of those that
some strategy imputes at least 5 % better than mean or mode, one is *overlooked* by a strategy that
gains less than half as much.

Run it with ``python examples/02_feature_overlooking.py``; ``--rows 2000 --max-steps 50`` for a quick look.
"""

import argparse

import pandas as pd

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import load_adult
from skhvae.evaluation import hide_cells, imputation_errors, total_error
from skhvae.likelihoods import Normal

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--rows", type=int, default=None, help="use only so many rows")
parser.add_argument("--max-steps", type=int, default=2000, help="training steps of each strategy")
parser.add_argument("--model", default="vae", help="vae, or cvae to see that it suffers less")
parser.add_argument("--beta", type=float, default=1.0)
parser.add_argument("--strategies", default="sum,equal-norm,imtl-g,mgda,pcgrad")
parser.add_argument("--picture", default="overlooking.png", help="where the picture goes")
args = parser.parse_args()

adult = load_adult().iloc[: args.rows]
table, hidden = hide_cells(adult, fraction=0.2, random_state=0)

# The likelihood itself, without the reweighting of cells that the default uses.
numeric = dict.fromkeys(("real", "positive", "count", "datetime"), Normal(beta_nll=0.0))

ratios, totals = {}, {}
for strategy in args.strategies.split(","):
    imputer = HeterogeneousVAEImputer(
        model=args.model,
        likelihoods=numeric,
        beta=args.beta,
        moo=strategy,
        max_steps=args.max_steps,
        early_stopping=False,
        random_state=0,
    )
    errors = imputation_errors(adult, imputer.fit_transform(table), hidden)
    ratios[strategy], totals[strategy] = errors["ratio"], total_error(errors)
    print(f"{strategy}: total error {totals[strategy]:.4f}", flush=True)

# %%
# Error of each feature relative to mean/mode: 1 means that nothing was learned.
ratios = pd.DataFrame(ratios)
gains = 1 - ratios
learnable = gains[gains.max(axis=1) >= 0.05]
overlooked = learnable.lt(learnable.max(axis=1) / 2, axis=0)
report = ratios.round(3).astype(str) + overlooked.reindex(ratios.index, fill_value=False).replace(
    {True: " *", False: "  "}
)
with pd.option_context("display.width", 120, "display.max_columns", None):
    print(f"\nError / error of mean or mode (1 = nothing learned, * = overlooked)\n{report}\n")
    summary = {"total error": totals, f"overlooked of {len(learnable)}": overlooked.sum()}
    print(pd.DataFrame(summary).T.round(4))
print(f"\nMean/mode: total error {errors['baseline'].mean():.4f}")

# %%
# And a picture of the features that can be learned: a strategy's mark far to the right of the others' is a feature
# that it overlooks.
try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    print("For the picture: pip install matplotlib")
else:
    shown = (
        ratios.loc[learnable.index].sort_values(ratios.columns[0])[::-1]
        if len(learnable)
        else ratios
    )
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(shown) + 1.6), layout="constrained")
    axes.hlines(shown.index, shown.min(axis=1), shown.max(axis=1), color="0.85", zorder=1)
    colours = ["#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#000000"]
    for i, strategy in enumerate(shown):
        axes.scatter(
            shown[strategy],
            shown.index,
            color=colours[i % len(colours)],
            marker="osD^vP*X"[i % 8],
            label=strategy,
            zorder=2,
        )
    axes.axvline(1, color="0.45", linestyle=":")
    axes.set(xlabel="error / error of mean or mode")
    axes.set_title("Adult, a fifth hidden: what each strategy learns")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(args.picture, dpi=150)
    print(f"Picture: {args.picture}")
