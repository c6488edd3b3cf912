"""The training loop: batches of resident tensors, optimiser, schedule, early stopping."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skhvae.hiding import hidden_share, hide_at_random
from skhvae.models import VAE
from skhvae.moo import Impartiality
from skhvae.objectives import Objective
from skhvae.schedule import Schedule, TrainingPlan

__all__ = ["TrainingRun", "finish", "train"]

_LARGEST_GRADIENT = 1.0
_AVERAGING = 0.999  # decay of the moving average of the weights, per step
_MAX_SKIPPED_IN_A_ROW = 25
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
        Whether Ctrl-C ended it.
    """

    history: list[dict] = field(default_factory=list)
    interrupted: bool = False

    def add(self, record: dict, report, n_epochs: int) -> None:
        """Append an epoch's record, numbered, and report it."""
        record["epoch"] = len(self.history) + 1
        self.history.append(record)
        if report is not None:
            report(record, n_epochs)


class _Averaged:
    """Exponential moving average of a model's weights (Polyak averaging with a short memory)."""

    def __init__(self, model: VAE):
        self.model = copy.deepcopy(model).eval()
        self._own = [p.detach() for p in self.model.parameters()]
        self._source = [p.detach() for p in model.parameters()]
        self._steps = 0

    def update(self) -> None:
        self._steps += 1
        decay = min(_AVERAGING, self._steps / (self._steps + 9))
        torch._foreach_lerp_(self._own, self._source, 1 - decay)


class _Stepper:
    """One optimiser step after the other; skips those whose gradient is not finite."""

    def __init__(self, model, objective, impartiality, plan, generator, names, hidden_share):
        self.model, self.objective, self.impartiality = model, objective, impartiality
        self.plan, self.generator, self.names = plan, generator, names
        self.hidden_share = hidden_share
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        self._skipped_in_a_row = 0

    def epoch(self, values, observed, pace, after_step=None) -> dict:
        """A pass over shuffled rows.

        Parameters
        ----------
        values, observed : Tensor of shape (n_rows, n_features)
        pace : callable
            Share of the pass done, in (0, 1] -> learning rate and share of the training done.
        after_step : callable, optional

        Returns
        -------
        dict
            The record of the epoch: means over its steps.
        """
        started, batch = time.perf_counter(), self.plan.batch_size
        n_steps, skipped = self.plan.steps_per_epoch(len(values)), 0
        losses, kl = values.new_zeros(len(self.names)), values.new_zeros(())
        order = torch.randperm(len(values), generator=self.generator, device=values.device)
        for step in range(n_steps):
            self.optimizer.param_groups[0]["lr"], progress = pace((step + 1) / n_steps)
            self.model.anneal(progress)
            rows = order[step * batch : (step + 1) * batch]
            visible_weight = self.model.visible_weight(progress)
            loss = self._step(values[rows], observed[rows], visible_weight)
            if loss is None:
                skipped += 1
                continue
            losses += loss.features.detach()
            kl += loss.kl.detach()
            if after_step is not None:
                after_step()
        losses, kl = losses / max(n_steps - skipped, 1), kl / max(n_steps - skipped, 1)
        return {
            "loss": losses.sum().item(),
            "kl": kl.item(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "skipped_steps": skipped,
            "seconds": time.perf_counter() - started,
            **_by_feature("loss", self.names, losses),
            **self._conflict(),
        }

    def _conflict(self) -> dict:
        """How much the features' gradients at h disagreed in this epoch, and what each counted."""
        found = self.impartiality.at("h").conflict.epoch()
        if found is None:
            return {}
        share, weights = found
        return {"conflicting_pairs": share, **_by_feature("weight", self.names, weights)}

    def _step(self, values, observed, visible_weight):
        visible = hide_at_random(observed, self.hidden_share, self.generator)
        loss = self.objective(
            self.model,
            values,
            observed,
            visible,
            self.impartiality,
            self.generator,
            visible_weight,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, _LARGEST_GRADIENT)
        if torch.isfinite(norm):
            self._skipped_in_a_row = 0
            self.optimizer.step()
            return loss
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= _MAX_SKIPPED_IN_A_ROW:
            raise FloatingPointError(_diverged(loss.features, self.names))
        return None


def train(
    model: VAE,
    values: Tensor,
    observed: Tensor,
    *,
    objective: Objective,
    impartiality: Impartiality,
    plan: TrainingPlan,
    generator: torch.Generator,
    held_out_errors: Callable[[VAE], Tensor] | None,
    names: list[str],
    report: Callable[[dict, int], None] | None = None,
) -> TrainingRun:
    """Train `model` in place; it ends with the best weights.

    Parameters
    ----------
    model : VAE
    values, observed : Tensor of shape (n_rows, n_features)
        On the model's device. Held-out cells are not among the observed ones.
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

    Returns
    -------
    TrainingRun

    Raises
    ------
    FloatingPointError
        If the loss stays non-finite for 25 steps in a row.

    Warns
    -----
    RuntimeWarning
        If Ctrl-C ended training; the best weights so far are kept.
    """
    averaged, run = _Averaged(model), TrainingRun()
    share = hidden_share(observed)
    stepper = _Stepper(model, objective, impartiality, plan, generator, names, share)
    schedule = Schedule(plan.epochs(len(values), finished=held_out_errors is not None))
    best_error, best_epoch, smooth = math.inf, 0, None
    best = averaged.model.state_dict()

    def in_all():  # the last stretch included
        finished = held_out_errors is not None
        return schedule.n_epochs + (finished and plan.finishing_epochs(schedule.n_epochs))

    def pace(share):
        progress = schedule.progress(len(run.history) + share)
        return plan.rate(progress), progress

    model.train()
    model.lend(generator)
    try:
        while len(run.history) < schedule.n_epochs:
            epoch = len(run.history) + 1
            record = stepper.epoch(values, observed, pace, averaged.update)
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
    model.load_state_dict(best)
    model.eval()
    return run


def finish(
    model: VAE,
    values: Tensor,
    observed: Tensor,
    *,
    objective: Objective,
    impartiality: Impartiality,
    plan: TrainingPlan,
    generator: torch.Generator,
    names: list[str],
    run: TrainingRun,
    report: Callable[[dict, int], None] | None = None,
) -> None:
    """Give a trained model the held-out cells too: a fifth of its epochs more, at a small rate.

    What was held out to stop in time is a tenth of the data, too much to leave unused. The parameters
    are those of :func:`train`; `observed` now includes the held-out cells, and `run` is continued.
    An interruption leaves the model as it was.
    """
    share = hidden_share(observed)
    stepper = _Stepper(model, objective, impartiality, plan, generator, names, share)
    n_epochs = plan.finishing_epochs(len(run.history))
    before, n_before = copy.deepcopy(model.state_dict()), len(run.history)

    def pace(share):
        progress = (len(run.history) - n_before + share) / n_epochs
        return plan.finishing_rate(progress), 1.0

    model.train()
    model.lend(generator)
    try:
        while len(run.history) < n_before + n_epochs:
            record = stepper.epoch(values, observed, pace)
            run.add(record, report, n_before + n_epochs)
    except KeyboardInterrupt:
        run.interrupted = True
        model.load_state_dict(before)
        warnings.warn(
            "Training was interrupted in its last stretch, on the held-out cells; the model before "
            "it is kept and can be used.",
            RuntimeWarning,
            stacklevel=2,
        )
    finally:
        model.lend(None)
        model.eval()


def _by_feature(what: str, names: list[str], values: Tensor) -> dict:
    return {f"{what}[{name}]": v for name, v in zip(names, values.tolist(), strict=True)}


def _diverged(feature_losses: Tensor, names: list[str]) -> str:
    bad = [
        name
        for name, finite in zip(names, feature_losses.isfinite().tolist(), strict=True)
        if not finite
    ]
    where = f"in column(s) {', '.join(map(repr, bad))}" if bad else "in its gradient"
    return (
        f"The loss was not finite {where} for {_MAX_SKIPPED_IN_A_ROW} steps in a row. Lower "
        "learning_rate_init, choose another likelihood for these columns, or rescale them."
    )
