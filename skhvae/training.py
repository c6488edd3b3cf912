"""The training loop: epochs of steps on resident tensors, schedule, early stopping."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skhvae.checkpoint import Checkpoint
from skhvae.epoch import by_feature, run_epoch, runner
from skhvae.models import VAE
from skhvae.moo import Impartiality
from skhvae.objectives import Objective
from skhvae.run import NOBODY, Progress, TrainingRun, Watcher
from skhvae.schedule import Schedule, TrainingPlan
from skhvae.step import Averaged, Step

__all__ = ["finish", "train"]

# Held-out errors are noisy: epochs are compared by a moving average with this memory, so that the best
# is not merely the luckiest.
_MEMORY = 0.7


@dataclass
class _Best:
    """The weights that imputed held-out cells best, and when that was; None before there are any."""

    weights: dict | None = None
    error: float = math.inf
    epoch: int = 0
    smooth: float | None = None

    def compare(self, error: float, epoch: int, model: VAE, tol: float) -> None:
        if not math.isfinite(error):
            return
        before = error if self.smooth is None else self.smooth
        self.smooth = _MEMORY * before + (1 - _MEMORY) * error
        if self.smooth < self.error - tol:
            self.error, self.epoch = self.smooth, epoch
            self.weights = copy.deepcopy(model.state_dict())


def train(
    model: VAE,
    values: Tensor,
    observed: Tensor,
    weights: Tensor | None = None,
    *,
    objective: Objective,
    impartiality: Impartiality,
    plan: TrainingPlan,
    generator: torch.Generator,
    held_out_errors: Callable[[VAE], Tensor] | None,
    names: list[str],
    report: Callable[[dict, int], None] | None = None,
    watcher: Watcher = NOBODY,
    checkpoint: Checkpoint | None = None,
) -> TrainingRun:
    """Train `model` in place; it ends with the best weights.

    Parameters
    ----------
    model : VAE
    values, observed, weights
        As for :class:`Step`. Held-out cells are not among the observed ones.
    objective : Objective
    impartiality : Impartiality
        Its strategies draw from the generator that was lent to it.
    plan : TrainingPlan
    generator : torch.Generator
        On the model's device: batches, hiding, noise and dropout.
    held_out_errors : callable or None
        Model -> error of every feature on held-out cells. None trains to the end.
    names : list of str
        The features' names, for the history and for errors.
    report : callable, optional
        Called after every epoch with its record and the number of planned epochs.
    watcher : Watcher, optional
    checkpoint : Checkpoint, optional
        Where training goes on from, if it was broken off, and what it writes to every so often.

    Returns
    -------
    TrainingRun

    Raises
    ------
    FloatingPointError
        If the loss stays non-finite for 25 steps in a row; up to 100 steps can pass until it is noticed.

    Warns
    -----
    RuntimeWarning
        If Ctrl-C ended training; the best weights so far are kept.
    """
    averaged, run = Averaged(model), TrainingRun()
    step = Step(
        model,
        values,
        observed,
        weights,
        objective=objective,
        impartiality=impartiality,
        batch_size=plan.batch_size,
        weight_decay=plan.weight_decay,
        generator=generator,
        averaged=averaged,
    )
    run_step = runner(step)
    schedule = Schedule(plan.epochs(len(values), finished=held_out_errors is not None))
    best = _Best()
    loop = Progress(step, run, checkpoint, schedule=schedule, best=best)

    def in_all():  # the last stretch included
        finished = held_out_errors is not None
        return schedule.n_epochs + (finished and plan.finishing_epochs(schedule.n_epochs))

    def pace(share):
        progress = schedule.progress(len(run.history) + share)
        return plan.rate(progress), progress

    def best_model():
        found = copy.deepcopy(averaged.model)
        found.load_state_dict(best.weights or found.state_dict())
        return found

    model.train()
    model.lend(generator)
    try:
        loop.resume()
        while len(run.history) < schedule.n_epochs and not run.stopped:
            watcher.begin(in_all())
            epoch = len(run.history) + 1
            record = run_epoch(step, run_step, pace, names)
            if held_out_errors is not None:
                errors = held_out_errors(averaged.model)
                error = errors.nanmean().item()
                record |= {"held_out_error": error, **by_feature("error", names, errors)}
                best.compare(error, epoch, averaged.model, plan.tol)
                if epoch - best.epoch >= plan.n_iter_no_change and not schedule.hastened:
                    schedule.hasten(epoch)
            run.add(record, report, in_all())
            loop.save(now=len(run.history) == schedule.n_epochs)
            run.stopped = watcher.end(best_model, run.history)
    except KeyboardInterrupt:
        run.interrupted = True
        warnings.warn(
            f"Training was interrupted in epoch {len(run.history) + 1} of {in_all()}; the best "
            "model so far is kept and can be used.",
            RuntimeWarning,
            stacklevel=2,
        )
    finally:
        model.lend(None)
        model.zero_grad()  # gradients hold memory
    model.load_state_dict(best.weights or averaged.model.state_dict())
    model.eval()
    return run


def finish(
    model: VAE,
    values: Tensor,
    observed: Tensor,
    weights: Tensor | None = None,
    *,
    objective: Objective,
    impartiality: Impartiality,
    plan: TrainingPlan,
    generator: torch.Generator,
    names: list[str],
    run: TrainingRun,
    report: Callable[[dict, int], None] | None = None,
    watcher: Watcher = NOBODY,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Give a trained model the held-out cells too: a fifth of its epochs more, at a small rate.

    What was held out to stop in time is a tenth of the data, too much to leave unused. The parameters
    are those of :func:`train`; `observed` now includes the held-out cells, and `run` is continued.
    Ctrl-C, and a watcher that ends it, leave the model as it was.
    """
    step = Step(
        model,
        values,
        observed,
        weights,
        objective=objective,
        impartiality=impartiality,
        batch_size=plan.batch_size,
        weight_decay=plan.weight_decay,
        generator=generator,
    )
    run_step = runner(step)
    before, n_before = copy.deepcopy(model).eval(), len(run.history)
    n_epochs = n_before + plan.finishing_epochs(n_before)  # in all

    def pace(share):
        progress = (len(run.history) - n_before + share) / (n_epochs - n_before)
        return plan.finishing_rate(progress), 1.0

    def left():
        if len(run.history) < n_epochs:
            return before
        model.lend(None)  # which cannot be copied
        return copy.deepcopy(model).eval()

    loop = Progress(step, run, checkpoint)
    model.train()
    model.lend(generator)
    try:
        loop.resume()
        while len(run.history) < n_epochs and not run.stopped:
            watcher.begin(n_epochs)
            record = run_epoch(step, run_step, pace, names)
            run.add(record, report, n_epochs)
            loop.save(now=len(run.history) == n_epochs)
            run.stopped = watcher.end(left, run.history)
    except KeyboardInterrupt:
        run.interrupted = True
        warnings.warn(
            "Training was interrupted in its last stretch, on the held-out cells; the model before "
            "it is kept and can be used.",
            RuntimeWarning,
            stacklevel=2,
        )
    finally:
        model.lend(None)
        model.zero_grad()  # gradients hold memory
        model.eval()
    if len(run.history) < n_epochs:
        model.load_state_dict(before.state_dict())
