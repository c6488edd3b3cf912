"""``impute``: complete a table, and write what else is asked for."""

from __future__ import annotations

import importlib.util
import os

from skhvae.cli._files import WRITERS, check_free, ending
from skhvae.cli._options import add_imputer_options, add_table_options, new_imputer, read_table
from skhvae.cli._problems import Problem
from skhvae.cli._report import report
from skhvae.persistence import load, save, write_at_once

__all__ = ["add_options", "run"]


def add_options(parser) -> None:
    """Say what the command takes."""
    add_table_options(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help=".csv, .tsv or .parquet, to write"
    )
    parser.add_argument(
        "--draws",
        type=int,
        default=0,
        metavar="N",
        help="also write N draws, as FILE.draw1.csv, ...",
    )
    parser.add_argument("--report", metavar="FILE", help="also write an HTML page of what was done")
    parser.add_argument("--save", metavar="FILE", help="also write the imputer, for --load")
    parser.add_argument("--load", metavar="FILE", help="use a saved imputer instead of training")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    add_imputer_options(parser)


def run(args, say) -> None:
    """Do it; `say` tells people how it gets on.

    Raises
    ------
    Problem
        Before training starts, if anything that was asked for cannot be done.
    """
    write = WRITERS[ending(args.output, WRITERS)]
    if args.draws < 0:
        raise Problem(f"--draws {args.draws}: expected a number of draws, 0 or more")
    root, suffix = os.path.splitext(args.output)
    draw_paths = [f"{root}.draw{i + 1}{suffix}" for i in range(args.draws)]
    others = [path for path in (args.report, args.save) if path]
    check_free([args.output, *draw_paths, *others], args.table, args.force)
    _check_extras(args)

    table = read_table(args)
    if args.load:
        imputer = _loaded(args.load)
    else:
        imputer = new_imputer(args, table)
        say(f"learning {table.data.shape[0]:,} rows of {table.data.shape[1]} columns")
        imputer.fit(table.data)
    # What transform returns is written; columns that are left out of it stay as they are.
    imputer.set_params(keep_empty_features=False)
    say("imputing")
    completed = imputer.transform(table.data)
    page = report(imputer, table.data, args.table, args.seed).encode() if args.report else None
    _write(args.output, write(table, completed), say)
    if draw_paths:
        draws = imputer.iter_imputations(table.data, args.draws, random_state=args.seed)
        for path, draw in zip(draw_paths, draws, strict=True):
            _write(path, write(table, draw), say)
    if page is not None:
        _write(args.report, page, say)
    if args.save:
        save(imputer.set_params(verbose=0), args.save)
        say(f"wrote {args.save}")


def _check_extras(args) -> None:
    """Raise a problem if a library is missing for what comes after training."""
    asked = [("--report", args.report, "matplotlib", "plots")]
    asked += [(f"--{o}", getattr(args, o), "safetensors", "persistence") for o in ("save", "load")]
    for option, given, library, extra in asked:
        if given and importlib.util.find_spec(library) is None:
            raise Problem(f"{option}: it takes {library}. Use pip install 'skhvae[{extra}]'")


def _loaded(path: str):
    try:
        imputer = load(path)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    if not hasattr(imputer, "schema_"):
        raise Problem(f"{path}: holds an imputer that has not been fitted")
    return imputer


def _write(path: str, data: bytes, say) -> None:
    try:
        write_at_once(path, data)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    say(f"wrote {path}")
