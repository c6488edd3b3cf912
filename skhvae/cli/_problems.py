"""What is wrong with what a user has given, in terms of files, lines and columns."""

from __future__ import annotations

import ast
import json
import re

__all__ = ["Problem", "in_files"]

# How the command line sets what a message would have set in Python, for one column: likelihoods={'age': 'gamma'}.
_OPTIONS = {
    "feature_types": "--types with a file that holds {}",
    "likelihoods": "--param 'likelihoods={}'",
}
_SETTING = re.compile(
    rf"""({"|".join(_OPTIONS)})=\{{('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"): '([\w-]+)'\}}"""
)


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
        parameter, name, value = match.groups()
        return _OPTIONS[parameter].format(
            json.dumps({ast.literal_eval(name): value}, ensure_ascii=False)
        )

    return _SETTING.sub(option, message)
