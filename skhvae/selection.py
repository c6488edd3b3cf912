"""Selection models: what a cell's being missing says about its value."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from skhvae.piecewise import piecewise_linear

__all__ = ["SelectionModel"]


class SelectionModel:
    r"""The odds of a cell's being missing, as a function of its own value.

    A model that learns from observed cells learns :math:`p(x_d \mid \text{observed})`. If large values,
    say, are missing more often, missing cells are another population, and by Bayes' rule

    .. math:: p(x_d \mid \text{missing}) \propto p(x_d \mid \text{observed}) \,
              \frac{P(\text{missing} \mid x_d)}{P(\text{observed} \mid x_d)},

    which is the exponential tilting of Kim and Yu (2011, doi 10.1198/jasa.2011.tm10104, eq. 5). The log
    odds of every feature are piecewise linear between knots and constant beyond them, up to a constant
    that does not matter here.

    Parameters
    ----------
    functions : sequence of (Tensor, Tensor) or None
        Increasing knots in model units, or level codes, and the log odds there, (n_knots,) each; None for
        features whose gaps say nothing about their values.

    Attributes
    ----------
    applies : bool Tensor of shape (n_features,)

    Examples
    --------
    Of a feature's levels 0 and 1, the latter is missing three times as often:

    >>> import torch
    >>> from skhvae.selection import SelectionModel
    >>> selection = SelectionModel([(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0]).log()), None])
    >>> selection.applies
    tensor([ True, False])
    >>> selection.tilted(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), slice(0, 2))
    tensor([[0.2500, 0.7500],
            [0.5000, 0.5000]])
    """

    def __init__(self, functions):
        self.applies = torch.tensor([function is not None for function in functions])
        nothing = torch.arange(2.0), torch.zeros(2)
        functions = [nothing if function is None else function for function in functions]
        size = max((len(knots) for knots, _ in functions), default=2)
        # Knots beyond the last one, of the same odds, make all features' knots equally many.
        self._knots = torch.stack(
            [torch.cat([x, x[-1] + torch.arange(1.0, size - len(x) + 1)]) for x, _ in functions]
        )
        self._log_odds = torch.stack(
            [functional.pad(odds, (0, size - len(odds)), value=odds[-1]) for _, odds in functions]
        )

    def log_odds(self, values: Tensor, features: slice) -> Tensor:
        """Log odds at values (..., n_features) of those features, of the same shape."""
        return piecewise_linear(self._knots[features], self._log_odds[features], values)

    def tilted(self, probs: Tensor, features: slice) -> Tensor:
        """Probabilities of levels, (..., n_features, K), given that the cell is missing."""
        codes = torch.arange(probs.shape[-1], device=probs.device, dtype=probs.dtype)
        log_odds = self.log_odds(codes.unsqueeze(1).expand(-1, probs.shape[-2]), features).T
        weights = probs * (log_odds - log_odds.amax(-1, keepdim=True)).exp()
        return weights / weights.sum(-1, keepdim=True)

    def to(self, device: torch.device) -> SelectionModel:
        """A copy on another device."""
        moved = object.__new__(SelectionModel)
        vars(moved).update({name: tensor.to(device) for name, tensor in vars(self).items()})
        return moved
