"""Types of what users give: names for them in annotations, nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from skhvae.moo import Strategy

__all__ = ["FeatureTypes", "Moo", "RandomState", "Seed", "Table"]

# Of pandas, polars or Arrow, an array, or whatever offers a table of Arrow; what comes back is of the same
# library unless set_output says otherwise. No annotation can say that without importing them all.
Table = Any

FeatureTypes = Literal["infer"] | Mapping[Any, str]
RandomState = int | np.random.RandomState | None
Seed = int | np.random.Generator | None

Moo: TypeAlias = "str | Strategy | Callable[[Tensor], Tensor]"
