"""What a strategy costs: milliseconds a training step, relative to the plain sum.

The strategies take turns, a few steps each, many times over, and the medians are compared: machines
are noisy, ratios within one run less so. ``plain`` is backpropagation without an impartiality block; all
others keep the record of conflicts too, as training does.

Run it with ``python examples/benchmarks/strategy_cost.py``; ``--rounds 3`` for a quick look.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch

from skhvae.assignment import assign_likelihoods
from skhvae.datasets import make_heterogeneous
from skhvae.encoding import TableEncoder
from skhvae.hiding import hide_at_random
from skhvae.models import MODELS
from skhvae.moo import STRATEGIES, Impartiality, as_strategy
from skhvae.objectives import ELBO
from skhvae.schema import infer_schema

MIX = {"n_real": 4, "n_positive": 2, "n_count": 2, "n_binary": 2, "n_nominal": 3, "n_ordinal": 2}


def mixed_table(n_features: int) -> pd.DataFrame:
    """A generated table: a quarter reals, the rest of every type."""
    scale = n_features / sum(MIX.values())
    sizes = {kind: max(1, round(n * scale)) for kind, n in MIX.items()}
    sizes["n_real"] += n_features - sum(sizes.values())
    return make_heterogeneous(4096, **sizes, n_datetime=0, random_state=0).data


class Step:
    """One training step of a model of its own."""

    def __init__(self, table: pd.DataFrame, moo: str | None, batch: int):
        schema = infer_schema(table)
        encoder = TableEncoder(schema, assign_likelihoods(schema, None), np.nan, "missing")
        self.values, self.observed = encoder.fit_encode(table)
        encoder.prepare(self.values, self.observed)
        self.generator = torch.Generator().manual_seed(0)
        groups = [(group.likelihood, len(group.features)) for group in encoder.groups]
        self.model = MODELS["cvae"](
            groups,
            self.values,
            self.observed,
            encoder.n_symbols(),
            64,
            (192, 192),
            0.1,
            self.generator,
        )
        self.impartiality = moo and Impartiality(as_strategy(moo), self.generator)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, fused=True)
        self.objective, self.batch = ELBO(0.1), batch

    def __call__(self) -> None:
        rows = torch.randint(len(self.values), (self.batch,), generator=self.generator)
        seen = self.observed[rows]
        visible = hide_at_random(seen, 0.5, self.generator)
        loss = self.objective(
            self.model, self.values[rows], seen, visible, self.impartiality, self.generator
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()


def measure(n_features: int, names: list[str], batch: int, rounds: int) -> pd.Series:
    """Median milliseconds a step of the named strategies, of the sum, and without a block."""
    table = mixed_table(n_features)
    steps = {"plain": Step(table, None, batch)}
    steps |= {name: Step(table, name, batch) for name in dict.fromkeys(["sum", *names])}
    times = {name: [] for name in steps}
    for turn in range(rounds + 2):  # the first two warm up
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(5):
                step()
            if turn >= 2:
                times[name].append((time.perf_counter() - started) / 5 * 1e3)
    return pd.Series({name: np.median(values) for name, values in times.items()})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--features", default="15,50,200")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    for threads in map(int, args.threads.split(",")):
        torch.set_num_threads(threads)
        sizes = [int(size) for size in args.features.split(",")]
        names = args.strategies.split(",")
        table = pd.DataFrame(
            {size: measure(size, names, args.batch, args.rounds) for size in sizes}
        )
        table.columns.name = "features"
        print(f"\n{threads} thread(s), batch {args.batch}: milliseconds a step of sum")
        print(table.loc["sum"].round(2).to_string())
        print("relative to sum")
        print((table / table.loc["sum"]).round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
