"""Compare strategies fairly: models x objectives x strategies, on any tables, with several seeds.

Everything is equal but the strategy: the same cells hidden, the same number of steps, and the learning
rate of each (table, model, objective, strategy) chosen from the same few, by cells that were held out
from training, on the first mask and seed; the hidden cells measure and choose nothing. The plain sum and
random weights are always among the strategies, as controls.

Every run's errors are appended to a CSV file, one row a feature; runs that are in it already are not
repeated, so that a benchmark can be stopped and continued. The report is made from the file.

Examples::

    python examples/benchmarks/strategies.py --tables adult --models vae --beta 1 --exact
    python examples/benchmarks/strategies.py --data FOLDER --masks mcar20_1,mar30_1 --steps 600
    python examples/benchmarks/strategies.py --out runs.csv --report report.md --only-report
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from compare_imputers import BUNDLED, known_names, load_case

CONTROLS = ["sum", "random"]
LEARNABLE = 0.05  # some strategy gains at least this share of mean/mode's error
NO_BETTER = 0.98  # of mean/mode's error, or more
SETTING = ["model", "objective", "beta", "exact"]
CELLS = ["table", "mask", "seed"]
RUN = [*SETTING, *CELLS, "strategy", "rate"]


def measure(data, case: dict, steps: int, measured_rows: int, sizes: dict) -> pd.DataFrame:
    """One run: every feature's error and log-likelihood, and what the run took."""
    import torch

    from skhvae import HeterogeneousVAEImputer
    from skhvae.evaluation import imputation_errors, total_error
    from skhvae.likelihoods import Normal
    from skhvae.schema import infer_schema

    torch.set_num_threads(1)
    table, with_gaps, hidden = load_case(data, case["table"], case["mask"])
    kinds = ("real", "positive", "count", "datetime")
    epochs = max(2, round(steps / max(1, len(table) // sizes["batch_size"])))
    imputer = HeterogeneousVAEImputer(
        model=case["model"],
        objective=case["objective"],
        moo=tuple(case["strategy"].split("+")),
        beta=case["beta"],
        likelihoods=dict.fromkeys(kinds, Normal(beta_nll=0.0)) if case["exact"] else None,
        learning_rate_init=case["rate"],
        max_iter=epochs,
        n_iter_no_change=epochs,  # the same number of steps for all
        device="cpu",
        random_state=case["seed"],
        **sizes,
    )
    imputer.fit(with_gaps)
    rows = np.random.default_rng(0).permutation(len(table))[:measured_rows]
    some, with_gaps = table.iloc[rows], with_gaps.iloc[rows]
    schema = infer_schema(table)  # ranges and levels are those of the whole table
    errors = imputation_errors(some, imputer.transform(with_gaps), hidden[rows], schema)
    likelihood = imputer._engine.log_likelihood(with_gaps, some)
    history = imputer.history_
    weights = history.filter(like="weight[").mean()
    weights.index = [name.removeprefix("weight[").removesuffix("]") for name in weights.index]
    return errors.reset_index().assign(
        log_likelihood=lambda rows: rows["feature"].map(likelihood),
        weight=lambda rows: rows["feature"].astype(str).map(weights),
        held_out_error=total_error(imputer.feature_errors_),
        conflicting_pairs=history["conflicting_pairs"].mean(),
        seconds=history["seconds"].median(),  # an epoch, without measuring held-out cells
        **case,
    )


class Runs:
    """The CSV file of all runs so far, and new ones, some at a time."""

    def __init__(self, path: Path, workers: int, **fixed):
        self.path, self.workers, self.fixed = path, workers, fixed
        self.table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=RUN)
        self.failures = 0

    def _done(self) -> set:
        return set(self.table[RUN].itertuples(index=False, name=None))

    def make(self, cases: list[dict]) -> None:
        done = self._done()
        todo = [case for case in cases if tuple(case[key] for key in RUN) not in done]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, mp_context=context) as pool:
            futures = {pool.submit(measure, case=case, **self.fixed): case for case in todo}
            for count, future in enumerate(as_completed(futures), 1):
                case = futures[future]
                print(f"{count}/{len(todo)}", *case.values(), end=" ", flush=True)
                try:
                    rows = future.result()
                except Exception as error:
                    self.failures += 1
                    print(f"failed: {type(error).__name__}: {error}", flush=True)
                    continue
                print(f"error {rows['error'].mean():.4f}", flush=True)
                rows = rows[[*RUN, *rows.columns.drop(RUN)]]
                rows.to_csv(self.path, mode="a", header=not self.path.exists(), index=False)
                self.table = pd.concat([self.table, rows]) if len(self.table) else rows

    def best_rates(self, cases: list[dict]) -> dict:
        """{(setting, table, strategy): the rate whose held-out error is smallest}."""
        keys = [*SETTING, "table", "strategy"]
        mine = pd.DataFrame(cases).merge(self.table, on=RUN)
        runs = mine.groupby([*keys, "rate"], sort=False)["held_out_error"].first().reset_index()
        best = runs.loc[runs.groupby(keys)["held_out_error"].idxmin()]
        return best.set_index(keys)["rate"].to_dict()


def chosen_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Without the runs of other rates than the chosen ones."""
    keys = [*SETTING, "table", "strategy"]
    first = table[["mask", "seed"]].iloc[0]
    tuning = table[(table["mask"] == first["mask"]) & (table["seed"] == first["seed"])]
    held_out = tuning.groupby([*keys, "rate"], sort=False)["held_out_error"].first().reset_index()
    best = held_out.loc[held_out.groupby(keys)["held_out_error"].idxmin(), [*keys, "rate"]]
    return table.merge(best, on=[*keys, "rate"])


def by_run(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a run: its total error and what it overlooked."""
    gain = 1 - rows["ratio"]
    best = gain.groupby([rows[key] for key in [*SETTING, *CELLS, "feature"]]).transform("max")
    rows = rows.assign(
        no_better=rows["ratio"] >= NO_BETTER,
        overlooked=(best >= LEARNABLE) & (gain < best / 2),
    )
    runs = rows.groupby([*SETTING, *CELLS, "strategy"], sort=False).agg(
        total_error=("error", "mean"),
        no_better=("no_better", "sum"),
        overlooked=("overlooked", "sum"),
        worst=("ratio", "max"),
        log_likelihood=("log_likelihood", "mean"),
        conflicting_pairs=("conflicting_pairs", "first"),
        seconds=("seconds", "first"),
        rate=("rate", "first"),
    )
    runs = runs.reset_index()
    blocks = runs.groupby([*SETTING, *CELLS])
    runs["rank"] = blocks["total_error"].rank()
    plain = runs[runs["strategy"] == "sum"].set_index([*SETTING, *CELLS])
    at = pd.MultiIndex.from_frame(runs[[*SETTING, *CELLS]])
    for column in ("total_error", "seconds"):
        runs[f"{column}_to_sum"] = runs[column] / plain[column].reindex(at).to_numpy()
    runs["log_likelihood_to_sum"] = (
        runs["log_likelihood"] - plain["log_likelihood"].reindex(at).to_numpy()
    )
    return runs


def with_error(values: pd.Series, digits: int = 3) -> str:
    """Mean and standard error."""
    return f"{values.mean():.{digits}f} ± {values.sem():.{digits}f}"


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """A line a strategy, best average rank first."""
    groups = runs.groupby("strategy")
    lines = pd.DataFrame(
        {
            "average rank": groups["rank"].mean().round(2),
            "error / sum's": groups["total_error_to_sum"].apply(with_error),
            "overlooked": groups["overlooked"].apply(with_error, digits=2),
            "no better than mean/mode": groups["no_better"].apply(with_error, digits=2),
            "worst feature": groups["worst"].apply(with_error, digits=2),
            "log-likelihood - sum's": groups["log_likelihood_to_sum"].apply(with_error),
            "conflicting pairs": groups["conflicting_pairs"].mean().round(2),
            "seconds / sum's": groups["seconds_to_sum"].median().round(2),
            "runs": groups.size(),
        }
    )
    return lines.sort_values("average rank")


def by_type(rows: pd.DataFrame) -> pd.DataFrame:
    """Error relative to mean/mode by feature type, mean over features and runs."""
    return rows.pivot_table(index="strategy", columns="type", values="ratio").round(3)


def by_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Total error of each strategy on each table and mask, mean and standard error over seeds."""
    cells = runs.groupby(["strategy", "table", "mask"], sort=False)["total_error"]
    return cells.apply(with_error, digits=4).unstack(["table", "mask"])


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; NaN is an empty cell."""
    table = table.copy()
    table.columns = [
        " ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns
    ]
    table = table.reset_index().astype(object)
    lines = [list(table.columns), ["---"] + ["---:"] * (table.shape[1] - 1)]
    lines += table.where(table.notna(), "").to_numpy().tolist()
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def named(setting: tuple) -> str:
    """A setting in words."""
    model, objective, beta, exact = setting
    likelihoods = "exact likelihoods" if exact else "default likelihoods"
    return f"{model}, {objective}, beta {beta:g}, {likelihoods}"


def at_a_glance(by_setting: dict, column: str, digits: int) -> pd.DataFrame:
    """One column of the summary for all settings side by side."""
    columns = {
        f"{setting} ({runs['table'].nunique()} table(s))": runs.groupby("strategy", sort=False)[
            column
        ].mean()
        for setting, runs in by_setting.items()
    }
    return pd.DataFrame(columns).round(digits)


def report(table: pd.DataFrame) -> str:
    """All settings side by side, and one section each."""
    groups = {named(s): rows for s, rows in chosen_runs(table).groupby(SETTING, sort=False)}
    by_setting = {setting: by_run(rows) for setting, rows in groups.items()}
    parts = [
        "### At a glance",
        "Total error relative to the plain sum's:",
        markdown(at_a_glance(by_setting, "total_error_to_sum", 3)),
        "Features overlooked, mean over runs:",
        markdown(at_a_glance(by_setting, "overlooked", 2)),
    ]
    for setting, rows in groups.items():
        runs = by_setting[setting]
        order = summary(runs).index
        cells = runs[CELLS].drop_duplicates()
        parts += [
            f"### {setting}",
            f"{cells['table'].nunique()} table(s), {cells['mask'].nunique()} mask(s), "
            f"{cells['seed'].nunique()} seed(s).",
            markdown(summary(runs)),
            "Total error, mean and standard error over seeds:",
            markdown(by_table(runs).loc[order]),
            "Error relative to mean/mode, by feature type:",
            markdown(by_type(rows).loc[order]),
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    from skhvae.models import MODELS
    from skhvae.moo import STRATEGIES
    from skhvae.objectives import OBJECTIVES

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of NAME.parquet and NAME.masks.npz")
    add("--tables", help="names, comma-separated (default: all)")
    add("--masks", default="mcar20_1", help="names, comma-separated")
    add("--models", default="cvae", help="names, comma-separated")
    add("--objectives", default="elbo", help="names, comma-separated")
    add("--strategies", default=",".join(STRATEGIES), help="names, comma-separated; a+b is a tuple")
    add("--seeds", default="0,1,2", help="integers, comma-separated")
    add("--rates", default="1e-3,2e-3,4e-3", help="learning rates to choose from")
    add("--beta", type=float, default=0.1, help="weight of the KL term")
    add("--exact", action="store_true", help="likelihoods without the default's reweighting")
    add("--steps", type=int, default=600, help="training steps of every run")
    add("--measured-rows", type=int, default=8000, help="at most so many, drawn once, are measured")
    add("--batch", type=int, default=256)
    add("--width", type=int, default=128)
    add("--latent", type=int, default=32)
    add("--workers", type=int, default=2, help="runs at a time, one thread each")
    add("--out", type=Path, default=Path("strategies.csv"), help="CSV file to append to")
    add("--report", type=Path, help="Markdown file to write")
    add("--only-report", action="store_true", help="run nothing")
    args = parser.parse_args()

    sizes = {
        "batch_size": args.batch,
        "hidden_layer_sizes": (args.width,) * 2,
        "latent_dim": args.latent,
    }
    runs = Runs(
        args.out,
        args.workers,
        data=args.data,
        steps=args.steps,
        measured_rows=args.measured_rows,
        sizes=sizes,
    )
    if not args.only_report:
        bundled = sorted(p.stem for p in args.data.glob("*.parquet")) if args.data else BUNDLED
        strategies = list(dict.fromkeys([*CONTROLS, *args.strategies.split(",")]))
        for name in strategies:
            known_names(name.replace("+", ","), STRATEGIES, "strategy")
        masks, seeds = args.masks.split(","), [int(seed) for seed in args.seeds.split(",")]
        settings = [
            (model, objective)
            for model, objective in product(
                known_names(args.models, MODELS, "model"),
                known_names(args.objectives, OBJECTIVES, "objective"),
            )
            if MODELS[model].has_density or not OBJECTIVES[objective].weighs_points
        ]
        names = known_names(args.tables or ",".join(bundled), bundled, "table")
        rates = [float(rate) for rate in args.rates.split(",")]

        def case(setting, table, strategy, mask, seed, rate):
            model, objective = setting
            values = model, objective, args.beta, args.exact, table, mask, seed, strategy, rate
            return dict(zip(RUN, values, strict=True))

        each = list(product(settings, names, strategies))
        tuning = [case(*who, masks[0], seeds[0], rate) for who, rate in product(each, rates)]
        runs.make(tuning)
        best = runs.best_rates(tuning)
        runs.make(
            [
                case(*who, mask, seed, best[(*who[0], args.beta, args.exact, *who[1:])])
                for who, mask, seed in product(each, masks, seeds)
                if (*who[0], args.beta, args.exact, *who[1:]) in best
            ]
        )
    text = report(runs.table)
    print(text)
    if args.report:
        args.report.write_text(text, encoding="utf-8")
    raise SystemExit(f"{runs.failures} run(s) failed." if runs.failures else 0)


if __name__ == "__main__":
    main()
