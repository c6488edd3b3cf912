"""The pieces of the networks: residual blocks and linear layers with a generator of their own."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "Dropout",
    "MemberLinear",
    "ResidualBlock",
    "layer_norm",
    "lead",
    "linear",
    "output_size",
    "twin",
]


def lead(n_members: int) -> tuple[int, ...]:
    """The axes that the parameters of so many members have in front: none for one alone."""
    return () if n_members == 1 else (n_members,)


class MemberLinear(nn.Module):
    """A linear layer for each of several members, as one batched product.

    Parameters
    ----------
    n_members, n_in, n_out : int

    Attributes
    ----------
    weight : Parameter of shape (n_members, n_in, n_out)
    bias : Parameter of shape (n_members, 1, n_out)
    """

    def __init__(self, n_members: int, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_members, 1, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_members, B, n_in), or (B, n_in) for all alike -> (..., n_members, B, n_out)."""
        if x.dim() > 3:
            return torch.stack([self(part) for part in x])
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


def linear(
    n_in: int, n_out: int, generator: torch.Generator, gain: float = 1.0, n_members: int = 1
) -> nn.Linear | MemberLinear:
    """A linear layer drawn from `generator`: the global random state is neither read nor moved."""
    if n_members == 1:
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    else:
        layer = MemberLinear(n_members, n_in, n_out)
    with torch.no_grad():
        layer.weight.normal_(0.0, gain / math.sqrt(max(n_in, 1)), generator=generator)
        layer.bias.zero_()
    return layer


def output_size(layer: nn.Module) -> int | None:
    """How many outputs a linear layer has; None for other modules."""
    return layer.bias.shape[-1] if isinstance(layer, nn.Linear | MemberLinear) else None


class _MemberLayerNorm(nn.Module):
    """nn.LayerNorm with a gain and a shift for each of several members."""

    def __init__(self, n_members: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_members, 1, width))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, functional.layer_norm(x, x.shape[-1:]), self.weight)


def layer_norm(width: int, n_members: int = 1) -> nn.Module:
    """Layer normalisation over the last axis."""
    return nn.LayerNorm(width) if n_members == 1 else _MemberLayerNorm(n_members, width)


def twin(module: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy, on the same device, whose parameters and buffers are its own; all else is shared.

    What a deep copy does beside that, with a dozen dictionaries a module, takes longer than a small
    network needs to impute a table.

    Parameters
    ----------
    module : nn.Module
    dtype : torch.dtype or None
        Of the copy's floating-point numbers; None leaves them as they are.
    """

    def copied(tensor: Tensor) -> Tensor:
        return tensor.detach().to(dtype if tensor.is_floating_point() else None, copy=True)

    own = copy.copy(module)
    parts = vars(module)
    vars(own).update(
        _parameters={
            name: parameter if parameter is None else nn.Parameter(copied(parameter))
            for name, parameter in parts["_parameters"].items()
        },
        _buffers={
            name: buffer if buffer is None else copied(buffer)
            for name, buffer in parts["_buffers"].items()
        },
        _modules={
            name: part if part is None else twin(part, dtype)
            for name, part in parts["_modules"].items()
        },
    )
    return own


class Dropout(nn.Module):
    """Dropout from a generator that training lends, so that the global random state stays alone."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.probability):
            return x
        chance = torch.rand(x.shape, generator=self.generator, device=x.device, dtype=x.dtype)
        return x * (chance >= self.probability) / (1 - self.probability)


class ResidualBlock(nn.Module):
    """x + W₂ dropout(gelu(W₁ norm(x))); starts near the identity, so that depth does no harm early on."""

    def __init__(self, width: int, dropout: float, generator: torch.Generator, n_members: int = 1):
        super().__init__()
        self.norm = layer_norm(width, n_members)
        self.widen = linear(width, width, generator, math.sqrt(2.0), n_members)
        self.dropout = Dropout(dropout)
        self.narrow = linear(width, width, generator, 0.1, n_members)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.dropout(functional.gelu(self.widen(self.norm(x)))))
