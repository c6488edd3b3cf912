"""What the estimator's parameters may be."""

from __future__ import annotations

import os
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions

from skhvae.features import nearest
from skhvae.missingness import MECHANISMS
from skhvae.models import MODELS
from skhvae.moo import STRATEGIES, Strategy, as_strategy
from skhvae.objectives import OBJECTIVES
from skhvae.presets import PRESETS

__all__ = ["CONSTRAINTS", "check_parameters", "resolve_device"]

CONSTRAINTS = {
    "missing_values": "no_validation",
    "feature_types": [StrOptions({"infer"}), dict],
    "likelihoods": [dict, None],
    "model": [StrOptions(set(MODELS))],
    "objective": [StrOptions(set(OBJECTIVES))],
    "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
    "moo": [StrOptions(set(STRATEGIES)), Strategy, tuple, list, callable],
    "preset": [StrOptions(set(PRESETS))],
    "latent_dim": [Interval(Integral, 1, None, closed="left")],
    "hidden_layer_sizes": [StrOptions({"auto"}), tuple, list],
    "n_members": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "bootstrap": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "beta": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "max_steps": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "handle_unknown": [StrOptions({"missing", "error"})],
    "add_indicator": ["boolean"],
    "keep_empty_features": ["boolean"],
    "mechanism": [StrOptions(set(MECHANISMS))],
    "use_repeated_rows": ["boolean"],
    "checkpoint_dir": [str, os.PathLike, None],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

_REGISTRIES = {"moo": STRATEGIES, "model": MODELS, "objective": OBJECTIVES, "preset": PRESETS}


def check_parameters(estimator) -> None:
    """Raise for parameters of the wrong kind or out of range; unknown names get the nearest known.

    Raises
    ------
    InvalidParameterError
        scikit-learn's, a ValueError and a TypeError.
    """
    for name, known in _REGISTRIES.items():
        value = getattr(estimator, name)
        for part in value if isinstance(value, tuple | list) else [value]:
            if isinstance(part, str) and part not in known:
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(estimator).__name__} must be a name in the "
                    f"list below. Got {value!r} instead.{nearest(part, known)}"
                )
    estimator._validate_params()
    _check_strategy(estimator)
    _check_objective(estimator)
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, str):
        return
    if not sizes or any(not isinstance(s, Integral) or s < 1 or s != sizes[0] for s in sizes):
        raise InvalidParameterError(
            f"The 'hidden_layer_sizes' parameter of {type(estimator).__name__} must be a tuple of "
            f"equal positive integers, one for each residual block. Got {sizes!r} instead."
        )


def resolve_device(name: str) -> torch.device:
    """The device of that name, once it is known to work here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device, dtype=torch.float64)  # strategies and inference need it
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device={name!r} cannot be used here: {error}. Use 'auto' or 'cpu'."
        ) from error
    return device


def _check_strategy(estimator) -> None:
    """A chain of strategies consists of strategies, in an order that makes sense."""
    moo = estimator.moo
    if not isinstance(moo, tuple | list):
        return
    kinds = str, Strategy, tuple, list
    wrong = [part for part in moo if not isinstance(part, kinds) and not callable(part)]
    try:
        if wrong:
            raise TypeError(f"{wrong[0]!r} is no strategy.")
        as_strategy(moo)
    except (TypeError, ValueError) as error:
        raise InvalidParameterError(
            f"The 'moo' parameter of {type(estimator).__name__} must be a strategy or a tuple of "
            f"strategies, applied in order. Got {moo!r} instead: {error}"
        ) from error


def _check_objective(estimator) -> None:
    """Importance weights need a density of the posterior, which not every model has."""
    if OBJECTIVES[estimator.objective].weighs_points and not MODELS[estimator.model].has_density:
        plain = [name for name, kind in OBJECTIVES.items() if not kind.weighs_points]
        raise InvalidParameterError(
            f"objective={estimator.objective!r} weighs points by the density of the posterior, which "
            f"model={estimator.model!r} does not have: its mixture component is relaxed. Use "
            f"objective={plain[0]!r}, or another model."
        )
