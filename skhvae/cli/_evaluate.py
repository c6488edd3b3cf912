"""``evaluate``: hide known cells, impute them, and compare."""

from __future__ import annotations

from skhvae.cli._options import add_imputer_options, add_table_options, new_imputer, read_table
from skhvae.cli._problems import Problem
from skhvae.evaluation import hide_cells, imputation_errors
from skhvae.table import as_table

__all__ = ["add_options", "run"]


def add_options(parser) -> None:
    """Say what the command takes."""
    add_table_options(parser)
    parser.add_argument(
        "--fraction", type=float, default=0.2, help="of the known cells, to hide (default: 0.2)"
    )
    parser.add_argument(
        "--mechanism",
        choices=["mcar", "mar", "mnar"],
        default="mcar",
        help="how: completely at random, depending on other columns, or on the value itself",
    )
    add_imputer_options(parser)


def run(args, say) -> None:
    """Print every feature's error beside that of mean and mode, and the mean of all."""
    if not 0 < args.fraction < 1:
        raise Problem(f"--fraction {args.fraction}: expected a share between 0 and 1")
    table = read_table(args)
    data = as_table(table.data)
    with_gaps, hidden = hide_cells(data, args.fraction, args.mechanism, random_state=args.seed)
    imputer = new_imputer(args, table)
    say(f"learning {len(data):,} rows of {data.shape[1]} columns")
    completed = imputer.fit_transform(with_gaps)
    errors = imputation_errors(data, completed, hidden, table.feature_types)
    columns = ["type", "metric", "error", "baseline", "ratio", "n_cells"]
    shown = errors[columns].rename(columns={"baseline": "mean/mode", "n_cells": "hidden cells"})
    print(shown.round(4).to_string())
    means = errors[["error", "baseline"]].mean()
    print(
        f"\nmean over columns: {means['error']:.4f}, mean/mode {means['baseline']:.4f} "
        f"({args.fraction:.0%} of the known cells hidden, {args.mechanism})"
    )
