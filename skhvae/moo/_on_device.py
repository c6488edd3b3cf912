"""Objects that hold tensors here and there, and move them together."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

from torch import Tensor, nn

__all__ = ["OnDevice"]


class OnDevice:
    """Plain attributes, some of them tensors, or made of such objects."""

    def to(self, device) -> Self:
        """A copy with everything on another device."""
        twin = copy.copy(self)
        vars(twin).update(_moved(vars(self), device))
        return twin

    def tensors(self) -> list[Tensor]:
        """All of its tensors."""
        return list(_tensors_in(vars(self)))


def _moved(thing, device):
    if isinstance(thing, nn.Module):
        return copy.deepcopy(thing).to(device)
    if isinstance(thing, Tensor):
        return thing.to(device, copy=True)
    if isinstance(thing, OnDevice):
        return thing.to(device)
    if isinstance(thing, dict):
        return {key: _moved(value, device) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return type(thing)(_moved(value, device) for value in thing)
    return thing


def _tensors_in(thing) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, nn.Module):
        yield from thing.state_dict(keep_vars=True).values()
    elif isinstance(thing, OnDevice):
        yield from _tensors_in(vars(thing))
    elif isinstance(thing, dict | tuple | list):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from _tensors_in(part)
