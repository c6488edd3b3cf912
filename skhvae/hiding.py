"""What a training step hides from the encoder, for the model to learn to impute."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hidden_share", "hide_at_random", "show_as_missing"]

# Of the hidden cells, those that look like missing ones.
_LOOK_MISSING = 0.1


def hidden_share(observed: Tensor) -> float:
    """The largest share of a row's observed cells that a step hides.

    What the encoder meets in training should be about as incomplete as what it will meet: somewhat
    more than the table itself lacks, since the cells to be learned from have to be hidden too.
    """
    known = observed.count_nonzero().item() / max(observed.numel(), 1)
    return min(0.25 + 1 - known, 0.7)


def hide_at_random(observed: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which observed cells stay visible, bool (..., B, n_features): each row hides its own share of them,
    uniform in (0, `share`)."""
    device = observed.device
    rate = share * torch.rand(*observed.shape[:-1], 1, generator=generator, device=device)
    return observed & (torch.rand(observed.shape, generator=generator, device=device) >= rate)


def show_as_missing(observed: Tensor, visible: Tensor, generator: torch.Generator) -> Tensor:
    """Which cells the encoder is told are missing, bool (..., B, n_features): those that are, and a tenth of the
    hidden ones.

    That a cell is missing can tell about the others, where large values, say, are missing more often. If
    hidden cells looked like missing ones, that would be drowned; if none did, the model would never have
    had to impute a cell that does.
    """
    chance = torch.rand(observed.shape, generator=generator, device=observed.device)
    return ~observed | (~visible & (chance < _LOOK_MISSING))
