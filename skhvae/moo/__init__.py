"""From the features' conflicting gradients to one direction. Knows torch, numpy and scipy only.

A strategy is one method, ``weights(gramian)``, or ``aggregate(jacobian)`` where coordinates matter; the
impartiality block applies it where the features' gradients meet, in the backward pass, so that
training stays an ordinary loop.
"""

import copy

from skhvae.moo._aligned_mtl import AlignedMTL
from skhvae.moo._base import Aggregator, StatefulWeighting, Strategy, Weighting
from skhvae.moo._block import impartial_fork, impartial_linear
from skhvae.moo._cagrad import CAGrad
from skhvae.moo._chain import Chain
from skhvae.moo._conflict import Conflict
from skhvae.moo._convergence import ConvergenceRatios
from skhvae.moo._equal_norm import EqualNorm
from skhvae.moo._from_callable import FromCallable
from skhvae.moo._graddrop import GradDrop
from skhvae.moo._gradients import (
    FeatureGradients,
    HeadLayout,
    PackedGradients,
    StackedGradients,
    feature_gramian,
    feature_jacobian,
)
from skhvae.moo._gradnorm import GradNorm
from skhvae.moo._gradvac import GradVac
from skhvae.moo._impartiality import Impartiality, Place
from skhvae.moo._imtl_g import IMTLG
from skhvae.moo._mgda import MGDA
from skhvae.moo._nash_mtl import NashMTL
from skhvae.moo._nsgd import NSGD
from skhvae.moo._on_device import OnDevice
from skhvae.moo._pcgrad import PCGrad
from skhvae.moo._random import Random
from skhvae.moo._sum import Sum
from skhvae.moo._torchjd import from_torchjd
from skhvae.moo._upgrad import UPGrad

__all__ = [
    "IMTLG",
    "MGDA",
    "NSGD",
    "STRATEGIES",
    "Aggregator",
    "AlignedMTL",
    "CAGrad",
    "Chain",
    "Conflict",
    "ConvergenceRatios",
    "EqualNorm",
    "FeatureGradients",
    "FromCallable",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "HeadLayout",
    "Impartiality",
    "NashMTL",
    "OnDevice",
    "PCGrad",
    "PackedGradients",
    "Place",
    "Random",
    "StackedGradients",
    "StatefulWeighting",
    "Strategy",
    "Sum",
    "UPGrad",
    "Weighting",
    "as_strategy",
    "feature_gramian",
    "feature_jacobian",
    "impartial_fork",
    "impartial_linear",
    "strategy_names",
]

STRATEGIES = {
    "sum": Sum,
    "equal-norm": EqualNorm,
    "gradnorm": GradNorm,
    "nsgd": NSGD,
    "pcgrad": PCGrad,
    "gradvac": GradVac,
    "mgda": MGDA,
    "imtl-g": IMTLG,
    "cagrad": CAGrad,
    "graddrop": GradDrop,
    "upgrad": UPGrad,
    "aligned-mtl": AlignedMTL,
    "nash-mtl": NashMTL,
    "random": Random,
}


def as_strategy(moo) -> Strategy:
    """A strategy of one's own from what ``moo=`` takes.

    Parameters
    ----------
    moo : str, Strategy, callable, or tuple of these
        A name; an instance, which is copied; a callable Gramian -> weights; an instance of TorchJD's
        ``Weighting`` or ``Aggregator``; or several, applied in order.

    Returns
    -------
    Strategy

    Raises
    ------
    KeyError
        For an unknown name.
    TypeError
        If a strategy that gives one gradient is not the last of several.

    Examples
    --------
    >>> from skhvae.moo import as_strategy
    >>> [type(strategy).__name__ for strategy in as_strategy(("gradnorm", "pcgrad")).strategies]
    ['GradNorm', 'PCGrad']
    """
    if isinstance(moo, str):
        return STRATEGIES[moo]()
    if isinstance(moo, tuple | list):
        return Chain([as_strategy(each) for each in moo])
    if isinstance(moo, Strategy):
        return copy.deepcopy(moo)
    return from_torchjd(moo) or FromCallable(moo)


def strategy_names() -> list[str]:
    """The names that ``moo=`` accepts.

    Examples
    --------
    >>> from skhvae.moo import strategy_names
    >>> "equal-norm" in strategy_names()
    True
    """
    return list(STRATEGIES)
