"""Do pooled intervals cover? Regression coefficients after imputation, over and over again.

Mixed data are generated from known regressions; 30 % of the cells of three columns are hidden, at random given
the others; a linear and a logistic regression are estimated, and it is counted how often 95 % intervals contain the
true coefficients: from all data, from the complete rows alone, from the table imputed once, and from 20 draws
pooled by Rubin's rules, of the network alone and corrected by regressions of its residuals.

Examples::

    python examples/benchmarks/rubin.py
    python examples/benchmarks/rubin.py --replications 200 --jobs 2 --out rubin.csv
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

import skhvae

LINEAR = {"intercept": 1.0, "age": 0.5, "income": -0.5, "group b": 0.7, "group c": -0.3}
LOGISTIC = {"intercept": -0.3, "age": 0.8, "income": 0.4}


def generate(n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Correlated columns of several types, and two outcomes that are regressions on them."""
    age = rng.standard_normal(n_rows)
    income = 0.5 * age + rng.gamma(4.0, 0.4, n_rows) - 1.6
    utilities = np.column_stack([np.zeros(n_rows), 0.8 * age, -0.6 * income])
    group = (utilities + rng.gumbel(size=utilities.shape)).argmax(1)
    table = pd.DataFrame(
        {
            "age": age,
            "income": income,
            "group": pd.Categorical.from_codes(group, ["a", "b", "c"]),
        }
    )
    table["outcome"] = linear_design(table) @ list(LINEAR.values()) + rng.standard_normal(n_rows)
    log_odds = logistic_design(table) @ list(LOGISTIC.values())
    table["event"] = (rng.random(n_rows) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return table


def hide(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """30 % of income, group and outcome hidden, more of them where age is high or the event happened."""
    drive = table["age"] + table["event"]
    shares = 1 / (1 + np.exp(-(drive - drive.mean())))
    shares *= 0.3 / shares.mean()
    hidden = table.copy()
    for column in ("income", "group", "outcome"):
        hidden.loc[rng.random(len(table)) < shares, column] = np.nan
    return hidden


def linear_design(table: pd.DataFrame) -> np.ndarray:
    group = table["group"].astype(str)
    ones = np.ones(len(table))
    return np.column_stack([ones, table["age"], table["income"], group == "b", group == "c"])


def logistic_design(table: pd.DataFrame) -> np.ndarray:
    return np.column_stack([np.ones(len(table)), table["age"], table["income"]])


def linear(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, int]:
    """Least squares: estimates, squared standard errors, residual degrees of freedom."""
    x, y = linear_design(table).astype(float), table["outcome"].to_numpy()
    inverse = np.linalg.inv(x.T @ x)
    estimates = inverse @ (x.T @ y)
    dof = len(y) - x.shape[1]
    return estimates, np.diag(inverse) * ((y - x @ estimates) ** 2).sum() / dof, dof


def logistic(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, int]:
    """Maximum likelihood by Newton's method; the same three."""
    x, y = logistic_design(table), table["event"].to_numpy(dtype=float)
    estimates = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ estimates))
        information = (x.T * (p * (1 - p))) @ x
        estimates = estimates + np.linalg.solve(information, x.T @ (y - p))
    return estimates, np.diag(np.linalg.inv(information)), len(y) - x.shape[1]


REGRESSIONS = {"linear": (linear, LINEAR), "logistic": (logistic, LOGISTIC)}


def replicate(seed: int, n_rows: int, n_draws: int, n_members: int, params: dict) -> list[dict]:
    """One table: whether every interval covers, how wide it is, and how far the estimate is off."""
    rng = np.random.default_rng(seed)
    table = generate(n_rows, rng)
    hidden = hide(table, rng)
    imputer = skhvae.HeterogeneousVAEImputer(
        n_members=n_members, bootstrap=n_members > 1, random_state=seed, **params
    ).fit(hidden)
    draws = {
        calibrate: imputer.sample_imputations(hidden, n_draws, seed, calibrate)
        for calibrate in (False, True)
    }
    ways = {
        "all data": [table],
        "complete rows": [hidden.dropna()],
        "imputed once": [imputer.transform(hidden)],
        "network alone": draws[False],
        "pooled draws": draws[True],
    }
    rows = []
    for name, (regression, truth) in REGRESSIONS.items():
        for way, tables in ways.items():
            found = [regression(one) for one in tables]
            estimates, variances = (np.array([f[i] for f in found]) for i in (0, 1))
            dof = found[0][2]
            if len(tables) > 1:
                pooled = skhvae.pool(estimates, variances, dof_complete=dof)
                centre, (low, high) = pooled.estimate, pooled.interval(0.95)
            else:
                centre = estimates[0]
                half = stats.t.ppf(0.975, dof) * np.sqrt(variances[0])
                low, high = centre - half, centre + half
            for i, (coefficient, value) in enumerate(truth.items()):
                rows.append(
                    {
                        "regression": name,
                        "coefficient": coefficient,
                        "way": way,
                        "covers": low[i] <= value <= high[i],
                        "width": high[i] - low[i],
                        "error": centre[i] - value,
                        "seed": seed,
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=10)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--members", type=int, default=1, help="each its own bootstrap, if several")
    parser.add_argument("--max-iter", type=int, default=60)
    parser.add_argument(
        "--param", action="append", default=[], metavar="KEY=VALUE", help="for skhvae, a literal"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, help="CSV file for every single interval")
    args = parser.parse_args()
    pairs = (pair.partition("=") for pair in args.param)
    given = {key: ast.literal_eval(value) for key, _, value in pairs}
    params = {"max_iter": args.max_iter, "device": "cpu", **given}
    runs = Parallel(n_jobs=args.jobs, verbose=1)(
        delayed(replicate)(seed, args.rows, args.draws, args.members, params)
        for seed in range(args.replications)
    )
    found = pd.DataFrame([row for rows in runs for row in rows])
    if args.out:
        found.to_csv(args.out, index=False)
    groups = found.groupby(["regression", "coefficient", "way"], sort=False)
    table = groups.agg(
        coverage=("covers", "mean"), width=("width", "mean"), bias=("error", "mean")
    ).unstack("way")
    print(f"{args.replications} replications of {args.rows} rows; 95 % intervals\n")
    print(table.round(3).to_string())
    print("\nof all coefficients")
    print(found.groupby("way", sort=False)[["covers", "width"]].mean().round(3).to_string())


if __name__ == "__main__":
    main()
