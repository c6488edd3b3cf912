"""The features' gradients where they meet: their Gramian for free, their coordinates on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

__all__ = [
    "FeatureGradients",
    "HeadLayout",
    "PackedGradients",
    "StackedGradients",
    "feature_gramian",
    "feature_jacobian",
]


class FeatureGradients(ABC):
    """The gradients of D features at one shared representation h.

    Attributes
    ----------
    gramian : float64 Tensor of shape (n_features, n_features)
        Their inner products.
    jacobian : Tensor of shape (n_features, B * H)
        The gradients themselves, one a row; formed when asked for.
    """

    gramian: Tensor
    jacobian: Tensor
    shape: torch.Size  # of h

    @abstractmethod
    def combined(self, weights: Tensor) -> Tensor:
        """Their weighted sum, in the shape of h."""

    @abstractmethod
    def scaled(self, weights: Tensor) -> FeatureGradients:
        """Each feature's gradient times its weight."""

    def like_h(self, direction: Tensor) -> Tensor:
        """(B * H,) in the shape of h."""
        return direction.view(self.shape)


class PackedGradients(FeatureGradients):
    r"""Gradients that come through packed heads, :math:`\eta = h W^\top + b`: row d is :math:`g_d W_d`.

    Parameters
    ----------
    grad : Tensor of shape (B, P)
        Gradient of the loss with respect to the packed raw parameters.
    weight : Tensor of shape (P, H)
    layout : HeadLayout
    shape : torch.Size
        Of h, (..., H).
    """

    def __init__(self, grad: Tensor, weight: Tensor, layout: HeadLayout, shape: torch.Size):
        self.grad, self.weight, self.layout, self.shape = grad, weight, layout, shape

    @cached_property
    def gramian(self) -> Tensor:
        (batch, n_params), width = self.grad.shape, self.weight.shape[1]
        n_features = self.layout.n_features
        by_parameter = n_params**2 * (batch + width)
        by_feature = (n_features**2 + n_features) * batch * width
        if by_feature < by_parameter:
            return (self.jacobian @ self.jacobian.T).double()
        return _gramian_by_parameter(self.grad, self.weight, self.layout).double()

    @cached_property
    def jacobian(self) -> Tensor:
        return feature_jacobian(self.grad, self.weight, self.layout)

    def _weighted(self, weights: Tensor) -> Tensor:
        return self.grad * weights.to(self.grad.dtype)[self.layout.owner]

    def combined(self, weights: Tensor) -> Tensor:
        if "jacobian" in vars(self):  # D rows to add up instead of P
            return self.like_h(weights.to(self.jacobian.dtype) @ self.jacobian)
        return (self._weighted(weights) @ self.weight).view(self.shape)

    def scaled(self, weights: Tensor) -> PackedGradients:
        scaled = PackedGradients(self._weighted(weights), self.weight, self.layout, self.shape)
        scaled.gramian = self.gramian * torch.outer(weights, weights)
        if "jacobian" in vars(self):
            scaled.jacobian = self.jacobian * weights.to(self.jacobian.dtype).unsqueeze(1)
        return scaled


class StackedGradients(FeatureGradients):
    """Gradients that were collected one by one.

    Parameters
    ----------
    branches : Tensor of shape (n_features, *shape of h)
    """

    def __init__(self, branches: Tensor):
        self.shape = branches.shape[1:]
        self.jacobian = branches.flatten(1) if branches.dim() > 1 else branches.unsqueeze(1)

    @cached_property
    def gramian(self) -> Tensor:
        return (self.jacobian @ self.jacobian.T).double()

    def combined(self, weights: Tensor) -> Tensor:
        return self.like_h(weights.to(self.jacobian.dtype) @ self.jacobian)

    def scaled(self, weights: Tensor) -> StackedGradients:
        scaled = self.jacobian * weights.to(self.jacobian.dtype).unsqueeze(1)
        return StackedGradients(scaled.view(-1, *self.shape))


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

    costs :math:`P^2 (B + H)`. Forming the gradients costs what it costs to add them up, :math:`B P H`,
    and replaces it; their products then cost :math:`D^2 B H`, which wins when features have many
    levels. Both are exact; the cheaper one is taken.

    Parameters
    ----------
    grad : Tensor of shape (B, P)
    weight : Tensor of shape (P, H)
    layout : HeadLayout

    Returns
    -------
    float64 Tensor of shape (n_features, n_features)
    """
    shape = torch.Size((len(grad), weight.shape[1]))
    return PackedGradients(grad, weight, layout, shape).gramian


def _gramian_by_parameter(grad: Tensor, weight: Tensor, layout: HeadLayout) -> Tensor:
    n_params = len(weight)
    products = (grad.T @ grad) * (weight @ weight.T)
    rows = products.new_zeros(layout.n_features, n_params).index_add_(0, layout.owner, products)
    columns = products.new_zeros(layout.n_features, layout.n_features)
    return columns.index_add_(0, layout.owner, rows.T.contiguous())
