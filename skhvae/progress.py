"""How training gets on: a line an epoch, or one line that is written over."""

from __future__ import annotations

import math
import shutil
import sys
import time

__all__ = ["ProgressBar", "ProgressLine", "report_of"]


class _Clock:
    """How long it can still take, at most."""

    def __init__(self):
        self._started = time.perf_counter()

    def left(self, epoch: int, n_epochs: int) -> float:
        return (time.perf_counter() - self._started) / epoch * (n_epochs - epoch)


class ProgressLine:
    """Prints rate, held-out error and the time that is left after every epoch."""

    def __init__(self):
        self._clock, self._best = _Clock(), math.inf

    def __call__(self, record: dict, n_epochs: int) -> None:
        """Print `record`, the history's last row."""
        epoch = record["epoch"]
        line = f"epoch {epoch:>4}/{n_epochs}  loss {record['loss']:9.4f}  kl {record['kl']:7.3f}"
        if "held_out_error" in record:
            self._best = min(self._best, record["held_out_error"])
            line += f"  held-out error {record['held_out_error']:.4f} (best {self._best:.4f})"
        print(
            f"{line}  {1 / max(record['seconds'], 1e-9):.1f} epochs/s, "
            f"at most {self._clock.left(epoch, n_epochs):.0f} s left",
            flush=True,
        )


class ProgressBar:
    """Draws a bar on the terminal (standard error), with the time that is left, and draws it anew after every epoch."""

    def __init__(self):
        self._clock = _Clock()

    def __call__(self, record: dict, n_epochs: int) -> None:
        """Draw how far `record`, the history's last row, has got."""
        epoch = record["epoch"]
        left = math.ceil(self._clock.left(epoch, n_epochs))
        about = f" epoch {epoch}/{n_epochs}, at most {left // 60}:{left % 60:02d} left"
        if "held_out_error" in record:
            about += f", held-out error {record['held_out_error']:.4f}"
        width = max(shutil.get_terminal_size().columns - len(about) - 3, 5)
        done = round(width * epoch / n_epochs)
        ends = "\n" if epoch == n_epochs else ""
        print(
            f"\r[{'#' * done}{'.' * (width - done)}]{about}", end=ends, file=sys.stderr, flush=True
        )


def report_of(verbose: int):
    """What `verbose` asks for: a callable of a record and the number of epochs, or None.

    Parameters
    ----------
    verbose : int
    """
    kinds = (lambda: None, ProgressLine, ProgressBar)
    return kinds[min(int(verbose), 2)]()
