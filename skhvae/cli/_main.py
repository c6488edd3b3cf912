"""Parse what was typed, run a command, and say what went wrong."""

from __future__ import annotations

import argparse
import os
import sys
import warnings

from skhvae._version import __version__
from skhvae.cli import _evaluate, _impute, _inspect
from skhvae.cli._problems import Problem, in_files

__all__ = ["main"]

_COMMANDS = {
    "impute": (_impute, "complete a table, and write what else is asked for"),
    "inspect": (_inspect, "show what the columns are taken for, and what is missing"),
    "evaluate": (_evaluate, "hide known cells, impute them, and show the error of every column"),
}


def main(argv=None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        What follows the program's name; None takes what the process was given.

    Returns
    -------
    int
        0; 1 if the command failed, after a line that says why; 130 after Ctrl-C. What cannot be parsed exits with 2.

    Examples
    --------
    >>> import contextlib, pathlib, tempfile
    >>> from skhvae.cli import main
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    ...     _ = pathlib.Path("data.csv").write_text("age,smokes\\n31,yes\\n,no\\n28,\\n")
    ...     main(["inspect", "data.csv"])
    data.csv: 3 rows, 2 columns; 33.3% of the cells are missing, 1 rows are complete
    Schema of 2 columns
      column  type    dtype  missing  why
      age     binary  Int64      33%  two observed values
      smokes  binary  str        33%  two observed values
    0
    """
    parser = argparse.ArgumentParser(
        prog="python -m skhvae", description="Impute tables of mixed types."
    )
    parser.add_argument("--version", action="version", version=f"skhvae {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (command, purpose) in _COMMANDS.items():
        options = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        command.add_options(options)
        options.add_argument("--quiet", action="store_true", help="warnings and errors alone")
    args = parser.parse_args(argv)
    args.progress = not args.quiet and sys.stderr.isatty()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            _COMMANDS[args.command][0].run(args, _tell if args.progress else _be_quiet)
            sys.stdout.flush()
    except BrokenPipeError:  # what reads us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130
    except (Problem, ValueError, TypeError, OSError, FloatingPointError, ImportError) as error:
        _tell(f"error: {in_files(str(error))}")
        return 1
    return 0


def _tell(message: str) -> None:
    print(f"skhvae: {message}", file=sys.stderr, flush=True)


def _be_quiet(message: str) -> None:
    """In pipes and logs nobody waits."""


def _show_warning(message, *where, **more) -> None:
    _tell(f"warning: {in_files(str(message))}")
