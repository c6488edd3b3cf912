"""An imputer that is quickly fitted."""

from skhvae import HeterogeneousVAEImputer

__all__ = ["light"]


def light(kind=HeterogeneousVAEImputer, **parameters):
    """One small network on the CPU, three epochs, one seed, or what the parameters say instead."""
    defaults = dict(
        max_iter=3,
        latent_dim=4,
        hidden_layer_sizes=(8,),
        n_members=1,
        random_state=0,
        device="cpu",
    )
    return kind(**defaults | parameters)
