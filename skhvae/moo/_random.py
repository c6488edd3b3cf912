"""Random weights: the control."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["Random"]


class Random(Weighting):
    """Draw the weights anew at every step, softmax of standard normals (Lin et al. 2021, "Reasonable
    effectiveness of random weighting", arXiv 2111.10603, eq. 3): what any strategy must beat.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import Random
    >>> strategy = Random()
    >>> strategy.lend(torch.Generator().manual_seed(0))
    >>> strategy.weights(torch.eye(3)).sum()
    tensor(1.)
    """

    separable = True
    recordable = True

    def weights(self, gramian: Tensor) -> Tensor:
        noise = torch.randn(
            len(gramian), generator=self.generator, device=gramian.device, dtype=gramian.dtype
        )
        return noise.softmax(0)
