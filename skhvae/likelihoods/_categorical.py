"""The categorical likelihood."""

from __future__ import annotations

from torch import Tensor

from skhvae.likelihoods._base import (
    FiniteLikelihood,
    level_frequencies,
    masked_log_softmax,
    own_levels,
)

__all__ = ["Categorical"]


class Categorical(FiniteLikelihood):
    r"""Categorical distribution by a softmax of one logit a level.

    .. math:: \log p(x = k \mid \eta) = \eta_k - \log \textstyle\sum_j e^{\eta_j}

    Features of different numbers of levels are padded to the widest of the group.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import Categorical
    >>> values = torch.tensor([[0.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    >>> family = Categorical().prepared(values, values >= 0, torch.tensor([2, 3]))
    >>> family.mode(family.initial)
    tensor([0., 0.])
    >>> family.probs(family.initial)[0, 2].item()  # the first feature has two levels
    0.0
    """

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        self.register_buffer("own", own_levels(n_levels))
        return level_frequencies(values, observed, n_levels).clamp(min=1e-6).log()

    def log_probs(self, params: Tensor) -> Tensor:
        return masked_log_softmax(params, self.own)
