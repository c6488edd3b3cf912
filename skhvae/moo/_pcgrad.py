"""PCGrad: project conflicting gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["PCGrad"]


class PCGrad(Weighting):
    r"""Remove from every gradient its conflict with each other one, in random order (Yu et al. 2020,
    arXiv 2001.06782, algorithm 1).

    Row d of the coefficients C holds feature d's gradient in terms of the original ones, starting
    from the identity. Then :math:`\langle g_d^{PC}, g_e \rangle = (C G)_{de}`, and where it is
    negative, :math:`C_{de} \leftarrow C_{de} - (C G)_{de} / G_{ee}`: the whole algorithm in
    Gramian coordinates, all features at once. The weights are the column sums of C.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import PCGrad
    >>> PCGrad().weights(torch.tensor([[1.0, -0.5], [-0.5, 1.0]]))
    tensor([1.5000, 1.5000])
    """

    separable = True
    recordable = True

    def weights(self, gramian: Tensor) -> Tensor:
        n_features = len(gramian)
        keys = torch.rand(
            gramian.shape, generator=self.generator, device=gramian.device, dtype=gramian.dtype
        )
        order = keys.argsort(dim=1)  # row d: the order in which feature d meets the others
        itself = torch.arange(n_features, device=gramian.device)
        coefficients = torch.eye(n_features, dtype=gramian.dtype, device=gramian.device)
        products = gramian.clone()
        squared_norms = gramian.diagonal()
        for others in order.unbind(1):
            inner = products[itself, others]
            conflict = (inner < 0) & (others != itself)
            step = torch.where(conflict, inner / squared_norms[others], 0)
            coefficients[itself, others] -= step
            products -= step.unsqueeze(1) * gramian[others]
        return coefficients.sum(0)
