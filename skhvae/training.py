"""The training loop: epochs of steps on resident tensors, schedule, early stopping."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skhvae.models import VAE
from skhvae.moo import Impartiality
from skhvae.objectives import Objective
from skhvae.replay import Replay
from skhvae.schedule import Schedule, TrainingPlan
from skhvae.step import Averaged, Step, Tally

__all__ = ["NOBODY", "TrainingRun", "Watcher", "finish", "train"]

_MAX_SKIPPED_IN_A_ROW = 25
_STEPS_UNWATCHED = 100  # whether steps are finite is asked this seldom: a device is waited for
# Held-out errors are noisy: epochs are compared by a moving average with this memory, so that the best
# is not merely the luckiest.
_MEMORY = 0.7


@dataclass
class TrainingRun:
    """What a training left behind.

    Attributes
    ----------
    history : list of dict
        One record an epoch.
    interrupted : bool
        Whether Ctrl-C or its watcher ended it.
    """

    history: list[dict] = field(default_factory=list)
    interrupted: bool = False

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


def _epoch(step: Step, run_step: Callable[[], None], pace, names: list[str]) -> dict:
    """A pass over shuffled rows.

    Parameters
    ----------
    step : Step
    run_step : callable
        Runs it, one way or another.
    pace : callable
        Share of the pass done, in (0, 1] -> learning rate and share of the training done.
    names : list of str

    Returns
    -------
    dict
        The record of the epoch: means over its steps.
    """
    started = time.perf_counter()
    step.tally.begin()
    batches = step.shuffled()
    for done, rows in enumerate(batches, 1):
        rate, progress = pace(done / len(batches))
        step.prepare(rows, rate, progress)
        run_step()
        if done % _STEPS_UNWATCHED == 0 or done == len(batches):
            _check_convergence(step.tally, names)
    losses, kl, n_taken = step.tally.means()
    return {
        "loss": losses.sum().item(),
        "kl": kl,
        "learning_rate": rate,
        "skipped_steps": len(batches) - n_taken,
        "seconds": time.perf_counter() - started,
        **_by_feature("loss", names, losses),
        **_conflict(step.impartiality, names),
    }


def _conflict(impartiality: Impartiality, names: list[str]) -> dict:
    """How much the features' gradients at h disagreed in this epoch, and what each counted."""
    found = impartiality.at("h").conflict.epoch()
    if found is None:
        return {}
    share, weights = found
    return {"conflicting_pairs": share, **_by_feature("weight", names, weights)}


def _runner(step: Step) -> Callable[[], None]:
    """What runs the step: on a CUDA device a recording of it, where it can be recorded."""
    if step.values.is_cuda and step.recordable:
        return Replay(step, step.state, step.generator)
    return step


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
    run_step = _runner(step)
    schedule = Schedule(plan.epochs(len(values), finished=held_out_errors is not None))
    best_error, best_epoch, smooth = math.inf, 0, None
    best = averaged.model.state_dict()

    def in_all():  # the last stretch included
        finished = held_out_errors is not None
        return schedule.n_epochs + (finished and plan.finishing_epochs(schedule.n_epochs))

    def pace(share):
        progress = schedule.progress(len(run.history) + share)
        return plan.rate(progress), progress

    def best_model():
        found = copy.deepcopy(averaged.model)
        found.load_state_dict(best)
        return found

    model.train()
    model.lend(generator)
    try:
        while len(run.history) < schedule.n_epochs and not run.interrupted:
            watcher.begin(in_all())
            epoch = len(run.history) + 1
            record = _epoch(step, run_step, pace, names)
            if held_out_errors is not None:
                errors = held_out_errors(averaged.model)
                error = errors.nanmean().item()
                record |= {"held_out_error": error, **_by_feature("error", names, errors)}
                if math.isfinite(error):
                    smooth = error if smooth is None else _MEMORY * smooth + (1 - _MEMORY) * error
                    if smooth < best_error - plan.tol:
                        best_error, best_epoch = smooth, epoch
                        best = copy.deepcopy(averaged.model.state_dict())
                if epoch - best_epoch >= plan.n_iter_no_change and not schedule.hastened:
                    schedule.hasten(epoch)
            run.add(record, report, in_all())
            run.interrupted = watcher.end(best_model, run.history)
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
    model.load_state_dict(best)
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
    run_step = _runner(step)
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

    model.train()
    model.lend(generator)
    try:
        while len(run.history) < n_epochs and not run.interrupted:
            watcher.begin(n_epochs)
            record = _epoch(step, run_step, pace, names)
            run.add(record, report, n_epochs)
            run.interrupted = watcher.end(left, run.history)
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


def _by_feature(what: str, names: list[str], values: Tensor) -> dict:
    return {f"{what}[{name}]": v for name, v in zip(names, values.tolist(), strict=True)}


def _check_convergence(tally: Tally, names: list[str]) -> None:
    if tally.n_skipped_in_a_row < _MAX_SKIPPED_IN_A_ROW:
        return
    bad = [name for name, culprit in zip(names, tally.culprits.tolist(), strict=True) if culprit]
    where = f"in column(s) {', '.join(map(repr, bad))}" if bad else "in its gradient"
    raise FloatingPointError(
        f"The loss was not finite {where} for {_MAX_SKIPPED_IN_A_ROW} steps in a row. Lower "
        "learning_rate_init, choose another likelihood for these columns, or rescale them."
    )
