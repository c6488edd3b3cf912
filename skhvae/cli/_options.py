"""Options that several commands share, and what they make."""

from __future__ import annotations

import json

from skhvae.cli._files import read
from skhvae.cli._problems import Problem
from skhvae.features import nearest
from skhvae.imputer import HeterogeneousVAEImputer
from skhvae.moo import strategy_names
from skhvae.presets import PRESETS

__all__ = ["add_imputer_options", "add_table_options", "new_imputer", "read_table"]


def add_table_options(parser) -> None:
    """How a table is read."""
    parser.add_argument("table", metavar="TABLE", help="a file: .csv, .tsv or .parquet")
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--types", metavar="FILE", help='JSON, e.g. {"age": "count", "size": ["S", "M", "L"]}'
    )
    group.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="COLUMN",
        help="leave it as it is; repeatable",
    )
    group.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="TEXT",
        help="marks a missing cell; repeatable",
    )
    group.add_argument(
        "--delimiter", metavar="CHARACTER", help="between cells (default: , or a tab)"
    )
    group.add_argument("--encoding", default="utf-8-sig", help="of text (default: utf-8)")


def add_imputer_options(parser) -> None:
    """How the imputer is made."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset", choices=list(PRESETS), default="default", help="how much to spend"
    )
    group.add_argument(
        "--moo",
        default="equal-norm",
        metavar="STRATEGY",
        help="one, or several with commas between",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    group.add_argument("--seed", type=int, default=0, help="of all random numbers (default: 0)")
    group.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="another parameter; repeatable",
    )


def read_table(args):
    """The table that was asked for."""
    if args.delimiter is not None and len(args.delimiter) != 1:
        raise Problem(f"--delimiter {args.delimiter!r}: expected one character")
    return read(args.table, args.types, args.ignore, args.delimiter, args.encoding, args.missing)


def new_imputer(args, table) -> HeterogeneousVAEImputer:
    """The imputer that was asked for, not fitted."""
    strategies = tuple(args.moo.split(","))
    for name in strategies:
        if name not in strategy_names():
            raise Problem(
                f"--moo {args.moo}: unknown strategy {name!r}." + nearest(name, strategy_names())
            )
    params = {
        "preset": args.preset,
        "moo": strategies if len(strategies) > 1 else strategies[0],
        "device": args.device,
        "random_state": args.seed,
        "feature_types": table.feature_types or "infer",
        "keep_empty_features": True,
        "verbose": 2 if args.progress else 0,
    }
    known = HeterogeneousVAEImputer().get_params()
    for given in args.param:
        name, _, value = given.partition("=")
        if name not in known:
            raise Problem(f"--param {given}: unknown parameter {name!r}." + nearest(name, known))
        try:
            params[name] = json.loads(value)
        except json.JSONDecodeError as error:
            raise Problem(
                f"--param {given}: {value!r} is no JSON; texts stand in double quotes"
            ) from error
        if isinstance(params[name], list):
            params[name] = tuple(params[name])
    return HeterogeneousVAEImputer(**params)
