"""Encoder, trunk, packed heads and prior: the networks, from visible cells to raw parameters."""

from skhvae.models._heads import Heads
from skhvae.models._vae import CVAE, VAE, Posterior

__all__ = ["CVAE", "MODELS", "VAE", "Heads", "Posterior"]

MODELS = {"cvae": CVAE, "vae": VAE}
