"""How honest predictive distributions are: coverage of intervals, CRPS, log score and Brier score.

Against gradient boosting of every quantile and of the probabilities of levels, a model a column and level; and
against missForest with the residuals of its out-of-bag predictions. All are scored by the same quantiles, on
the hidden cells. Every run is added to a CSV file, and not made again if it is in it.

Examples::

    python examples/benchmarks/calibration.py --rows 1000 --methods skhvae,boosting --param "preset='fast'"
    python examples/benchmarks/calibration.py --data FOLDER --masks mcar20_1,mar30_1 --out calibration.csv
    python examples/benchmarks/calibration.py --out calibration.csv --summary-only
"""

from __future__ import annotations

import argparse
import ast
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import peers
from compare_imputers import BUNDLED, load_case
from joblib import Parallel, delayed

from skhvae.evaluation import brier_score, crps_of_quantiles, log_score

LEVELS = (np.arange(19) + 0.5) / 19
COVERAGE = 0.9
ENDS = np.array([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])


# Forecasts of a column's missing cells: quantiles at LEVELS and ENDS, or probabilities of levels.


def by_skhvae(table, seed, params):
    """A function of a column's number to the forecasts of its missing cells, in the order of their rows."""
    import torch

    from skhvae import HeterogeneousVAEImputer

    torch.set_num_threads(1)
    imputer = HeterogeneousVAEImputer(random_state=seed, **params).fit(table)
    ends = imputer.predict_interval(table, COVERAGE)
    distributions = imputer.predict_distributions(table, LEVELS)

    def forecast(i, feature):
        found, missing = distributions[feature.name], table[feature.name].isna()
        forecast = {}
        if feature.type.metric != "error rate":
            forecast["ends"] = np.column_stack(
                [peers.encode_column(end[feature.name][missing], feature) for end in ends]
            )
        if feature.type.finite:
            forecast["probs"] = found.to_numpy()
        else:
            quantiles = [peers.encode_column(found[q], feature) for q in LEVELS]
            forecast["quantiles"] = np.column_stack(quantiles)
        return forecast

    return forecast


def by_boosting(table, seed, params):
    """A gradient boosting model for every quantile, and one for the probabilities of levels."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    encoded, schema = peers.encode(table)

    def forecast(i, feature):
        missing, others = np.isnan(encoded[:, i]), np.delete(encoded, i, axis=1)
        options = peers.boosting(encoded, schema, i, seed).get_params()
        options = {k: options[k] for k in ("categorical_features", "random_state")}

        def fitted(model):
            return model.fit(others[~missing], encoded[~missing, i])

        if feature.type.finite:
            counts = np.unique(encoded[~missing, i], return_counts=True)[1]
            early = "auto" if counts.min() > 1 else False
            model = fitted(HistGradientBoostingClassifier(early_stopping=early, **options))
            return with_ends(in_all_levels(model, others[missing], feature), feature)
        quantiles = [
            fitted(HistGradientBoostingRegressor(loss="quantile", quantile=q, **options)).predict(
                others[missing]
            )
            for q in [*LEVELS, *ENDS]
        ]
        quantiles = np.column_stack(quantiles)
        ordered = np.sort(
            quantiles[:, : len(LEVELS)], axis=1
        )  # those of independent models can cross
        return {"quantiles": ordered, "ends": np.sort(quantiles[:, len(LEVELS) :], axis=1)}

    return forecast


def by_forests(table, seed, params):
    """missForest's predictions, and the residuals of out-of-bag ones around them."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    encoded, schema = peers.encode(table)
    filled = peers.miss_forest(seed, 1)(encoded, schema)

    def forecast(i, feature):
        missing, others = np.isnan(encoded[:, i]), np.delete(filled, i, axis=1)
        known, truth = others[~missing], encoded[~missing, i]
        if peers.has_labels(schema, i):
            model = RandomForestClassifier(random_state=seed).fit(known, truth)
            votes = in_all_levels(model, others[missing], feature) * model.n_estimators
            # No level is impossible for having got no vote.
            return {"probs": (votes + 1) / (votes + 1).sum(1, keepdims=True)}
        model = RandomForestRegressor(oob_score=True, random_state=seed).fit(known, truth)
        residuals, guesses = truth - model.oob_prediction_, model.predict(others[missing])
        if not feature.type.finite:
            low, high = np.nanmin(encoded[:, i]), np.nanmax(encoded[:, i])
            around = np.quantile(residuals, [*LEVELS, *ENDS]) + guesses[:, np.newaxis]
            around = around.clip(low, high)
            return {"quantiles": around[:, : len(LEVELS)], "ends": around[:, len(LEVELS) :]}
        around = np.quantile(residuals, (np.arange(199) + 0.5) / 199) + guesses[:, np.newaxis]
        ranks = np.rint(around).clip(0, len(feature.levels) - 1)
        counts = (ranks[..., np.newaxis] == np.arange(len(feature.levels))).sum(1) + 1
        return with_ends(counts / counts.sum(1, keepdims=True), feature)

    return forecast


METHODS = {"skhvae": by_skhvae, "boosting": by_boosting, "missForest": by_forests}


def in_all_levels(model, rows, feature):
    probs = np.zeros((len(rows), len(feature.levels)))
    probs[:, model.classes_.astype(int)] = model.predict_proba(rows)
    return probs


def with_ends(probs, feature):
    """Probabilities, and the central interval of ordered levels."""
    if feature.type.metric == "error rate":
        return {"probs": probs}
    ends = [(probs.cumsum(1) < level).sum(1).clip(max=probs.shape[1] - 1) for level in ENDS]
    return {"probs": probs, "ends": np.column_stack(ends)}


# Runs.


def measure(data, name, mask, method, seed, n_rows, params) -> pd.DataFrame:
    """Scores of every column with hidden cells."""
    table, with_gaps, hidden = load_case(data, name, mask)
    table, with_gaps, hidden = table[:n_rows], with_gaps[:n_rows], hidden[:n_rows]
    started = time.process_time()
    forecast = METHODS[method](with_gaps, seed, params)
    _, schema = peers.encode(with_gaps)
    rows = []
    for i, feature in enumerate(schema):
        missing = with_gaps[feature.name].isna().to_numpy()
        truth = peers.encode_column(table[feature.name], feature)[missing]
        cells = hidden[missing, i] & ~np.isnan(truth)
        if not cells.any() or not feature.is_modelled:
            continue
        found = {k: v[cells] for k, v in forecast(i, feature).items()}
        truth = truth[cells]
        row = {"feature": feature.name, "type": feature.type.name, "n_cells": int(cells.sum())}
        span = len(feature.levels) if feature.type.finite else feature.high - feature.low
        if "quantiles" in found:
            row["crps"] = crps_of_quantiles(truth, found["quantiles"], LEVELS).mean() / span
        else:
            codes = truth.astype(int)
            row["log_score"] = log_score(codes, found["probs"]).mean()
            row["brier"] = brier_score(codes, found["probs"]).mean()
        if "ends" in found:
            low, high = found["ends"].T
            row["coverage"] = ((low <= truth) & (truth <= high)).mean()
            row["width"] = (high - low).mean() / span
        rows.append(row)
    scores = pd.DataFrame(rows).assign(table=name, mask=mask, method=method, seed=seed)
    return scores.assign(cpu_s=round(time.process_time() - started, 1), n_rows=len(table))


RUN = ["table", "mask", "method", "seed"]


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a table, mask and method; means over features, coverage over cells."""

    def of_run(run):
        with_interval = run.dropna(subset="coverage") if "coverage" in run else run[:0]
        cells = with_interval["n_cells"]
        large = with_interval.loc[cells > 500, "coverage"]
        return pd.Series(
            {
                "crps": run.get("crps", pd.Series(dtype=float)).mean(),
                "log_score": run.get("log_score", pd.Series(dtype=float)).mean(),
                "brier": run.get("brier", pd.Series(dtype=float)).mean(),
                "coverage": np.average(with_interval["coverage"], weights=cells)
                if len(cells)
                else np.nan,
                "worst": large.min(),
                "width": with_interval["width"].mean() if len(cells) else np.nan,
                "cpu_s": run["cpu_s"].iloc[0],
            }
        )

    return scores.groupby(RUN, sort=False).apply(of_run, include_groups=False)


def ratios(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores of skhvae relative to each other method on the same tables: geometric means, by mask."""
    runs = runs.reset_index()
    keys = ["table", "mask", "seed"]
    ours = runs[runs["method"] == "skhvae"].set_index(keys)
    rows = []
    for (method, mask), theirs in runs.groupby(["method", "mask"], sort=False):
        if method != "skhvae":
            scores = ["crps", "log_score", "brier"]
            relative = np.log(ours[scores] / theirs.set_index(keys)[scores])
            rows.append({"mask": mask, "skhvae /": method, **np.exp(relative.mean())})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of NAME.parquet and NAME.masks.npz")
    parser.add_argument("--tables", help="names, comma-separated (default: all)")
    parser.add_argument("--masks", default="mcar20_1,mar30_1")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rows", type=int, help="of each table, the first ones")
    parser.add_argument("--param", action="append", default=[], help="KEY=VALUE, for skhvae")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, of one thread each")
    parser.add_argument("--out", type=Path, default=Path("calibration.csv"))
    parser.add_argument("--summary-only", action="store_true")
    args = parser.parse_args()
    names = sorted(p.stem for p in args.data.glob("*.parquet")) if args.data else list(BUNDLED)
    names = args.tables.split(",") if args.tables else names
    params = {k: ast.literal_eval(v) for k, v in (p.split("=", 1) for p in args.param)}
    done = pd.read_csv(args.out) if args.out.exists() else pd.DataFrame(columns=RUN)
    runs = set(done[RUN].itertuples(index=False, name=None))
    seeds = map(int, args.seeds.split(","))
    cases = product(names, args.masks.split(","), args.methods.split(","), seeds)
    todo = [] if args.summary_only else [case for case in cases if case not in runs]
    found = Parallel(n_jobs=args.jobs, return_as="generator_unordered")(
        delayed(measure)(args.data, *case, args.rows, params) for case in todo
    )
    for scores in found:
        done = pd.concat([done, scores]) if len(done) else scores
        done.to_csv(args.out, index=False)
        print(summary(scores).round(4).to_string(header=len(done) == len(scores)), flush=True)
    runs = summary(done)
    print(f"\n{runs.round(4).to_string()}\n\n{ratios(runs).round(3).to_string(index=False)}")


if __name__ == "__main__":
    main()
