"""The heterogeneous VAE of the papers, and its conditional sibling."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from skhvae.likelihoods import Likelihood
from skhvae.models._blocks import Dropout, ResidualBlock, layer_norm, linear
from skhvae.models._embedding import InputEmbedding
from skhvae.models._heads import Heads, PackedHeads
from skhvae.moo import Impartiality

__all__ = ["CVAE", "VAE", "Posterior"]

# Posterior scales between e^-6 and e^3 prior scales.
LOG_SCALE_RANGE = (-6.0, 3.0)


@dataclass
class Posterior:
    """q(z | visible cells): a diagonal normal, beside the prior N(0, I); and the encoder's last state.

    Attributes
    ----------
    mean, log_scale : Tensor of shape (..., B, latent_dim)
        With several members, theirs side by side on an axis before the rows.
    state : Tensor of shape (..., B, H)
    """

    mean: Tensor
    log_scale: Tensor
    state: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """Points mean + scale * noise, for noise (..., B, latent_dim)."""
        return self.mean + self.log_scale.exp() * noise

    def kl(self, points: Tensor) -> Tensor:
        """KL(q || prior) of every row, (..., B), nats; `points` (..., B, latent size) are draws of :meth:`at`, for
        those parts of it that have no closed form."""
        variance = (2 * self.log_scale).exp()
        return 0.5 * (self.mean**2 + variance - 1 - 2 * self.log_scale).sum(-1)

    def log_ratio(self, points: Tensor) -> Tensor:
        """log q(z | visible) - log p(z) at points (..., B, latent_dim), (..., B), nats."""
        standardised = (points - self.mean) / self.log_scale.exp()
        return (0.5 * (points**2 - standardised**2) - self.log_scale).sum(-1)

    def detach(self) -> Posterior:
        """The same as constants: no gradient reaches the encoder through it."""
        parts = {name: value.detach() for name, value in vars(self).items()}
        return replace(self, **parts)


class VAE(nn.Module):
    r"""Heterogeneous VAE: :math:`p(x \mid z) = \prod_d p_d(x_d \mid \eta_d)`, with
    :math:`\eta = W h + b` and :math:`h` the trunk's output.

    The encoder sees the visible values and which they are; the loss counts all observed cells.

    Several members, networks alike but for their initial weights and what they are shown, are one
    batched network: every parameter has the members' axis in front, and so has everything computed. Their
    mean prediction is better than theirs (deep ensembles, Lakshminarayanan et al. 2017, arXiv 1612.01474).

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
    n_members : int, default=1
        One has no axis of its own.

    Attributes
    ----------
    has_density : bool
        Whether the posterior has a density at its points, as importance weights need it.
    n_points : int
        How many points of the posterior a point estimate is made of.
    noise_dim : int
        How many standard-normal numbers make a point of the posterior.
    """

    has_density: ClassVar[bool] = True
    n_points: ClassVar[int] = 8

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
        n_members: int = 1,
    ):
        super().__init__()
        width, depth = hidden_layer_sizes[0], len(hidden_layer_sizes)
        self.latent_dim, self.n_members = latent_dim, n_members

        def blocks():
            for _ in range(depth):
                yield ResidualBlock(width, dropout, generator, n_members)
            yield layer_norm(width, n_members)

        self.embedding = InputEmbedding(values, observed, n_symbols, width, generator, n_members)
        self.encoder = nn.Sequential(*blocks())
        self._build_latent(width, latent_dim, generator)
        n_inputs = self._decoder_inputs(width, latent_dim)
        self.trunk = nn.Sequential(linear(n_inputs, width, generator, 1.0, n_members), *blocks())
        self.heads = self._build_heads(likelihoods, width, generator)

    def _build_latent(self, width: int, latent_dim: int, generator: torch.Generator) -> None:
        self.noise_dim = latent_dim
        self.posterior = linear(width, 2 * latent_dim, generator, 0.3, self.n_members)

    def _build_heads(self, likelihoods, width: int, generator: torch.Generator) -> Heads:
        return PackedHeads(likelihoods, width, generator, self.n_members)

    @staticmethod
    def _decoder_inputs(width: int, latent_dim: int) -> int:
        return latent_dim

    def anneal(self, progress: float) -> None:
        """Told, before every step, the share of the training that is done."""

    def visible_weight(self, progress: float) -> float:
        """What a visible cell's loss counts after a share of the training, beside 1 for a hidden one."""
        return 1.0

    @contextmanager
    def held_constant(self):
        """What is computed inside passes gradients through, and none to the parameters."""
        trainable = [p for p in self.parameters() if p.requires_grad]
        try:
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)

    def lend(self, generator: torch.Generator | None) -> None:
        """Give the dropout layers their source of randomness, or take it back."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def encode(self, values: Tensor, visible: Tensor, missing: Tensor | None = None) -> Posterior:
        """The posterior of z given the visible cells of a batch.

        Parameters
        ----------
        values : Tensor of shape (..., B, n_features)
            With the members' axis before the rows, if they do not see the same.
        visible : bool Tensor of shape (..., B, n_features)
            With it, if `values` have it.
        missing : bool Tensor of the shape of `visible`, optional
            The cells shown as missing from the table; those neither visible nor missing are hidden to be
            learned from. By default all that are not visible.
        """
        state = self._state(values, visible, missing)
        mean, log_scale = self.posterior(state).chunk(2, dim=-1)
        return Posterior(mean, log_scale.clamp(*LOG_SCALE_RANGE), state)

    def _state(self, values: Tensor, visible: Tensor, missing: Tensor | None) -> Tensor:
        missing = ~visible if missing is None else missing
        return self.encoder(self.embedding(values, visible, missing))

    def decode(self, z: Tensor, state: Tensor) -> Tensor:
        """Latent points (..., B, latent_dim) -> shared representation h (..., B, H)."""
        return self.trunk(z)

    def params(
        self, points: Tensor, posterior: Posterior, impartiality: Impartiality | None = None
    ) -> list[Tensor]:
        """Raw parameters of all features at points of the posterior.

        Parameters
        ----------
        points : Tensor of shape (..., B, latent_dim)
            As :meth:`Posterior.at` gives them.
        posterior : Posterior
        impartiality : Impartiality or None
            The block "h" of it reconciles the features' gradients on the way back; None is plain
            backpropagation.

        Returns
        -------
        list of Tensor of shape (..., B, n_features, n_parameters)
            One a family.
        """
        h = self.decode(points, posterior.state)
        return self.heads(h, impartiality and impartiality.at("h"))


class CVAE(VAE):
    r"""Conditional VAE, p(hidden | z, visible), after VAEAC (Ivanov et al. 2019, arXiv 1806.02382).

    The trunk also sees the encoder's last state, so that z need not carry what is visible anyway.
    The loss counts hidden cells in full, and visible ones less and less: at first they teach every
    feature in every row what it depends on, in the end they would teach the model to copy.
    """

    n_points = 1  # what z adds to the visible cells is next to nothing: more points give the same

    def visible_weight(self, progress: float) -> float:
        return 0.5 * max(0.0, 1 - progress / 0.7)

    @staticmethod
    def _decoder_inputs(width: int, latent_dim: int) -> int:
        return latent_dim + width

    def decode(self, z: Tensor, state: Tensor) -> Tensor:
        return self.trunk(torch.cat([z, state.expand(*z.shape[:-1], -1)], dim=-1))
