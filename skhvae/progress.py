"""A line an epoch."""

from __future__ import annotations

import math
import time

__all__ = ["ProgressLine"]


class ProgressLine:
    """Prints rate, held-out error and the time that is left after every epoch."""

    def __init__(self):
        self._started, self._best = time.perf_counter(), math.inf

    def __call__(self, record: dict, n_epochs: int) -> None:
        """Print `record`, the history's last row."""
        epoch = record["epoch"]
        left = (time.perf_counter() - self._started) / epoch * (n_epochs - epoch)
        line = f"epoch {epoch:>4}/{n_epochs}  loss {record['loss']:9.4f}  kl {record['kl']:7.3f}"
        if "held_out_error" in record:
            self._best = min(self._best, record["held_out_error"])
            line += f"  held-out error {record['held_out_error']:.4f} (best {self._best:.4f})"
        print(
            f"{line}  {1 / max(record['seconds'], 1e-9):.1f} epochs/s, at most {left:.0f} s left",
            flush=True,
        )
