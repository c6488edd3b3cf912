"""Impute tables of mixed types with heterogeneous VAEs and impartial gradients."""

from typing import TYPE_CHECKING, Any

from skhvae._version import __version__

if TYPE_CHECKING:
    from skhvae.imputer import HeterogeneousVAEImputer
    from skhvae.persistence import load, save
    from skhvae.pooling import pool

__all__ = ["HeterogeneousVAEImputer", "__version__", "load", "pool", "save"]


def __getattr__(name: str) -> Any:
    # torch is imported when one of these is asked for, so that importing the package is quick.
    if name == "HeterogeneousVAEImputer":
        from skhvae.imputer import HeterogeneousVAEImputer

        return HeterogeneousVAEImputer
    if name in ("load", "save"):
        from skhvae import persistence

        return getattr(persistence, name)
    if name == "pool":
        from skhvae.pooling import pool

        return pool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
