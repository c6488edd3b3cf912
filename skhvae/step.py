"""One optimiser step, of which all that it reads and all that it leaves lies in tensors on the device.

The host never waits for a number, so that it can run ahead of a device; and a step changes nothing but the
contents of tensors, so that whoever recorded its operations can run the same step again.
"""

from __future__ import annotations

import pickle

import torch
from torch import Tensor

from skhvae.hiding import hidden_share, hide_at_random, show_as_missing
from skhvae.models import VAE, lead, twin
from skhvae.moo import Impartiality
from skhvae.objectives import Loss, Objective
from skhvae.rows import drawn

__all__ = ["Averaged", "Step", "Tally"]

_LARGEST_GRADIENT = 1.0
_AVERAGING = 0.999  # decay of the moving average of the weights, per step


class Averaged:
    """Exponential moving average of a model's weights (Polyak averaging with a short memory)."""

    def __init__(self, model: VAE):
        self.model = twin(model).eval()
        self._own = [p.detach() for p in self.model.parameters()]
        self._source = [p.detach() for p in model.parameters()]
        self._steps = self._own[0].new_zeros(())

    def update(self, finite: Tensor) -> None:
        """Move towards the weights as they are; not after a step that was skipped."""
        self._steps += finite
        share = (9 / (self._steps + 9)).clamp(min=1 - _AVERAGING) * finite
        torch._foreach_lerp_(self._own, self._source, [share] * len(self._own))

    def go_on(self, model: VAE, n_steps: int) -> None:
        """Take another average of so many steps for its own."""
        self.model.load_state_dict(model.state_dict())
        self._steps.fill_(n_steps)

    @property
    def tensors(self) -> list[Tensor]:
        """All that changes."""
        return [*self._own, self._steps]


class Tally:
    """What steps add up to, and whether they are finite still.

    Attributes
    ----------
    n_skipped_in_a_row : Tensor of shape ()
        The longest row of skipped steps so far.
    culprits : bool Tensor of shape (n_features,)
        The features whose loss was not finite when last a step was skipped.
    """

    def __init__(self, n_features: int, like: Tensor):
        self._sums = like.new_zeros(n_features + 2)  # of the losses, the KL term and the steps
        self._in_a_row, self.n_skipped_in_a_row = like.new_zeros(()), like.new_zeros(())
        self.culprits = like.new_zeros(n_features, dtype=torch.bool)

    @torch.no_grad()
    def add(self, loss: Loss, finite: Tensor) -> None:
        """Take in a step, which was skipped unless its gradient was `finite`."""
        parts = [loss.features, loss.kl.unsqueeze(0), torch.ones_like(self._sums[:1])]
        self._sums += torch.where(finite, torch.cat(parts), 0)
        self._in_a_row.add_(1).mul_(~finite)
        self.n_skipped_in_a_row.clamp_(min=self._in_a_row)
        self.culprits.copy_(torch.where(finite, self.culprits, ~loss.features.isfinite()))

    def begin(self) -> None:
        """Sums start anew; a row of skipped steps goes on."""
        self._sums.zero_()

    def means(self) -> tuple[Tensor, float, int]:
        """Mean losses (n_features,) and KL term, and the number of steps that were taken."""
        n_taken = int(self._sums[-1].item())
        means = self._sums[:-1] / max(n_taken, 1)
        return means[:-1], means[-1].item(), n_taken

    @property
    def tensors(self) -> list[Tensor]:
        """All that changes."""
        return [self._sums, self._in_a_row, self.n_skipped_in_a_row, self.culprits]


class Step:
    """An optimiser step on some rows; it is skipped, on the device, if its gradient is not finite.

    Parameters
    ----------
    model : VAE
    values : Tensor of shape (n_rows, n_features)
        On the model's device.
    observed : bool Tensor of shape (..., n_rows, n_features)
        With the members' axis in front, if they are to learn from different cells.
    weights : float64 Tensor of shape (n_rows,) or (n_members, n_rows), or None
        How often each row is in the batches, beside others, or in those of each member; None if all are equal.
    objective : Objective
    impartiality : Impartiality
    batch_size : int
    weight_decay : float
    generator : torch.Generator
        On the model's device: batches, hiding, noise and dropout.
    averaged : Averaged, optional
        Follows the model.

    Attributes
    ----------
    tally : Tally
    recordable : bool
        Whether a device can record it and run it again by itself.
    """

    def __init__(
        self,
        model: VAE,
        values: Tensor,
        observed: Tensor,
        weights: Tensor | None = None,
        *,
        objective: Objective,
        impartiality: Impartiality,
        batch_size: int,
        weight_decay: float,
        generator: torch.Generator,
        averaged: Averaged | None = None,
    ):
        self.model, self.values, self.observed = model, values, observed
        self._weights = weights
        self.objective, self.impartiality = objective, impartiality
        self.generator, self.averaged = generator, averaged
        self.recordable = impartiality.recordable
        self.tally = Tally(values.shape[1], values)
        self._batch_size = min(batch_size, len(values))
        self._lead, device = lead(model.n_members), values.device
        self._rows = torch.zeros(*self._lead, self._batch_size, dtype=torch.long, device=device)
        self._first_rows = torch.zeros((), dtype=torch.long, device=device)
        if observed.dim() > 2:  # where each member's part begins
            starts = torch.arange(0, observed.shape[:-1].numel(), len(values), device=device)
            self._first_rows = starts.unsqueeze(1)
        self._rate = torch.zeros((), device=values.device)
        self._visible_weight = torch.ones((), device=values.device)
        self._hidden_share = hidden_share(observed)
        self._parameters = list(model.parameters())
        self._optimizer = torch.optim.AdamW(
            self._parameters, self._rate, weight_decay=weight_decay, fused=True, capturable=True
        )

    def shuffled(self) -> Tensor:
        """Rows in a new order, each member's its own, (n_steps, ..., batch_size): whole batches, of as many rows
        as there are, each as often as its weight says."""
        n_rows = len(self.values)
        n_used = n_rows - n_rows % self._batch_size
        n_members, weights = self.model.n_members, self._weights
        of_members = [None] * n_members if weights is None else weights.expand(n_members, -1)
        orders = [drawn(own, n_rows, n_rows, self.generator)[:n_used] for own in of_members]
        return torch.stack(orders).view(*self._lead, -1, self._batch_size).movedim(-2, 0)

    def prepare(self, rows: Tensor, rate: float, progress: float) -> None:
        """Say what the next step is about.

        Parameters
        ----------
        rows : int Tensor of shape (..., batch_size)
            Of each member, if there are several.
        rate : float
            Learning rate.
        progress : float
            Share of the training done.
        """
        self._rows.copy_(rows)
        self._rate.fill_(rate)
        self._visible_weight.fill_(self.model.visible_weight(progress))
        self.model.anneal(progress)

    def __call__(self) -> None:
        values = self.values[self._rows]
        observed = self.observed.flatten(0, -2)[self._first_rows + self._rows]
        visible = hide_at_random(observed, self._hidden_share, self.generator)
        missing = show_as_missing(observed, visible, self.generator)
        loss = self.objective(
            self.model,
            values,
            observed,
            visible,
            self.impartiality,
            self.generator,
            self._visible_weight,
            missing,
        )
        self._optimizer.zero_grad(set_to_none=True)
        (loss.total * self.model.n_members).backward()  # it is their mean, not their sum
        finite = self._clip_gradients().isfinite()
        self._optimizer.found_inf = (~finite).float()  # then AdamW leaves everything as it is
        self._optimizer.step()
        self.tally.add(loss, finite)
        if self.averaged is not None:
            self.averaged.update(finite)

    def _clip_gradients(self) -> Tensor:
        """Gradients no longer than `_LARGEST_GRADIENT`, every member's by itself; what was the longest."""
        if not self._lead:
            return torch.nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        parts = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
        norms = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        shrink = (_LARGEST_GRADIENT / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(shrink.view(-1, *[1] * (gradient.dim() - 1)))
        return norms.max()

    def state(self) -> dict[str, list[Tensor]]:
        """All tensors that steps change, by kind; complete after the first one."""
        of_parameters = self._optimizer.state.values()
        return {
            "weights": [p.detach() for p in self._parameters],
            "moments": [moments["exp_avg"] for moments in of_parameters],
            "squares": [moments["exp_avg_sq"] for moments in of_parameters],
            "counts": [moments["step"] for moments in of_parameters],
            "averages": [] if self.averaged is None else self.averaged.tensors,
            "tally": self.tally.tensors,
            "strategies": self.impartiality.tensors(),
        }

    def memory(self) -> dict:
        """All that a later step depends on, to be written down between two of them."""
        generator = self.generator
        self.impartiality.lend(None)  # is shared, not copied
        impartiality = pickle.dumps(self.impartiality)
        self.impartiality.lend(generator)
        return {
            "tensors": self._changing(),
            "moments": self.moments(),
            "generator": generator.get_state(),
            "impartiality": impartiality,
        }

    def remember(self, memory: dict) -> None:
        """Go on from where another step of the same model and rows stood."""
        for tensor, kept in zip(self._changing(), memory["tensors"], strict=True):
            tensor.copy_(kept)
        self.take_moments(memory["moments"])
        self.generator.set_state(memory["generator"].cpu())
        self.impartiality.take_over(pickle.loads(memory["impartiality"]))

    def moments(self) -> dict:
        """What the optimiser remembers of each parameter's gradients, by its number."""
        return self._optimizer.state_dict()["state"]

    def take_moments(self, moments: dict) -> None:
        """Go on with those of another step of the same model."""
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._optimizer.param_groups[0]["lr"] = self._rate  # not a copy of it

    def _changing(self) -> list[Tensor]:
        models = [self.model]
        tensors = [*self.tally.tensors]
        if self.averaged is not None:
            models.append(self.averaged.model)
            tensors += self.averaged.tensors
        for model in models:
            tensors += [p.detach() for p in model.parameters()]
            tensors += list(model.buffers())
        return tensors
