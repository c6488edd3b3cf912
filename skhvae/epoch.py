"""A pass over the rows, step by step, and the record of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor

from skhvae.moo import Impartiality
from skhvae.replay import Replay
from skhvae.step import Step, Tally

__all__ = ["by_feature", "run_epoch", "runner"]

_MAX_SKIPPED_IN_A_ROW = 25
_STEPS_UNWATCHED = 100  # whether steps are finite is asked this seldom: a device is waited for


def run_epoch(step: Step, run_step: Callable[[], None], pace, names: list[str]) -> dict:
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
        **by_feature("loss", names, losses),
        **_conflict(step.impartiality, names),
    }


def _conflict(impartiality: Impartiality, names: list[str]) -> dict:
    """How much the features' gradients at h disagreed in this epoch, and what each counted."""
    found = impartiality.at("h").conflict.epoch()
    if found is None:
        return {}
    share, weights = found
    return {"conflicting_pairs": share, **by_feature("weight", names, weights)}


def runner(step: Step) -> Callable[[], None]:
    """What runs the step: on a CUDA device a recording of it, where it can be recorded."""
    if step.values.is_cuda and step.recordable:
        return Replay(step, step.state, step.generator)
    return step


def by_feature(what: str, names: list[str], values: Tensor) -> dict:
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
