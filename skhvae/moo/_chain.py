"""Several strategies in a row: sizes, then directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skhvae.moo._base import Strategy, Weighting
from skhvae.moo._gradients import FeatureGradients

__all__ = ["Chain"]


class Chain(Strategy):
    """Apply strategies in order, each to the gradients that the one before has weighted (Javaloy et al.
    2022, arXiv 2206.04496, section 5: "GradNorm + PCGrad").

    Parameters
    ----------
    strategies : sequence of Strategy
        All but the last are weightings: what comes out of an aggregator is one gradient, not one
        for each feature.

    Raises
    ------
    TypeError
        If an aggregator is not the last.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import Chain, EqualNorm, PCGrad, StackedGradients
    >>> gradients = StackedGradients(torch.tensor([[4.0, 0.0], [-0.6, 0.8]]))
    >>> shared, weights = Chain([EqualNorm(), PCGrad()]).reconcile(gradients)
    >>> shared / shared.norm()  # first made of equal length, then each loses its conflict
    tensor([0.4472, 0.8944])
    """

    def __init__(self, strategies: Sequence[Strategy]):
        if not strategies:
            raise ValueError("A chain of strategies needs at least one, found none.")
        for strategy in strategies[:-1]:
            if not isinstance(strategy, Weighting):
                raise TypeError(
                    f"{type(strategy).__name__} gives one gradient, not one for each feature: it can "
                    "only be the last in a tuple of strategies."
                )
        self.strategies = tuple(strategies)

    @property
    def recordable(self) -> bool:
        return all(strategy.recordable for strategy in self.strategies)

    def reset(self) -> None:
        for strategy in self.strategies:
            strategy.reset()

    def lend(self, generator: torch.Generator | None) -> None:
        for strategy in self.strategies:
            strategy.lend(generator)

    def reconcile(self, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        *sizes, last = self.strategies
        weights = torch.ones_like(gradients.gramian[0])
        for strategy in sizes:
            weights = weights * strategy(gradients.gramian * torch.outer(weights, weights))
        shared, own = last.reconcile(gradients.scaled(weights))
        return shared, weights * own
