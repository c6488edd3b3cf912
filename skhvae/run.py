"""What a training leaves behind, who looks on, and where it stands in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from skhvae.checkpoint import Checkpoint
from skhvae.models import VAE
from skhvae.step import Step

__all__ = ["NOBODY", "Progress", "TrainingRun", "Watcher"]


@dataclass
class TrainingRun:
    """What a training left behind.

    Attributes
    ----------
    history : list of dict
        One record an epoch.
    interrupted : bool
        Whether Ctrl-C ended it.
    stopped : bool
        Whether its watcher ended it.
    """

    history: list[dict] = field(default_factory=list)
    interrupted: bool = False
    stopped: bool = False

    def add(self, record: dict, report, n_epochs: int) -> None:
        """Append an epoch's record, numbered, and report it."""
        record["epoch"] = len(self.history) + 1
        self.history.append(record)
        if report is not None:
            report(record, n_epochs)


class Watcher:
    """Looks on while a model is trained, and may end it. This one does neither."""

    def begin(self, n_epochs: int) -> None:
        """An epoch begins, of as many in all at most."""

    def end(self, model: Callable[[], VAE], history: list[dict]) -> bool:
        """An epoch has ended; whether training is to stop.

        Parameters
        ----------
        model : callable
            Returns the model that would be left then, which nobody changes any more.
        history : list of dict
            One record an epoch, so far.
        """
        return False


NOBODY = Watcher()


class Progress:
    """What a loop has come to: from a checkpoint, where there is one, and into it after an epoch.

    Parameters
    ----------
    step : Step
    run : TrainingRun
    checkpoint : Checkpoint or None
    **progress
        Objects whose attributes say how far the loop is.
    """

    def __init__(self, step: Step, run: TrainingRun, checkpoint: Checkpoint | None, **progress):
        self._step, self._checkpoint = step, checkpoint
        self._progress = {"run": run, **progress}

    def resume(self) -> None:
        """Go on from the checkpoint; make one if there is none, lest it fail only later."""
        if self._checkpoint is None:
            return
        kept = self._checkpoint.load(self._step.values.device)
        if kept is None:
            self.save(now=True)
            return
        self._step.remember(kept["step"])
        for name, thing in self._progress.items():
            vars(thing).update(kept[name])

    def save(self, now: bool = False) -> None:
        if self._checkpoint is not None:
            self._checkpoint.save(self._state, now)

    def _state(self) -> dict:
        progress = {name: dict(vars(thing)) for name, thing in self._progress.items()}
        return {"step": self._step.memory(), **progress}
