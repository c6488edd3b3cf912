"""What is wrong with what a user has given, in terms of files, lines and columns."""

from __future__ import annotations

__all__ = ["Problem"]


class Problem(Exception):
    """An error that ends a command: its text says where it is, what was expected, what was found, what to do."""
