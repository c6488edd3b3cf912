"""Impute tables of mixed types with heterogeneous VAEs and impartial gradients."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("skhvae")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

__all__ = ["HeterogeneousVAEImputer", "__version__"]


def __getattr__(name):
    # torch is imported when the imputer is asked for, so that importing the package is quick.
    if name == "HeterogeneousVAEImputer":
        from skhvae.imputer import HeterogeneousVAEImputer

        return HeterogeneousVAEImputer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
