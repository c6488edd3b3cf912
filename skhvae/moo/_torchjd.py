"""TorchJD's strategies as ours. TorchJD is optional: its objects exist only where it is imported."""

from __future__ import annotations

import copy
import sys
import threading

import torch
from torch import Tensor, nn

from skhvae.moo._base import Aggregator, Strategy
from skhvae.moo._from_callable import FromCallable

__all__ = ["from_torchjd"]

_global_generators = threading.Lock()  # of all threads, each of which must find its own draws there


class _Foreign:
    """What is common to both kinds: the state is theirs, the randomness comes from our generator."""

    def __init__(self, function: nn.Module):
        self.function = function

    def reset(self) -> None:
        if hasattr(self.function, "reset"):
            self.function.reset()

    def reconcile(self, gradients):
        gramian = gradients.gramian
        # TorchJD draws from torch's global generators, which are put back afterwards.
        devices = [gramian.device] if gramian.is_cuda else []
        with _global_generators, torch.random.fork_rng(devices), torch.no_grad():
            if self.generator is not None:
                seed = torch.empty((), dtype=torch.int64, device=gramian.device)
                torch.manual_seed(seed.random_(generator=self.generator).item())
            return super().reconcile(gradients)


class _TorchJDWeighting(_Foreign, FromCallable):
    """A TorchJD ``Weighting`` of the Gramian."""


class _TorchJDAggregator(_Foreign, Aggregator):
    """A TorchJD ``Aggregator`` of the Jacobian."""

    def aggregate(self, jacobian: Tensor) -> Tensor:
        return self.function(jacobian)


def from_torchjd(moo) -> Strategy | None:
    """A strategy made of a TorchJD instance; None for anything else.

    Parameters
    ----------
    moo : object
        A ``torchjd.aggregation.Weighting``, or an ``Aggregator``; those that only weigh by the
        Gramian never see the gradients themselves.

    Returns
    -------
    Strategy or None
    """
    torchjd = sys.modules.get("torchjd.aggregation")
    if torchjd is None or not isinstance(moo, nn.Module):
        return None
    moo = copy.deepcopy(moo)
    if isinstance(moo, getattr(torchjd, "GramianWeightedAggregator", ())):  # not in old versions
        return _TorchJDWeighting(moo.gramian_weighting)
    if isinstance(moo, torchjd.Aggregator):
        return _TorchJDAggregator(moo)
    return _TorchJDWeighting(moo) if isinstance(moo, torchjd.Weighting) else None
