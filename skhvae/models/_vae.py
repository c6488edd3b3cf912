"""The heterogeneous VAE of the papers, and its conditional sibling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skhvae.likelihoods import Likelihood
from skhvae.models._blocks import Dropout, ResidualBlock, linear
from skhvae.models._embedding import InputEmbedding
from skhvae.models._heads import Heads

__all__ = ["CVAE", "VAE", "Posterior"]

# Posterior scales between e^-6 and e^3 prior scales.
_LOG_SCALE_RANGE = (-6.0, 3.0)


@dataclass
class Posterior:
    """q(z | visible cells): a diagonal normal, and the encoder's last state.

    Attributes
    ----------
    mean, log_scale : Tensor of shape (B, latent_dim)
    state : Tensor of shape (B, H)
    """

    mean: Tensor
    log_scale: Tensor
    state: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """Points mean + scale * noise, for noise (..., B, latent_dim)."""
        return self.mean + self.log_scale.exp() * noise

    def kl(self) -> Tensor:
        """KL(q || N(0, I)) of every row, (B,), nats."""
        variance = (2 * self.log_scale).exp()
        return 0.5 * (self.mean**2 + variance - 1 - 2 * self.log_scale).sum(-1)


class VAE(nn.Module):
    r"""Heterogeneous VAE: :math:`p(x \mid z) = \prod_d p_d(x_d \mid \eta_d)`, with
    :math:`\eta = W h + b` and :math:`h` the trunk's output.

    The encoder sees the visible values and which they are; the loss counts all observed cells.

    Parameters
    ----------
    likelihoods : sequence of (Likelihood, int)
        Prepared families and how many features each models, in packed order.
    values, observed : Tensor of shape (n_rows, n_features)
        Training data in model units: input scales come from them.
    n_symbols : int Tensor of shape (n_features,)
        Number of levels of features without an order; 0 for those that enter as numbers.
    latent_dim : int
    hidden_layer_sizes : sequence of int
        One entry a residual block of encoder and trunk each; all equal, the width H.
    dropout : float
        In the residual blocks, while training.
    generator : torch.Generator
        On the CPU; initial weights come from it.
    """

    def __init__(
        self,
        likelihoods: Sequence[tuple[Likelihood, int]],
        values: Tensor,
        observed: Tensor,
        n_symbols: Tensor,
        latent_dim: int,
        hidden_layer_sizes: Sequence[int],
        dropout: float,
        generator: torch.Generator,
    ):
        super().__init__()
        width, depth = hidden_layer_sizes[0], len(hidden_layer_sizes)
        self.latent_dim = latent_dim
        self.embedding = InputEmbedding(values, observed, n_symbols, width, generator)
        self.encoder = nn.Sequential(
            *(ResidualBlock(width, dropout, generator) for _ in range(depth)), nn.LayerNorm(width)
        )
        self.posterior = linear(width, 2 * latent_dim, generator, gain=0.3)
        self.trunk = nn.Sequential(
            linear(self._decoder_inputs(width, latent_dim), width, generator),
            *(ResidualBlock(width, dropout, generator) for _ in range(depth)),
            nn.LayerNorm(width),
        )
        self.heads = Heads(likelihoods, width, generator)

    @staticmethod
    def _decoder_inputs(width: int, latent_dim: int) -> int:
        return latent_dim

    def visible_weight(self, progress: float) -> float:
        """What a visible cell's loss counts after a share of the training, beside 1 for a hidden one."""
        return 1.0

    def lend(self, generator: torch.Generator | None) -> None:
        """Give the dropout layers their source of randomness, or take it back."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def encode(self, values: Tensor, visible: Tensor) -> Posterior:
        """The posterior of z given the visible cells of (B, n_features) values."""
        state = self.encoder(self.embedding(values, visible))
        mean, log_scale = self.posterior(state).chunk(2, dim=-1)
        return Posterior(mean, log_scale.clamp(*_LOG_SCALE_RANGE), state)

    def decode(self, z: Tensor, state: Tensor) -> Tensor:
        """Latent points (..., B, latent_dim) -> shared representation h (..., B, H)."""
        return self.trunk(z)


class CVAE(VAE):
    r"""Conditional VAE, p(hidden | z, visible), after VAEAC (Ivanov et al. 2019, arXiv 1806.02382).

    The trunk also sees the encoder's last state, so that z need not carry what is visible anyway.
    The loss counts hidden cells in full, and visible ones less and less: at first they teach every
    feature in every row what it depends on, in the end they would teach the model to copy.
    """

    def visible_weight(self, progress: float) -> float:
        return 0.5 * max(0.0, 1 - progress / 0.7)

    @staticmethod
    def _decoder_inputs(width: int, latent_dim: int) -> int:
        return latent_dim + width

    def decode(self, z: Tensor, state: Tensor) -> Tensor:
        return self.trunk(torch.cat([z, state.expand(*z.shape[:-1], -1)], dim=-1))
