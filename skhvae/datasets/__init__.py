"""Tables of mixed types to try imputers on: a bundled real one and generated ones with a known optimum."""

from skhvae.datasets._adult import load_adult
from skhvae.datasets._heterogeneous import make_heterogeneous

__all__ = ["load_adult", "make_heterogeneous"]
