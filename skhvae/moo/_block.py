"""The impartiality block: packed heads whose backward pass reconciles the features' gradients.

Javaloy, Meghdadi and Valera (arXiv 2206.04496, section 4 and figure 3): where the features' gradients
meet, at the shared representation h, one strategy makes one direction of them; the heads keep their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skhvae.moo._base import Weighting

__all__ = ["HeadLayout", "feature_gramian", "feature_jacobian", "impartial_linear"]


class HeadLayout:
    """Which rows of the packed weights belong to which feature.

    Parameters
    ----------
    groups : sequence of (n_features, n_parameters)
        Features of one group have the same number of raw parameters and lie side by side.

    Attributes
    ----------
    owner : int Tensor of shape (P,)
        The feature that owns each raw parameter.
    """

    def __init__(self, groups: Sequence[tuple[int, int]]):
        self.groups = tuple(groups)
        self.n_features = sum(n for n, _ in self.groups)
        self.n_parameters = sum(n * k for n, k in self.groups)
        sizes = [k for n, k in self.groups for _ in range(n)]
        self.owner = torch.repeat_interleave(torch.arange(self.n_features), torch.tensor(sizes))

    def split(self, packed: Tensor) -> list[Tensor]:
        """Views of (..., P) as one (..., n_features, n_parameters) a group."""
        sizes = [n * k for n, k in self.groups]
        return [
            part.unflatten(-1, group)
            for part, group in zip(packed.split(sizes, dim=-1), self.groups, strict=True)
        ]

    def to(self, device) -> HeadLayout:
        """Move `owner` to a device, in place."""
        self.owner = self.owner.to(device)
        return self


def feature_jacobian(grad: Tensor, weight: Tensor, layout: HeadLayout) -> Tensor:
    r"""The features' gradients at h: row d is :math:`g_d W_d`.

    Parameters
    ----------
    grad : Tensor of shape (B, P)
        Gradient of the loss with respect to the packed raw parameters.
    weight : Tensor of shape (P, H)
    layout : HeadLayout

    Returns
    -------
    Tensor of shape (n_features, B * H)
    """
    rows, start = [], 0
    for g, (n, k) in zip(layout.split(grad), layout.groups, strict=True):
        own = weight[start : start + n * k].view(n, k, -1)
        rows.append((g.transpose(0, 1) @ own).flatten(1))
        start += n * k
    return torch.cat(rows)


def feature_gramian(grad: Tensor, weight: Tensor, layout: HeadLayout) -> Tensor:
    r"""Inner products of all features' gradients at h, without D backward passes.

    .. math:: G_{de} = \sum_{p \in d,\, q \in e} \left(g^\top g \circ W W^\top\right)_{pq}

    costs :math:`P^2 (B + H)`; forming the gradients and multiplying them costs :math:`B P H + D^2 B H`
    and wins when features have many levels. Both are exact; the cheaper one is taken.

    Parameters
    ----------
    grad : Tensor of shape (B, P)
    weight : Tensor of shape (P, H)
    layout : HeadLayout

    Returns
    -------
    Tensor of shape (n_features, n_features)
    """
    (batch, n_params), width = grad.shape, weight.shape[1]
    by_parameter = n_params**2 * (batch + width)
    by_feature = batch * width * (n_params + layout.n_features**2)
    if by_feature < by_parameter:
        jacobian = feature_jacobian(grad, weight, layout)
        return jacobian @ jacobian.T
    products = (grad.T @ grad) * (weight @ weight.T)
    rows = products.new_zeros(layout.n_features, n_params).index_add_(0, layout.owner, products)
    columns = products.new_zeros(layout.n_features, layout.n_features)
    return columns.index_add_(0, layout.owner, rows.T.contiguous())


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
        shared = None
        if ctx.needs_input_grad[0]:
            gramian = feature_gramian(flat, weight, ctx.layout)
            weights = ctx.strategy(gramian).to(flat.dtype)
            shared = ((flat * weights[ctx.layout.owner]) @ weight).view_as(h)
        return shared, flat.T @ h.reshape(-1, h.shape[-1]), flat.sum(0), None, None


def impartial_linear(
    h: Tensor, weight: Tensor, bias: Tensor, layout: HeadLayout, strategy: Weighting | None
) -> Tensor:
    r"""All heads as one linear layer, :math:`\eta = h W^\top + b`, impartial on the way back.

    The gradient that reaches `h` is the strategy's; those of `weight` and `bias` are untouched.

    Parameters
    ----------
    h : Tensor of shape (..., H)
    weight : Tensor of shape (P, H)
    bias : Tensor of shape (P,)
    layout : HeadLayout
    strategy : Weighting or None
        None is plain backpropagation: the sum, without computing the Gramian.

    Returns
    -------
    Tensor of shape (..., P)
    """
    if strategy is None:
        return torch.nn.functional.linear(h, weight, bias)
    return _ImpartialLinear.apply(h, weight, bias, layout, strategy)
