"""HI-VAE: a mixture prior, and for every feature a representation of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from skhvae.likelihoods import Likelihood
from skhvae.models._blocks import lead, linear
from skhvae.models._heads import Heads, impartial_layer
from skhvae.models._vae import LOG_SCALE_RANGE, VAE
from skhvae.moo import HeadLayout, Impartiality, Place

__all__ = ["HIVAE", "MixturePosterior"]

_FIRST_TEMPERATURE, _LAST_TEMPERATURE = 1.0, 0.2


@dataclass
class MixturePosterior:
    r"""q(s, z | visible) = q(s | visible) q(z | visible, s): a component s, and a diagonal normal.

    A point is z and s side by side, (latent_dim + n_components). While training, s is relaxed (Jang et
    al. 2017, arXiv 1611.01144, eq. 2); afterwards it is one component, drawn exactly.

    Attributes
    ----------
    logits : Tensor of shape (..., B, n_components)
        Of q(s | visible). With several members, theirs side by side on an axis before the rows, as in
        all of these.
    shared : Tensor of shape (..., B, 2 * latent_dim)
        Mean and log-scale of z as far as all components agree.
    own : Tensor of shape (..., n_components, 2 * latent_dim)
        What a component adds to them.
    prior_means : Tensor of shape (..., n_components, latent_dim)
        p(z | s) is a unit normal around its component's mean.
    state : Tensor of shape (..., B, H)
    temperature : Tensor of shape () or None
        None draws one component.
    """

    logits: Tensor
    shared: Tensor
    own: Tensor
    prior_means: Tensor
    state: Tensor
    temperature: Tensor | None

    def _normal(self, component: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = (self.shared + component @ self.own).chunk(2, dim=-1)
        return mean, log_scale.clamp(*LOG_SCALE_RANGE)

    @property
    def mean(self) -> Tensor:
        """Mean of z in the most probable component, (B, latent_dim)."""
        return self._normal(self._one(self.logits))[0]

    def _one(self, scores: Tensor) -> Tensor:
        return functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)

    def at(self, noise: Tensor) -> Tensor:
        """Points for standard-normal noise (..., B, latent_dim + n_components)."""
        n_components = self.logits.shape[-1]
        of_z, of_s = noise.split([noise.shape[-1] - n_components, n_components], dim=-1)
        # From a normal to a Gumbel by their distribution functions: at 0, the mode.
        gumbel = -(-torch.special.log_ndtr(of_s)).clamp(min=1e-30).log()
        scores = self.logits + gumbel
        if self.temperature is None:
            component = self._one(scores)
        else:
            component = (scores / self.temperature).softmax(-1)
        mean, log_scale = self._normal(component)
        return torch.cat([mean + log_scale.exp() * of_z, component], dim=-1)

    def kl(self, points: Tensor) -> Tensor:
        """KL(q(s) || uniform) + KL(q(z | s) || p(z | s)) of every row, (B,), nats, at the components of
        `points` (Nazabal et al. 2020, arXiv 1807.03653, eq. 12)."""
        n_components = self.logits.shape[-1]
        component = points[..., -n_components:]
        log_probs = self.logits.log_softmax(-1)
        of_s = (log_probs.exp() * log_probs).sum(-1) + math.log(n_components)
        mean, log_scale = self._normal(component)
        away = mean - component @ self.prior_means
        of_z = 0.5 * (away**2 + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(-1)
        return of_s + of_z

    def detach(self) -> MixturePosterior:
        """The same as constants: no gradient reaches the encoder through it."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.detach() for k, v in parts.items() if isinstance(v, Tensor)})


class MixtureHeads(Heads):
    r"""Heads that see a representation of the feature's own and the component: :math:`\eta_d = B_d y_d +
    V_d s + b_d`, with :math:`y_d = A_d h + a_d`.

    Features meet at two places, h and s; either is one packed linear layer with an impartiality
    block.
    """

    def __init__(
        self,
        likelihoods: Sequence[tuple[Likelihood, int]],
        width: int,
        feature_dim: int,
        n_components: int,
        generator: torch.Generator,
        n_members: int = 1,
    ):
        super().__init__(likelihoods)
        sizes = [(n, feature_dim) for n, _ in self.layout.groups]
        self.own_layout = HeadLayout(sizes)
        self.own = linear(width, self.own_layout.n_parameters, generator, 1.0, n_members)
        self.by_component = linear(
            n_components, self.layout.n_parameters, generator, 0.1, n_members
        )
        of_all_rows = (*lead(n_members), 1) if n_members > 1 else ()
        # Larger than those of packed heads: with a second layer before h, the encoder would else hear so
        # little of the features at first that the KL term empties z for good.
        self.out = nn.ParameterList(
            torch.empty(*of_all_rows, n, feature_dim, k).normal_(
                0.0, 0.2 / math.sqrt(feature_dim), generator=generator
            )
            for n, k in self.layout.groups
        )
        with torch.no_grad():
            self.by_component.bias.copy_(self.marginals())

    def forward(
        self,
        h: Tensor,
        component: Tensor,
        at_h: Place | None = None,
        at_s: Place | None = None,
    ) -> list[Tensor]:
        """h (..., H) and s (..., n_components) -> raw parameters, one tensor a family."""
        own = impartial_layer(self.own, h, self.own_layout, at_h)
        of_s = impartial_layer(self.by_component, component, self.layout, at_s)
        pairs = zip(self.own_layout.split(own), self.out, self.layout.split(of_s), strict=True)
        return [torch.einsum("...ny,...nyk->...nk", y, weight) + rest for y, weight, rest in pairs]


class HIVAE(VAE):
    r"""HI-VAE (Nazabal et al. 2020, arXiv 1807.03653, section 3): a mixture prior, :math:`p(s)` uniform and
    :math:`p(z \mid s) = \mathcal N(\mu_s, I)`, and :math:`p_d(x_d \mid y_d, s)` with a representation
    :math:`y_d` of the feature's own.

    The features' gradients meet at h and at s: two impartiality blocks (Javaloy et al. 2022, arXiv
    2206.04496, section 6). The relaxed component has no density, so that importance weights are not
    defined.

    Attributes
    ----------
    n_components : int
    feature_dim : int
        Size of y_d.
    """

    has_density = False
    n_components = 10
    feature_dim = 10

    def _build_latent(self, width: int, latent_dim: int, generator: torch.Generator) -> None:
        super()._build_latent(width, latent_dim, generator)
        self.noise_dim = latent_dim + self.n_components
        self.component = linear(width, self.n_components, generator, 0.3, self.n_members)
        members = lead(self.n_members)
        # Small, so that z is at first little disturbed by components that mean nothing yet.
        self.posterior_by_component = nn.Parameter(
            torch.empty(*members, 2 * latent_dim, self.n_components).normal_(
                0.0, 0.01, generator=generator
            )
        )
        self.prior_means = nn.Parameter(
            torch.empty(*members, self.n_components, latent_dim).normal_(
                0.0, 0.1, generator=generator
            )
        )
        # A tensor, so that a recorded training step reads it where it lies; no state of the model.
        self.register_buffer("temperature", torch.tensor(_FIRST_TEMPERATURE), persistent=False)

    def _build_heads(self, likelihoods, width: int, generator: torch.Generator) -> MixtureHeads:
        return MixtureHeads(
            likelihoods, width, self.feature_dim, self.n_components, generator, self.n_members
        )

    def anneal(self, progress: float) -> None:
        """The component is relaxed at first and nearly exact in the end."""
        ratio = _LAST_TEMPERATURE / _FIRST_TEMPERATURE
        self.temperature.fill_(_FIRST_TEMPERATURE * ratio**progress)

    def encode(self, values: Tensor, visible: Tensor, missing: Tensor | None = None):
        state = self._state(values, visible, missing)
        return MixturePosterior(
            self.component(state),
            self.posterior(state),
            self.posterior_by_component.mT,
            self.prior_means,
            state,
            self.temperature if self.training else None,
        )

    def params(self, points, posterior, impartiality: Impartiality | None = None) -> list[Tensor]:
        z, component = points.split([self.latent_dim, self.n_components], dim=-1)
        blocks = [impartiality and impartiality.at(place) for place in ("h", "s")]
        return self.heads(self.decode(z, posterior.state), component, *blocks)
