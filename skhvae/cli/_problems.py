"""What is wrong with what a user has given, in terms of files, lines and columns."""

from __future__ import annotations

import ast
import json
import re

__all__ = ["Problem", "in_files"]

# The remedy of messages about a column, as Python has it: feature_types={'age': 'nominal'}.
_DECLARATION = re.compile(r"""feature_types=\{('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"): '(\w+)'\}""")


class Problem(Exception):
    """An error that ends a command: its text says where it is, what was expected, what was found, what to do."""


def in_files(message: str) -> str:
    """A message of the package, with remedies as the command line takes them.

    Examples
    --------
    >>> from skhvae.cli._problems import in_files
    >>> in_files("Use feature_types={'age': 'nominal'}.")
    'Use --types with a file that holds {"age": "nominal"}.'
    """

    def option(match: re.Match[str]) -> str:
        declaration = json.dumps({ast.literal_eval(match[1]): match[2]}, ensure_ascii=False)
        return f"--types with a file that holds {declaration}"

    return _DECLARATION.sub(option, message)
