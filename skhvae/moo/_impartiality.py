"""One strategy for all places of a network where features' gradients meet."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from skhvae.moo._base import Strategy
from skhvae.moo._conflict import Conflict
from skhvae.moo._gradients import FeatureGradients
from skhvae.moo._on_device import OnDevice

__all__ = ["Impartiality", "Place"]


class Place(Strategy):
    """A strategy at one place, with a state and a record of the conflicts of its own.

    Several networks that are trained side by side, the members of a model, have the same places; each has
    a copy of the strategy there, and the record is of all.

    Attributes
    ----------
    strategy : Strategy
        The first member's.
    conflict : Conflict
    """

    def __init__(self, strategy: Strategy):
        self.strategy, self.conflict = strategy, Conflict()
        self._others: list[Strategy] = []

    @property
    def recordable(self) -> bool:
        return self.strategy.recordable

    def reconcile(self, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        return self._recorded(self.strategy, gradients)

    def of_members(self, n_members: int) -> list[Strategy]:
        """One strategy a member; a list of the same length at every call."""
        if len(self._others) < n_members - 1:  # at the first call: the first is fresh too
            generator = self.generator
            self.lend(None)  # is shared, not copied
            self._others = [copy.deepcopy(self.strategy) for _ in range(n_members - 1)]
            self.lend(generator)
        return [_Recorded(self, strategy) for strategy in (self.strategy, *self._others)]

    def _recorded(self, strategy: Strategy, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        shared, weights = strategy.reconcile(gradients)
        self.conflict.add(gradients.gramian, weights)
        return shared, weights

    def lend(self, generator: torch.Generator | None) -> None:
        super().lend(generator)
        for strategy in (self.strategy, *self._others):
            strategy.lend(generator)


class _Recorded(Strategy):
    """A member's strategy at a place that keeps the record."""

    def __init__(self, place: Place, strategy: Strategy):
        self._place, self._strategy = place, strategy

    def reconcile(self, gradients: FeatureGradients) -> tuple[Tensor, Tensor]:
        return self._place._recorded(self._strategy, gradients)


class Impartiality(OnDevice):
    """The impartiality blocks of a model: one strategy, a copy of it at each place.

    Most models have one place, "h". HI-VAE's heads share the mixture component too, and DReG treats
    encoder and decoder apart (Javaloy et al. 2022, arXiv 2206.04496, appendix).

    Parameters
    ----------
    strategy : Strategy
        Is copied, never changed.
    generator : torch.Generator, optional
        Source of its randomness.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import EqualNorm, Impartiality
    >>> impartiality = Impartiality(EqualNorm())
    >>> impartiality.at("h") is impartiality.at("h"), impartiality.at("h") is impartiality.at("s")
    (True, False)
    """

    def __init__(self, strategy: Strategy, generator: torch.Generator | None = None):
        self._fresh = copy.deepcopy(strategy)
        self._fresh.reset()
        self._places: dict[str, Place] = {}
        self._generator = generator

    @property
    def recordable(self) -> bool:
        """Whether the strategy is, :attr:`Strategy.recordable`."""
        return self._fresh.recordable

    def at(self, place: str) -> Place:
        """The block of that name; it is made when first asked for."""
        if place not in self._places:
            self._places[place] = Place(copy.deepcopy(self._fresh))
            self._places[place].lend(self._generator)
        return self._places[place]

    def within(self, name: str) -> _Within:
        """Blocks of their own, for a second pass through the same model."""
        return _Within(self, name)

    def lend(self, generator: torch.Generator | None) -> None:
        """Give all strategies their source of randomness, or take it back."""
        self._generator = generator
        for place in self._places.values():
            place.lend(generator)

    def take_over(self, other: Impartiality) -> None:
        """Go on from where another's strategies stand; they are its no more."""
        self._fresh, self._places = other._fresh, other._places
        self.lend(self._generator)

    @property
    def places(self) -> dict[str, Place]:
        """All blocks that have been asked for, by name."""
        return dict(self._places)


class _Within:
    def __init__(self, whole: Impartiality, name: str):
        self._whole, self._name = whole, name

    def at(self, place: str) -> Place:
        return self._whole.at(f"{self._name}: {place}")
