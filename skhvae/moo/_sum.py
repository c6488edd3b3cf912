"""The plain sum: what the ELBO does by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["Sum"]


class Sum(Weighting):
    """Add the gradients as they are, as plain backpropagation does: the baseline every strategy is
    compared with (Javaloy et al. 2022, arXiv 2206.04496, section 5).

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import Sum
    >>> Sum().weights(torch.eye(3))
    tensor([1., 1., 1.])
    """

    separable = True
    recordable = True

    def weights(self, gramian: Tensor) -> Tensor:
        return torch.ones_like(gramian.diagonal())
