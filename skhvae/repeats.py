"""Rows that a table holds more than once: what is missing in one, another may know."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["RepeatedRows", "repetitions_that_pay"]

_MOST_ROWS = 65_536  # kept, of large tables
_N_KEYS = 3  # of a row's cells, the rarest values, by one of which a repetition is looked up
_MOST_CANDIDATES = 32  # rows that share a value; a value of more says too little
_SURE = (
    10.0  # nats by which a row that agrees must be likelier a repetition than one of all other rows
)
_BATCH = 65_536  # pairs of rows compared at once
_FEWEST_CELLS = 20  # held out and known to repetitions, to judge by

_MISSING, _UNKNOWN = -1, -2


def repetitions_that_pay(
    values: Tensor,
    observed: Tensor,
    held: Tensor,
    estimates: Tensor,
    finite: Tensor,
    generator: torch.Generator,
) -> RepeatedRows | None:
    """The rows of a table, if their repetitions know better than the model's estimates.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    observed : bool Tensor of shape (n_rows, n_features)
    held : bool Tensor of shape (n_held_rows, n_features)
        Of the first rows the observed cells by which to judge.
    estimates : Tensor of shape (n_held_rows, n_features)
        The model's, without having learned these cells.
    finite : bool Tensor of shape (n_features,)
    generator : torch.Generator

    Returns
    -------
    RepeatedRows or None
    """
    n_held = len(held)
    rows = RepeatedRows(values, observed, generator)
    found = rows.look_up(values[:n_held], observed[:n_held] & ~held, np.arange(n_held))

    def cost(of):
        wrong = (of - values[:n_held]).abs()
        return torch.where(finite, (wrong > 0.5).to(wrong), wrong**2)

    typical = torch.where(held, cost(estimates), 0).sum(0) / held.sum(0)
    cells = held & ~found.isnan()
    gains = ((cost(estimates) - cost(found)) / typical)[cells]
    if len(gains) < _FEWEST_CELLS or not gains.mean() > 0:  # of NaN neither is true
        return None
    right = (found == values[:n_held])[cells].sum().item()
    rows.trust = (right + 1) / (len(gains) + 2)  # Laplace's rule
    return rows


class RepeatedRows:
    r"""Look up rows that agree with a given one in every cell that both know.

    In many tables a share of the rows are exact repetitions of others (a fifth of Wine Quality). No
    regression is as good as the row itself, whose values memorising methods, such as forests, give
    back. A row counts as a repetition if the values that the two have in common would surprise in two
    rows drawn at random: if :math:`-\sum_d \log p_d(x_d) > \log n + 10`, with the values' frequencies
    :math:`p_d` and n rows to choose from.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    observed : bool Tensor of shape (n_rows, n_features)
    generator : torch.Generator
        Which rows of a large table are kept.

    Attributes
    ----------
    trust : float
        What share of held-out cells repetitions knew exactly.

    Examples
    --------
    >>> import torch
    >>> from skhvae.repeats import RepeatedRows
    >>> values = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    >>> rows = RepeatedRows(values, torch.ones(100, 8, dtype=torch.bool), torch.Generator())
    >>> visible = torch.tensor([[False, True, True, True, True, True, True, True]])
    >>> found = rows.look_up(torch.where(visible, values[[42]], 0), visible)
    >>> bool(found[0, 0] == values[42, 0]), bool(found[:, 1:].isnan().all())
    (True, True)
    """

    def __init__(self, values: Tensor, observed: Tensor, generator: torch.Generator):
        kept = torch.randperm(len(values), generator=generator)[:_MOST_ROWS].sort().values
        self.kept, self.trust = kept.numpy(), 0.0
        values, observed = values[kept].numpy(), observed[kept].numpy()
        self._distinct, self._surprise, self._rows, self._starts = [], [], [], []
        self._codes = np.full(values.shape, _MISSING, dtype=np.int32)
        for i, (column, known) in enumerate(zip(values.T, observed.T, strict=True)):
            distinct, codes, counts = np.unique(
                column[known], return_inverse=True, return_counts=True
            )
            self._codes[known, i] = codes
            self._distinct.append(distinct)
            self._surprise.append(np.log(known.sum() / counts))
            self._rows.append(known.nonzero()[0][np.argsort(codes, kind="stable")])
            self._starts.append(np.concatenate([[0], counts.cumsum()]))

    def look_up(self, values: Tensor, visible: Tensor, own: NDArray | None = None) -> Tensor:
        """What repetitions know of the cells of rows that are not visible.

        Parameters
        ----------
        values : Tensor of shape (n_rows, n_features)
        visible : bool Tensor of shape (n_rows, n_features)
        own : int ndarray of shape (n_rows,), optional
            Where the rows themselves stand among those of the table, which then are no repetitions.

        Returns
        -------
        Tensor of shape (n_rows, n_features)
            NaN where nothing is known, and in visible cells.
        """
        values, visible = values.numpy(), visible.numpy()
        codes, counts, surprise = self._read(values, visible)
        left, right = self._candidates(codes, counts)
        if own is not None:
            other = own[left] != self.kept[right]
            left, right = left[other], right[other]
        evidence = np.concatenate(
            [
                _evidence(codes[left[some]], self._codes[right[some]], surprise[left[some]])
                for some in _batches(len(left))
            ]
            or [np.zeros(0)]
        )
        sure = evidence > np.log(len(self.kept)) + _SURE
        order = np.argsort(evidence[sure], kind="stable")  # of several, the last one is the best
        left, right = left[sure][order], right[sure][order]
        found = np.full(values.shape, np.nan, dtype=np.float32)
        for i, distinct in enumerate(self._distinct):
            theirs = self._codes[right, i]
            useful = ~visible[left, i] & (theirs != _MISSING)
            found[left[useful], i] = distinct[theirs[useful]]
        return torch.from_numpy(found)

    def _read(self, values: NDArray, visible: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Codes of the cells, how many rows share them, and nats of surprise, (n_rows, n_features)."""
        codes = np.full(values.shape, _MISSING, dtype=np.int32)
        counts = np.zeros(values.shape, dtype=np.int64)
        surprise = np.zeros(values.shape)
        for i, distinct in enumerate(self._distinct):
            if not len(distinct):
                continue
            place = np.searchsorted(distinct, values[:, i]).clip(max=len(distinct) - 1)
            known = distinct[place] == values[:, i]
            codes[:, i] = np.where(visible[:, i], np.where(known, place, _UNKNOWN), _MISSING)
            counts[:, i] = np.where(codes[:, i] >= 0, np.diff(self._starts[i])[place], 0)
            surprise[:, i] = np.where(codes[:, i] >= 0, self._surprise[i][place], 0.0)
        return codes, counts, surprise

    def _candidates(self, codes: NDArray, counts: NDArray) -> tuple[NDArray, NDArray]:
        """Pairs of a row and one of the table that share a rare value, each once."""
        rare = (counts > 0) & (counts <= _MOST_CANDIDATES)
        keys = np.argsort(np.where(rare, counts, np.iinfo(np.int64).max), axis=1)[:, :_N_KEYS]
        pairs = [np.zeros(0, dtype=np.int64)]
        for i, (rows, starts) in enumerate(zip(self._rows, self._starts, strict=True)):
            asking = (rare[:, i] & (keys == i).any(1)).nonzero()[0]
            first, n = starts[codes[asking, i]], counts[asking, i]
            within = np.arange(n.sum()) - np.repeat(n.cumsum() - n, n)
            found = rows[np.repeat(first, n) + within]
            pairs.append(np.repeat(asking, n) * len(self.kept) + found)
        return np.divmod(np.unique(np.concatenate(pairs)), len(self.kept))


def _evidence(codes: NDArray, others: NDArray, surprise: NDArray) -> NDArray:
    """Nats of surprise that rows agree, (n_pairs,); 0 if they do not."""
    both = (codes != _MISSING) & (others != _MISSING)
    agree = (codes == others) & both
    return np.where((agree == both).all(1), (surprise * agree).sum(1), 0.0)


def _batches(n: int):
    return [slice(start, start + _BATCH) for start in range(0, n, _BATCH)]
