"""Training on a table that grows: a pass over every chunk when it comes, and a memory from one to the next."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.epoch import run_epoch, runner
from skhvae.models import VAE, twin
from skhvae.moo import Impartiality, OnDevice
from skhvae.objectives import Objective
from skhvae.schedule import TrainingPlan
from skhvae.step import Averaged, Step

__all__ = ["OnlineTraining"]

# Steps in which the learning rate rises to its peak, and after which it falls with the root of their number: no end
# is known to fall to.
_WARMUP, _LEVEL = 100, 1000
_KEPT_ROWS = 8192


class OnlineTraining(OnDevice):
    """What training chunk by chunk remembers.

    Attributes
    ----------
    weights : dict of str to Tensor, or None
        The network as the last step left it; the one that imputes is its moving average.
    moments : dict or None
        The optimiser's.
    n_steps, n_rows : int
        So far.
    asked_at : int
        Rows there had been when last rows were asked for.
    values, observed, draws : Tensor or None
        A sample of all rows, each with the number that it drew, the lowest of which stay.
    """

    def __init__(self):
        self.weights = self.moments = self.values = self.observed = self.draws = None
        self.n_steps = self.n_rows = self.asked_at = 0

    def learn(
        self,
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
    ) -> dict:
        """A pass over a chunk.

        Parameters
        ----------
        model : VAE
            The one that imputes; changed in place.
        values, observed, weights
            As for :class:`skhvae.step.Step`.
        objective, impartiality, plan, generator, names
            As for :func:`skhvae.training.train`.

        Returns
        -------
        dict
            The record of the pass.
        """
        trained = twin(model)
        if self.weights is not None:
            trained.load_state_dict(self.weights)
        averaged = Averaged(trained)
        averaged.go_on(model, self.n_steps)
        step = Step(
            trained,
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
        if self.moments is not None:
            step.take_moments(self.moments)
        n_steps = plan.steps_per_epoch(len(values))

        def pace(share):
            done = self.n_steps + share * n_steps
            rate = min(1.0, done / _WARMUP) * min(1.0, _LEVEL / done) ** 0.5
            return plan.learning_rate * rate, min(1.0, done / plan.max_steps)

        trained.train()
        trained.lend(generator)
        record = run_epoch(step, runner(step), pace, names)
        trained.lend(None)
        model.load_state_dict(averaged.model.state_dict())
        model.eval()
        self.weights = {name: tensor.detach() for name, tensor in trained.state_dict().items()}
        self.moments = step.moments()
        self.n_steps += n_steps
        return record

    def sample(
        self, values: Tensor, observed: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor] | None:
        """Take in a chunk's rows.

        Returns
        -------
        values, observed : Tensor of shape (n_kept, n_features), or None
            Up to 8192 rows of all chunks, each with the same chance; None unless they have become twice as
            many since they were last returned.
        """
        new = values, observed, torch.rand(len(values), generator=generator)
        if self.draws is not None:
            # Which may have been moved to a device with the rest since.
            old = (x.to(values.device) for x in (self.values, self.observed, self.draws))
            new = tuple(torch.cat(both) for both in zip(old, new, strict=True))
        rows = new[2].argsort()[:_KEPT_ROWS].sort().values
        self.values, self.observed, self.draws = (part[rows] for part in new)
        self.n_rows += len(values)
        if self.n_rows < 2 * self.asked_at:
            return None
        self.asked_at = self.n_rows
        return self.values, self.observed
