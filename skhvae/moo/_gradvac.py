"""GradVac: gradients drawn towards the cosines they usually have."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import StatefulWeighting

__all__ = ["GradVac"]

_SMALLEST = 1e-12
_MOST_ALIKE = 1 - 1e-6  # a cosine of 1 is reached by no finite step


class GradVac(StatefulWeighting):
    r"""Where two gradients agree less than usual, turn the one towards the other until they agree as
    usual (Wang et al. 2021, "Gradient vaccine", arXiv 2010.05874, eq. 3 and algorithm 1).

    Usual is a moving average :math:`\hat\phi` of each pair's cosines :math:`\phi`, from 0 on: the first
    step is PCGrad's. In Gramian coordinates, all features at once, as
    :class:`PCGrad` does it; feature d then needs :math:`C_{de} \leftarrow C_{de} + \lVert g'_d \rVert
    (\hat\phi \sqrt{1 - \phi^2} - \phi \sqrt{1 - \hat\phi^2}) / (\lVert g_e \rVert \sqrt{1 - \hat\phi^2})`.

    Parameters
    ----------
    decay : float, default=0.01
        Share of a new cosine in the moving average, the paper's beta.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import GradVac
    >>> GradVac().weights(torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64))
    tensor([1.5000, 1.5000], dtype=torch.float64)
    """

    recordable = True

    def __init__(self, decay: float = 0.01):
        self.decay = decay
        super().__init__()

    def reset(self) -> None:
        self._usual = None

    def update(self, gramian: Tensor, active: Tensor) -> Tensor:
        if self._usual is None:
            self._usual = torch.zeros_like(gramian)
        usually = self._usual.clone()
        order = torch.rand(
            gramian.shape, generator=self.generator, device=gramian.device, dtype=gramian.dtype
        ).argsort(dim=1)  # row d: the order in which feature d meets the others
        itself = torch.arange(len(gramian), device=gramian.device)
        coefficients = torch.eye(len(gramian), dtype=gramian.dtype, device=gramian.device)
        products, squares = gramian.clone(), gramian.diagonal().clone()
        squared_norms = gramian.diagonal()
        sines = (1 - usually**2).sqrt()
        for others in order.unbind(1):
            inner, theirs = products[itself, others], squared_norms[others]
            norm = squares.clamp(min=_SMALLEST * squared_norms).sqrt()
            cosine = (inner / (norm * theirs.sqrt())).clamp(-1, 1)
            usual, sine = usually[itself, others], sines[itself, others]
            met = active & active[others] & (others != itself)
            less = met & (cosine < usual)
            step = norm * (usual * (1 - cosine**2).sqrt() - cosine * sine) / (theirs.sqrt() * sine)
            step = torch.where(less, step, 0)
            coefficients[itself, others] += step
            products += step.unsqueeze(1) * gramian[others]
            squares += step * (2 * inner + step * theirs)
            moved = ((1 - self.decay) * usual + self.decay * cosine).clamp(max=_MOST_ALIKE)
            usually[itself, others] = torch.where(met, moved, usual)
        self._usual.copy_(usually)
        return coefficients.sum(0)
