"""How much to spend: the sizes that "auto" stands for, by preset and by the table's shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ["PRESETS", "Preset", "batch_size"]

_SMALL_TABLE, _TABLE_OF_A_MINUTE = 1000, 2000  # rows


@dataclass(frozen=True)
class Effort:
    """What one fit may cost.

    Attributes
    ----------
    n_members : int
    hidden_layer_sizes : tuple of int
    max_steps : int
    min_iter : int
        Epochs that even the largest table is given.
    """

    n_members: int
    hidden_layer_sizes: tuple[int, ...]
    max_steps: int
    min_iter: int


@dataclass(frozen=True)
class Preset:
    """Two efforts: on small tables single networks differ most, and several cost least.

    Attributes
    ----------
    small, large : Effort
        Below 1,000 rows, and from there up.
    most_work : int or None
        Steps times columns below 2,000 rows: people wait a minute for such a table, however wide.
    """

    small: Effort
    large: Effort
    most_work: int | None = None

    def effort(self, n_rows: int, n_columns: int) -> Effort:
        """What a table of that shape is worth."""
        effort = self.small if n_rows < _SMALL_TABLE else self.large
        if self.most_work is None or n_rows >= _TABLE_OF_A_MINUTE:
            return effort
        return replace(effort, max_steps=min(effort.max_steps, self.most_work // n_columns))


_DEEP, _WIDE, _NARROW = (192, 192, 192), (192, 192), (128, 128)

PRESETS = {
    "fast": Preset(Effort(2, _NARROW, 800, 2), Effort(1, _DEEP, 800, 2), 25_600),
    "default": Preset(Effort(4, _NARROW, 4000, 10), Effort(1, _DEEP, 4000, 10), 128_000),
    "best": Preset(Effort(8, _WIDE, 4000, 20), Effort(4, _DEEP, 8000, 20)),
}


def batch_size(n_rows: int) -> int:
    """Rows a step: about a twelfth of them, between 32 and 512."""
    return min(512, max(32, 2 ** round(math.log2(n_rows / 12))))
