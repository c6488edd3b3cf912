"""What the encoder sees of a row: the visible values and which cells are visible."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skhvae.models._blocks import linear

__all__ = ["InputEmbedding"]

_N_BINS = 32
_ENOUGH_FOR_QUANTILES = 100_000


class InputEmbedding(nn.Module):
    """Embed a row's visible cells, and the visibility bits, into one vector.

    Features with an order (numbers, and the codes of ordered levels) enter standardised and as
    piecewise-linear encodings over their quantile bins (Gorishniy et al. 2022, arXiv 2203.05556,
    eq. 1); nominal and binary ones through one learned vector a level.
    A cell that is not visible contributes nothing but its visibility bit.

    Parameters
    ----------
    values, observed : Tensor of shape (n_rows, n_features)
        Training data in model units: bins and moments come from them.
    n_symbols : int Tensor of shape (n_features,)
        Number of levels of features without an order; 0 for those that enter as numbers.
    width : int
        Size of the embedding.
    generator : torch.Generator
    """

    def __init__(self, values, observed, n_symbols, width: int, generator: torch.Generator):
        super().__init__()
        symbolic = n_symbols > 0
        self.register_buffer("ordered", (~symbolic).nonzero().squeeze(1))
        self.register_buffer("symbolic", symbolic.nonzero().squeeze(1))
        known = torch.where(observed, values, torch.nan)[:, self.ordered].double()
        mean = known.nanmean(0)
        deviation = ((known - mean) ** 2).nanmean(0).sqrt().clamp(min=1e-6)
        self.register_buffer("mean", mean.float())
        self.register_buffer("deviation", deviation.float())
        left, width_of_bin = _quantile_bins((known - mean) / deviation)
        self.register_buffer("left", left.float())
        self.register_buffer("slope", (1 / width_of_bin).float())

        n_dense = len(self.ordered) * (1 + _N_BINS) + len(n_symbols)
        self.dense = linear(n_dense, width, generator)
        offsets = n_symbols[symbolic].cumsum(0) - n_symbols[symbolic]
        self.register_buffer("offsets", offsets)
        # One row a level of any feature, and a last one, always zero, for what is not visible.
        total = int(n_symbols.sum())
        levels = torch.empty(total + 1, width).normal_(
            0.0, 1 / max(len(n_symbols), 1) ** 0.5, generator=generator
        )
        levels[-1] = 0
        self.levels = nn.Parameter(levels)

    def forward(self, values: Tensor, visible: Tensor) -> Tensor:
        """(B, n_features) values and visible -> (B, width)."""
        shown = visible.to(values.dtype)
        seen = shown[:, self.ordered].unsqueeze(-1)
        x = ((values[:, self.ordered] - self.mean) / self.deviation).unsqueeze(-1)
        steps = ((x - self.left) * self.slope).clamp(0, 1)
        dense = torch.cat(
            [(x.clamp(-10, 10) * seen).flatten(1), (steps * seen).flatten(1), shown], 1
        )
        embedded = self.dense(dense)
        if len(self.symbolic):
            nothing = self.levels.shape[0] - 1
            rows = values[:, self.symbolic].long() + self.offsets
            rows = torch.where(visible[:, self.symbolic], rows, nothing)
            embedded = embedded + functional.embedding_bag(
                rows, self.levels, mode="sum", padding_idx=nothing
            )
        return embedded


def _quantile_bins(known: Tensor) -> tuple[Tensor, Tensor]:
    """Left edges and widths of quantile bins, each (n_features, 32); repeated edges give bins that
    are never entered."""
    probabilities = np.linspace(0, 1, _N_BINS + 1)
    edges = torch.empty(known.shape[1], _N_BINS + 1, dtype=known.dtype)
    for row, column in zip(edges, known.T, strict=True):
        present = column[~column.isnan()].numpy()
        every = max(1, len(present) // _ENOUGH_FOR_QUANTILES)
        row[:] = torch.from_numpy(np.quantile(present[::every], probabilities))
    left, widths = edges[:, :-1].clone(), edges.diff(dim=1)
    empty = widths < 1e-6
    left[empty] = torch.inf
    return left, torch.where(empty, 1.0, widths)
