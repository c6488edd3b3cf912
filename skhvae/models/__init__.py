"""Encoder, trunk, heads and prior: the networks, from visible cells to raw parameters."""

from skhvae.models._blocks import lead, output_size, twin
from skhvae.models._heads import Heads
from skhvae.models._hivae import HIVAE, MixturePosterior
from skhvae.models._vae import CVAE, VAE, Posterior

__all__ = [
    "CVAE",
    "HIVAE",
    "MODELS",
    "VAE",
    "Heads",
    "MixturePosterior",
    "Posterior",
    "lead",
    "output_size",
    "twin",
]

MODELS = {"cvae": CVAE, "vae": VAE, "hivae": HIVAE}
