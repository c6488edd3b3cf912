"""How long training lasts, and the learning rate on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Schedule", "TrainingPlan"]

_WARMUP = 0.1  # share of the planned steps in which the learning rate rises
_FINISH, _FINISHING_RATE = 0.2, 0.15  # of the epochs and of the peak rate
# On a plateau the rate still has to fall, which is what gains most: the rest of the schedule is hastened
# to this share of the planned epochs rather than cut off.
_LANDING = 0.3


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train.

    Attributes
    ----------
    max_iter, max_steps : int
        Epochs and optimiser steps in all; the smaller number counts, but at least `min_iter` epochs are
        planned where `max_iter` allows them.
    batch_size : int
    learning_rate, weight_decay : float
        Peak of the schedule, and AdamW's decay.
    n_iter_no_change : int
        Epochs without a better held-out error after which training is brought to its end.
    tol : float
        By how much the held-out error must fall to count as better.
    min_iter : int
        Epochs that even the largest table is given.
    """

    max_iter: int
    max_steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    n_iter_no_change: int
    tol: float
    min_iter: int = 10

    def steps_per_epoch(self, n_rows: int) -> int:
        """Whole batches in a pass over the rows, at least one."""
        return max(1, n_rows // self.batch_size)

    def epochs(self, n_rows: int, finished: bool) -> int:
        """Epochs that the schedule is laid out for; fewer if a last stretch is to follow."""
        enough = max(self.min_iter, math.ceil(self.max_steps / self.steps_per_epoch(n_rows)))
        total = min(self.max_iter, enough)
        return max(1, round(total / (1 + _FINISH))) if finished else total

    def finishing_epochs(self, n_done: int) -> int:
        """Epochs of the last stretch."""
        return min(max(1, round(_FINISH * n_done)), self.max_iter - n_done)

    def rate(self, progress: float) -> float:
        """Learning rate after a share of the planned steps: linear rise, cosine fall to zero."""
        if progress < _WARMUP:
            return self.learning_rate * progress / _WARMUP
        return self.learning_rate * _cosine((progress - _WARMUP) / (1 - _WARMUP))

    def finishing_rate(self, progress: float) -> float:
        """Learning rate after a share of the last stretch: cosine fall from a small one."""
        return self.learning_rate * _FINISHING_RATE * _cosine(progress)


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Schedule:
    """How far training is, from 0 to 1; can be hastened once."""

    def __init__(self, n_epochs: int):
        self.n_epochs, self.hastened = n_epochs, False
        self._planned, self._from_epoch, self._from_progress = n_epochs, 0, 0.0

    def progress(self, n_done: float) -> float:
        """Share of the schedule after so many epochs."""
        rest = (n_done - self._from_epoch) / (self.n_epochs - self._from_epoch)
        return self._from_progress + (1 - self._from_progress) * rest

    def hasten(self, n_done: int) -> None:
        """Run through the rest of the schedule in at most `_LANDING` of the planned epochs."""
        left = max(1, min(self.n_epochs - n_done, round(_LANDING * self._planned)))
        self._from_progress, self._from_epoch = self.progress(n_done), n_done
        self.n_epochs, self.hastened = n_done + left, True
