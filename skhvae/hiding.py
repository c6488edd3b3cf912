"""What a training step hides from the encoder, for the model to learn to impute."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hidden_share", "hide_at_random"]


def hidden_share(observed: Tensor) -> float:
    """The largest share of a row's observed cells that a step hides.

    What the encoder meets in training should be about as incomplete as what it will meet: somewhat
    more than the table itself lacks, since the cells to be learned from have to be hidden too.
    """
    return min(0.25 + 1 - observed.double().mean().item(), 0.7)


def hide_at_random(observed: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which observed cells stay visible when each row hides its own share of them, uniform in
    (0, `share`)."""
    device = observed.device
    rate = share * torch.rand(len(observed), 1, generator=generator, device=device)
    return observed & (torch.rand(observed.shape, generator=generator, device=device) >= rate)
