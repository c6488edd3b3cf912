"""Joint draws of a row's cells, one after the other, each given those before it; and their joint density.

The model has learned to predict any cell from any others, so a joint distribution follows from it by the chain
rule, :math:`p(x_1, x_2 \\mid x_o) = p(x_1 \\mid x_o)\\, p(x_2 \\mid x_o, x_1)`, in any order (order-agnostic
autoregressive models: Uria, Murray and Larochelle 2014, arXiv 1310.1757; Hoogeboom et al. 2022, arXiv 2110.02037).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skhvae.calibration import Calibration
from skhvae.inference import by_rows, chunk_size, predictions_at, steady
from skhvae.matching import Matching
from skhvae.models import VAE, twin
from skhvae.predictive import Predictive, Shifts
from skhvae.selection import SelectionModel

__all__ = ["Grid", "draw_cells", "log_density", "turns"]

_MOST_TURNS = 32  # of a row; where more cells are to be drawn, several share one
_FINEST_STEP = 1e-9  # that numbers of 32 bits tell from none, where they are about 1


@dataclass(frozen=True)
class Grid:
    """The values that features can have, in model units.

    Attributes
    ----------
    low, high : Tensor of shape (n_features,)
        The observed range; infinite for finite features.
    step : Tensor of shape (n_features,)
        What values differ by at least, 0 if that can be anything.
    """

    low: Tensor
    high: Tensor
    step: Tensor

    def nearest(self, values: Tensor) -> Tensor:
        """Values (..., n_features) within the range, and rounded from its lower end on."""
        values = values.clamp(self.low.to(values), self.high.to(values))
        step, low = self.step.to(values), self.low.to(values)
        whole = step > _FINEST_STEP
        low, unit = torch.where(whole, low, 0), torch.where(whole, step, 1)
        return torch.where(whole, low + ((values - low) / unit).round() * unit, values)

    def to(self, device: torch.device) -> Grid:
        """A copy on another device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in vars(self).items()})


def turns(wanted: Tensor, order: Tensor) -> Tensor:
    """When each wanted cell of a row has its turn, int (n_rows, n_features); -1 for others.

    Parameters
    ----------
    wanted : bool Tensor of shape (n_rows, n_features)
    order : Tensor of shape (n_rows, n_features)
        Smaller numbers first.

    Examples
    --------
    >>> import torch
    >>> from skhvae.draws import turns
    >>> turns(torch.tensor([[True, False, True]]), torch.tensor([[0.9, 0.1, 0.4]]))
    tensor([[ 1, -1,  0]])
    """
    ranks = order.masked_fill(~wanted, math.inf).argsort(-1).argsort(-1)
    n_wanted = wanted.sum(-1, keepdim=True)
    shared = ranks * _MOST_TURNS // n_wanted.clamp(min=1)
    return torch.where(n_wanted > _MOST_TURNS, shared, ranks).masked_fill(~wanted, -1)


def draw_cells(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    turn: Tensor,
    levels: Tensor,
    *,
    points: Tensor,
    member: int,
    grid: Grid,
    calibration: Calibration | None = None,
    matching: Matching | None = None,
    selection: SelectionModel | None = None,
    known: Tensor | None = None,
    trust: float = 0.0,
    shifts: Callable[[Tensor], Shifts] | None = None,
    rows_at_once: int | None = None,
) -> Tensor:
    """Draw cells of every row, those of one turn after those of the last; the same for a row wherever it stands.

    Parameters
    ----------
    model, values, visible
        As for :func:`skhvae.inference.impute_rows`.
    turn : int Tensor of shape (n_rows, n_features)
        When each cell is drawn, -1 for never. A cell that is visible is not seen any more from its turn on, until
        it is drawn.
    levels : Tensor of shape (n_rows, n_features)
        Uniform random numbers.
    points : Tensor of shape (S, noise_dim)
    member : int
        Of the model, whose predictions are drawn from.
    grid : Grid
    calibration, matching, selection, known, trust
        As for :class:`skhvae.predictive.Predictive`.
    shifts : callable or None
        Rows (B, n_features), all of whose cells have values -> what corrects the predictions of each from all others.
    rows_at_once : int or None

    Returns
    -------
    Tensor of shape (n_rows, n_features)
        `values` with the cells that were drawn.
    """
    model = steady(model)
    families = model.heads.families
    points = points.to(next(model.parameters()))
    if known is None:
        known, trust = torch.full_like(values, torch.nan), 0.0

    @torch.no_grad()
    def draw(values, visible, turn, levels, known):
        levels = levels.double()
        for now in range(int(turn.max()) + 1):
            cells = turn == now
            visible = visible & ~cells
            params = predictions_at(model, values, visible, points)
            own = [p if p.dim() == 4 else p[:, member] for p in params]
            some, more = known if trust else None, shifts and shifts(values)
            predictive = Predictive(
                families, own, calibration, matching, selection, some, trust, more
            )
            drawn = grid.nearest(predictive.at(levels))
            values = torch.where(cells, drawn.to(values.dtype), values)
            visible = visible | cells
        return values

    size = rows_at_once or chunk_size(model, len(points) * model.n_members)
    return by_rows(draw, model, size, values, visible, turn, levels, known).to(values.dtype)


def log_density(
    model: VAE, values: Tensor, turn: Tensor, points: Tensor, rows_at_once: int | None = None
) -> Tensor:
    """Log density of the cells that have a turn, by the chain rule in the order of their turns.

    Parameters
    ----------
    model, values, points
        As for :func:`skhvae.inference.impute_rows`.
    turn : int Tensor of shape (n_rows, n_features)
    rows_at_once : int or None

    Returns
    -------
    float64 Tensor of shape (n_rows,)
        Nats in model units.
    """
    # In float64: the terms of a count's probability cancel.
    model, points = twin(model, torch.float64), points.double()

    @torch.no_grad()
    def density(values, turn):
        total = values.new_zeros(len(values))
        for now in range(int(turn.max()) + 1):
            params = predictions_at(model, values, (turn >= 0) & (turn < now), points)
            of_points = model.heads.log_prob(params, values).flatten(0, -3)
            cells = of_points.logsumexp(0) - math.log(len(of_points))
            total = total + torch.where(turn == now, cells, 0).sum(-1)
        return total

    size = rows_at_once or chunk_size(model, len(points) * model.n_members)
    return by_rows(density, model, size, values, turn).double()
