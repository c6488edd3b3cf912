"""What torch lacks: functions that stay finite, and quantiles borrowed from SciPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["bounded_exp", "discrete_quantile", "on_cpu", "poisson"]

# CUDA's Poisson sampler counts in 32 bits, the CPU's in 64.
_LARGEST_RATE = 2.0**30


def bounded_exp(exponent: Tensor) -> Tensor:
    """exp, kept positive and finite in float32 too."""
    return exponent.clamp(-80, 80).exp()


def poisson(rate: Tensor, generator: torch.Generator | None) -> Tensor:
    """One Poisson draw for each rate; rates beyond a billion count as a billion."""
    return torch.poisson(rate.clamp(max=_LARGEST_RATE), generator=generator)


def on_cpu(function: Callable, *args: Tensor | float) -> Tensor:
    """A function of NumPy arrays, computed in float64 and returned like the first tensor."""
    tensors = (torch.as_tensor(arg, dtype=torch.float64) for arg in args)
    arrays = (tensor.detach().cpu().numpy() for tensor in tensors)
    return torch.as_tensor(function(*arrays)).to(args[0])


def discrete_quantile(
    cdf: Callable[[np.ndarray], np.ndarray], q: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    r"""The smallest non-negative integer whose cumulative probability is at least `q`, by bisection.

    Cantelli's inequality brackets it, whatever the distribution:

    .. math:: \mu - \sigma \sqrt{(1 - q) / q} \;\le\; k \;\le\; \mu + \sigma \sqrt{q / (1 - q)}
    """
    low = np.maximum(np.floor(mean - std * np.sqrt((1 - q) / q)) - 1, -1)
    high = np.ceil(mean + std * np.sqrt(q / (1 - q)))
    while True:
        middle = np.floor((low + high) / 2)
        # Also false beyond 2**53, where no integer may be left between two floats.
        if not ((low < middle) & (middle < high)).any():
            return high
        reached = cdf(middle) >= q
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
