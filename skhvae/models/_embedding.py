"""What the encoder sees of a row: the visible values and which cells are visible."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skhvae.models._blocks import lead, linear

__all__ = ["InputEmbedding"]

_N_BINS = 32
# A number with few distinct values may be a code whose every value has a meaning of its own: it is looked
# up too, if that leaves enough rows a value to learn from.
_MOST_VALUES, _ROWS_A_VALUE = 256, 50
_ENOUGH_FOR_QUANTILES = 100_000


class InputEmbedding(nn.Module):
    """Embed a row's visible cells, and which are visible and which missing, into one vector.

    Features with an order (numbers, and the codes of ordered levels) enter standardised and as
    piecewise-linear encodings over their quantile bins (Gorishniy et al. 2022, arXiv 2203.05556,
    eq. 1), numbers with few distinct values also through one learned vector a value; nominal and binary
    ones through one a level. A cell that is not visible contributes nothing but two bits: that it is not
    visible, and whether the table lacks it.

    Parameters
    ----------
    values, observed : Tensor of shape (n_rows, n_features)
        Training data in model units: bins and moments come from them.
    n_symbols : int Tensor of shape (n_features,)
        Number of levels of features without an order; 0 for those that enter as numbers.
    width : int
        Size of the embedding.
    generator : torch.Generator
    n_members : int, default=1
    """

    def __init__(
        self,
        values,
        observed,
        n_symbols,
        width: int,
        generator: torch.Generator,
        n_members: int = 1,
    ):
        super().__init__()
        symbolic = n_symbols > 0
        self.register_buffer("ordered", (~symbolic).nonzero().squeeze(1))
        self.register_buffer("symbolic", symbolic.nonzero().squeeze(1))
        # One column at a time: in float64, all at once would be the largest thing that fit holds.
        columns = [_scale_and_bins(values[observed[:, i], i].double()) for i in self.ordered]
        empty = [torch.empty(0), torch.empty(0), torch.empty(0, _N_BINS), torch.empty(0, _N_BINS)]
        parts = [torch.stack(part) for part in zip(*columns, strict=True)] or empty
        for name, part in zip(("mean", "deviation", "left", "slope"), parts, strict=True):
            self.register_buffer(name, part.float())

        n_dense = len(self.ordered) * (1 + _N_BINS) + 2 * len(n_symbols)
        self.dense = linear(n_dense, width, generator, n_members=n_members)
        scale = 1 / max(len(n_symbols), 1) ** 0.5
        self.levels = _Lookup(n_symbols[symbolic], width, scale, generator, n_members)
        ordered = self.ordered.tolist()
        self.codes = _CodeEmbedding(values, observed, ordered, width, generator, n_members)

    def forward(self, values: Tensor, visible: Tensor, missing: Tensor) -> Tensor:
        """(..., B, n_features) values, visible and missing -> (..., B, width), with the members' axis before
        the rows if there are several. Inputs without it are the same for all members; visible and missing
        must both have it or not."""
        shown = visible.to(values.dtype)
        seen = shown[..., self.ordered].unsqueeze(-1)
        x = ((values[..., self.ordered] - self.mean) / self.deviation).unsqueeze(-1)
        steps = ((x - self.left) * self.slope).clamp(0, 1)
        dense = torch.cat(
            [
                (x.clamp(-10, 10) * seen).flatten(-2),
                (steps * seen).flatten(-2),
                shown,
                missing.to(shown),
            ],
            -1,
        )
        embedded = self.dense(dense)
        if len(self.codes.columns):
            embedded = embedded + self.codes(values, visible)
        if len(self.symbolic):
            levels = values[..., self.symbolic].long()
            embedded = embedded + self.levels(levels, visible[..., self.symbolic])
        return embedded


class _Lookup(nn.Module):
    """Sum of one learned vector for every visible feature's code.

    Parameters
    ----------
    n_codes : int Tensor of shape (n_features,)
    width : int
    scale : float
        Of the initial vectors.
    generator : torch.Generator
    n_members : int
    """

    def __init__(self, n_codes, width: int, scale: float, generator, n_members: int):
        super().__init__()
        self.register_buffer("offsets", n_codes.cumsum(0) - n_codes)
        # One row a code of any feature, and a last one, always zero, for what is not visible.
        self._nothing = int(n_codes.sum())
        vectors = torch.empty(*lead(n_members), self._nothing + 1, width)
        vectors.normal_(0.0, scale, generator=generator)
        vectors[..., -1, :] = 0
        self.vectors = nn.Parameter(vectors)

    def forward(self, codes: Tensor, visible: Tensor) -> Tensor:
        """(..., B, n_features) codes and visible -> (..., B, width)."""
        rows = codes + self.offsets
        n_members = self.vectors.shape[:-2].numel()
        if n_members > 1:
            first = torch.arange(n_members, device=rows.device) * (self._nothing + 1)
            rows = rows + first.view(-1, 1, 1)
        # That of the first member serves all: torch knows one row that learns nothing.
        rows = torch.where(visible, rows, self._nothing)
        vectors = self.vectors.view(-1, self.vectors.shape[-1])
        summed = functional.embedding_bag(
            rows.flatten(0, -2), vectors, mode="sum", padding_idx=self._nothing
        )
        return summed.view(*rows.shape[:-1], -1)


class _CodeEmbedding(nn.Module):
    """One learned vector for every distinct value of the numbers that have few of them.

    A number between two known values is looked up as the nearer one.
    """

    def __init__(self, values, observed, ordered: list[int], width, generator, n_members: int):
        super().__init__()
        columns, halfways = [], []
        for i in ordered:
            known = values[observed[:, i], i]
            distinct = known.unique()
            if 2 < len(distinct) <= min(_MOST_VALUES, len(known) // _ROWS_A_VALUE):
                columns.append(i)
                halfways.append((distinct[1:] + distinct[:-1]) / 2)
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.long))
        edges = torch.full((len(columns), max(map(len, halfways), default=0)), torch.inf)
        for row, halfway in zip(edges, halfways, strict=True):
            row[: len(halfway)] = halfway
        self.register_buffer("edges", edges)
        sizes = torch.tensor([len(halfway) + 1 for halfway in halfways], dtype=torch.long)
        scale = 0.3 / max(values.shape[1], 1) ** 0.5
        lookup = _Lookup(sizes, width, scale, generator, n_members)
        self.lookup = lookup if columns else None

    def forward(self, values: Tensor, visible: Tensor) -> Tensor:
        """(..., B, n_features) values and visible -> (..., B, width)."""
        numbers = values[..., self.columns]
        codes = torch.searchsorted(self.edges, numbers.flatten(0, -2).T.contiguous()).T
        return self.lookup(codes.reshape(numbers.shape), visible[..., self.columns])

    def _load_from_state_dict(self, state, prefix, *others):
        """Make room first: training data, not the architecture, decide which numbers are looked up."""
        given = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        own = {name: tensor.shape for name, tensor in self.state_dict().items()}
        if own != {name: tensor.shape for name, tensor in given.items()}:
            self.columns, self.edges = (torch.empty_like(given[x]) for x in ("columns", "edges"))
            self.lookup = None
            if len(self.columns):
                vectors = given["lookup.vectors"]
                end = torch.tensor([vectors.shape[-2] - 1])
                sizes = given["lookup.offsets"].cpu().diff(append=end)
                n_members = vectors.shape[:-2].numel()
                width = vectors.shape[-1]
                self.lookup = _Lookup(sizes, width, 0.0, torch.Generator(), n_members)
        super()._load_from_state_dict(state, prefix, *others)


def _scale_and_bins(known: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and deviation of a column's observed values; left edges and slopes (32,) of their quantile bins
    when standardised. Repeated edges give bins that are never entered."""
    mean = known.mean()
    known = known - mean
    deviation = known.square().mean().sqrt().clamp(min=1e-6)
    every = max(1, len(known) // _ENOUGH_FOR_QUANTILES)
    probabilities = np.linspace(0, 1, _N_BINS + 1)
    edges = torch.from_numpy(np.quantile(known[::every].numpy(), probabilities)) / deviation
    left, widths = edges[:-1].clone(), edges.diff()
    empty = widths < 1e-6
    left[empty] = torch.inf
    return mean, deviation, left, 1 / widths.masked_fill(empty, 1.0)
