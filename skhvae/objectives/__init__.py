"""What training minimises: (model, values, observed, visible) -> per-feature losses and KL."""

from skhvae.objectives._base import Loss, Objective
from skhvae.objectives._elbo import ELBO
from skhvae.objectives._importance import IWAE, DReG

__all__ = ["ELBO", "IWAE", "OBJECTIVES", "DReG", "Loss", "Objective"]

OBJECTIVES = {"elbo": ELBO, "iwae": IWAE, "dreg": DReG}
