"""The impartiality block: where the features' gradients meet, one strategy makes one of them.

Javaloy, Meghdadi and Valera (arXiv 2206.04496, section 4 and figure 3): the shared representation h gets
the reconciled gradient, the heads keep their own. Packed heads cost almost nothing; any others fork h.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.moo._base import Strategy
from skhvae.moo._gradients import HeadLayout, PackedGradients, StackedGradients

__all__ = ["impartial_fork", "impartial_linear"]


class _ImpartialLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, weight, bias, layout, strategy):
        ctx.save_for_backward(h, weight)
        ctx.layout, ctx.strategy = layout, strategy
        return torch.nn.functional.linear(h, weight, bias)

    @staticmethod
    def backward(ctx, grad):
        h, weight = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        shared = own = bias = None
        if ctx.needs_input_grad[0]:
            gradients = PackedGradients(flat, weight, ctx.layout, h.shape)
            shared, _ = ctx.strategy.reconcile(gradients)
        if ctx.needs_input_grad[1]:
            own = flat.T @ h.reshape(-1, h.shape[-1])
        if ctx.needs_input_grad[2]:
            bias = flat.sum(0)
        return shared, own, bias, None, None


def impartial_linear(
    h: Tensor, weight: Tensor, bias: Tensor | None, layout: HeadLayout, strategy: Strategy | None
) -> Tensor:
    r"""All heads as one linear layer, :math:`\eta = h W^\top + b`, impartial on the way back.

    The gradient that reaches `h` is the strategy's; those of `weight` and `bias` are untouched.

    Parameters
    ----------
    h : Tensor of shape (..., H)
    weight : Tensor of shape (P, H)
    bias : Tensor of shape (P,) or None
    layout : HeadLayout
    strategy : Strategy or None
        None is plain backpropagation: the sum, without computing the Gramian.

    Returns
    -------
    Tensor of shape (..., P)
    """
    if strategy is None:
        return torch.nn.functional.linear(h, weight, bias)
    return _ImpartialLinear.apply(h, weight, bias, layout, strategy)


class _ImpartialFork(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, n_features, strategy):
        ctx.strategy = strategy
        return h.expand(n_features, *h.shape)

    @staticmethod
    def backward(ctx, grad):
        return ctx.strategy.reconcile(StackedGradients(grad.contiguous()))[0], None, None


def impartial_fork(h: Tensor, n_features: int, strategy: Strategy | None) -> Tensor:
    """One branch of h a feature, for heads that are not one linear layer; impartial on the way back.

    Parameters
    ----------
    h : Tensor of any shape
    n_features : int
    strategy : Strategy or None
        None is plain backpropagation.

    Returns
    -------
    Tensor of shape (n_features, ...)
        The shape of `h` behind the features. Branch d is for feature d's head alone.

    Examples
    --------
    >>> import torch
    >>> from skhvae.moo import EqualNorm, impartial_fork
    >>> h = torch.zeros(2, requires_grad=True)
    >>> first, second = impartial_fork(h, 2, EqualNorm())
    >>> (5 * first[0] + second[1]).backward()  # plain backpropagation gives 5, 1
    >>> h.grad
    tensor([3.6056, 3.6056])
    """
    if strategy is None:
        return h.expand(n_features, *h.shape)
    return _ImpartialFork.apply(h, n_features, strategy)
