"""GradNorm: weights that learn to balance the gradients' sizes."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import StatefulWeighting
from skhvae.moo._convergence import ConvergenceRatios

__all__ = ["GradNorm"]


class GradNorm(StatefulWeighting):
    r"""Learn weights at which all gradients have the same size, or larger ones where less was learned
    (Chen et al. 2018, arXiv 1711.02257, eq. 2 and algorithm 1).

    The weights' own loss is :math:`\sum_d \lvert w_d \lVert g_d \rVert - \bar G\, r_d^\alpha \rvert`, with
    :math:`\bar G` the mean of :math:`w_d \lVert g_d \rVert` and :math:`r_d` how far feature d is from done,
    relative to the mean feature; both are constants in it. Differences from the paper: :math:`r_d`
    compares gradient norms instead of losses, since the loss of a density crosses zero; and sizes are
    compared by their logarithms, :math:`\sum_d \lvert \log w_d \lVert g_d \rVert - \log \bar G r_d^\alpha
    \rvert` with :math:`\bar G` the geometric mean, and descended along by Adam in :math:`\log w_d`, so
    that weights stay positive and learn equally fast whatever the size. They sum to the number of
    features.

    Parameters
    ----------
    alpha : float, default=0.0
        How much larger gradients are to be where less was learned; 0: all the same.
    learning_rate : float, default=0.025
        Of the weights, the paper's.
    after : int, default=20
        Steps after which gradients are taken as the first ones that later ones are compared with.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import GradNorm
    >>> strategy = GradNorm()
    >>> for _ in range(200):
    ...     weights = strategy.weights(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    >>> weights  # near 4/3 and 2/3
    tensor([1.3..., 0.6...], dtype=torch.float64)
    """

    recordable = True

    def __init__(self, alpha: float = 0.0, learning_rate: float = 0.025, after: int = 20):
        self.alpha, self.learning_rate, self.after = alpha, learning_rate, after
        super().__init__()

    def reset(self) -> None:
        self._log_weights = self._mean = self._square = self._steps = None
        self._ratios = ConvergenceRatios(self.after)

    def update(self, gramian: Tensor, active: Tensor) -> Tensor:
        norms = gramian.diagonal().sqrt()
        if self._log_weights is None:
            zeros = norms.new_zeros(4, len(norms))
            self._log_weights, self._mean, self._square, self._steps = zeros
        n_active = active.sum().clamp(min=1)

        def mean(x):
            return torch.where(active, x, 0).sum() / n_active

        ratios = self._ratios(norms, active)
        sizes = self._log_weights + norms.log()
        target = mean(sizes) + self.alpha * (ratios / mean(ratios)).log()
        self._descend((sizes - target).sign(), active)
        share = torch.where(active, self._log_weights, -torch.inf).softmax(0)
        return torch.where(active, share * n_active, 1.0)

    def _descend(self, gradient: Tensor, active: Tensor) -> None:
        """Adam (Kingma and Ba 2015) for the features that have a gradient, each at its own step."""
        decays = (0.9, 0.999)
        steps = self._steps + 1
        mean = decays[0] * self._mean + (1 - decays[0]) * gradient
        square = decays[1] * self._square + (1 - decays[1]) * gradient**2
        mean_hat = mean / (1 - decays[0] ** steps)
        square_hat = square / (1 - decays[1] ** steps)
        change = self.learning_rate * mean_hat / (square_hat.sqrt() + 1e-8)
        self._mean.copy_(torch.where(active, mean, self._mean))
        self._square.copy_(torch.where(active, square, self._square))
        self._steps.copy_(torch.where(active, steps, self._steps))
        self._log_weights -= torch.where(active, change, 0)
