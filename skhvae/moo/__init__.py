"""From the features' conflicting gradients to one direction. Knows torch, numpy and scipy only.

A strategy is one method, ``weights(gramian)``; the impartiality block applies it where the features'
gradients meet, in the backward pass, so that training stays an ordinary loop.
"""

import copy

from skhvae.moo._base import Weighting
from skhvae.moo._block import HeadLayout, feature_gramian, feature_jacobian, impartial_linear
from skhvae.moo._equal_norm import EqualNorm
from skhvae.moo._from_callable import FromCallable
from skhvae.moo._imtl_g import IMTLG
from skhvae.moo._mgda import MGDA
from skhvae.moo._pcgrad import PCGrad
from skhvae.moo._sum import Sum

__all__ = [
    "IMTLG",
    "MGDA",
    "STRATEGIES",
    "EqualNorm",
    "FromCallable",
    "HeadLayout",
    "PCGrad",
    "Sum",
    "Weighting",
    "as_strategy",
    "feature_gramian",
    "feature_jacobian",
    "impartial_linear",
    "strategy_names",
]

STRATEGIES = {
    "sum": Sum,
    "equal-norm": EqualNorm,
    "imtl-g": IMTLG,
    "mgda": MGDA,
    "pcgrad": PCGrad,
}


def as_strategy(moo) -> Weighting:
    """A strategy of one's own from a name, an instance (which is copied), or a callable Gramian -> weights."""
    if isinstance(moo, str):
        return STRATEGIES[moo]()
    return copy.deepcopy(moo) if isinstance(moo, Weighting) else FromCallable(moo)


def strategy_names() -> list[str]:
    """The names that ``moo=`` accepts.

    Examples
    --------
    >>> from skhvae.moo import strategy_names
    >>> "equal-norm" in strategy_names()
    True
    """
    return list(STRATEGIES)
