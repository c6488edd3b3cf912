"""What training minimises: (model, values, observed, visible) -> per-feature losses and KL."""

from skhvae.objectives._elbo import ELBO, Loss

__all__ = ["ELBO", "OBJECTIVES", "Loss"]

OBJECTIVES = {"elbo": ELBO}
