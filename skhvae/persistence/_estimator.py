"""Kinds of what scikit-learn knows: the estimator, its parameters, and the engine inside it.

An attribute that is new to the estimator or the engine belongs into the lists here, and one that files
cannot do without raises `FORMAT` in ``_archive.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.impute import MissingIndicator
from sklearn.utils.metadata_routing import MetadataRequest

from skhvae.engine import Engine
from skhvae.imputer import HeterogeneousVAEImputer
from skhvae.persistence._attributes import checked, plain, record
from skhvae.persistence._document import CannotBeSaved, Kind
from skhvae.recipe import Recipe
from skhvae.schedule import TrainingPlan

__all__ = ["ESTIMATOR"]

_LEARNED = [
    "n_features_in_",
    "n_samples_seen_",
    "_engine",
    "device_",
    "schema_",
    "feature_types_",
    "history_",
    "n_iter_",
    "feature_errors_",
    "gradient_conflict_",
    "missingness_",
    "indicator_",
]
_OPTIONAL = ["feature_names_in_", "_sklearn_output_config", "_metadata_request"]
_NOT_KEPT = {"_skl_callbacks"}  # they watch a fit, and have no part in what it leaves
_PARAMETERS = list(HeterogeneousVAEImputer().get_params(deep=False))


def _imputer_parts(imputer: HeterogeneousVAEImputer) -> dict[str, Any]:
    attributes = {k: v for k, v in vars(imputer).items() if k not in _NOT_KEPT}
    learned = _LEARNED if "_engine" in attributes else ()
    return checked(attributes, [*_PARAMETERS, *learned], _OPTIONAL)


def _imputer(**attributes) -> HeterogeneousVAEImputer:
    given = {name: attributes.pop(name) for name in _PARAMETERS if name in attributes}
    imputer = HeterogeneousVAEImputer(**given)
    learned = _LEARNED if "_engine" in attributes else ()
    vars(imputer).update(checked(attributes, learned, _OPTIONAL))
    return imputer


_ENGINE = plain(
    "engine",
    Engine,
    """encoder device recipe model impartiality run held_out_errors selection calibration matching missingness
    regressions repeats online _latent_dim _by_median""",
    "_points",
)


def _engine_parts(engine: Engine) -> dict[str, Any]:
    weights = None if engine.model is None else dict(engine.model.state_dict())
    return _ENGINE.parts(engine) | {"model": weights}


def _engine(**attributes) -> Engine:
    weights = attributes["model"]
    engine = _ENGINE.build(**attributes | {"model": None})
    if weights is not None:
        _check_size(engine.recipe, weights)
        engine.restore_model(weights)
    return engine


def _check_size(recipe: Recipe, weights: dict[str, torch.Tensor]) -> None:
    """No model is made that is larger than the weights in the file."""
    width, depth = recipe.hidden_layer_sizes[0], len(recipe.hidden_layer_sizes)
    blocks_and_latent = width * (4 * depth * width + 2 * recipe.latent_dim)
    if recipe.n_members * blocks_and_latent > sum(tensor.numel() for tensor in weights.values()):
        raise ValueError("the model's weights are fewer than its sizes say")


def _indicator(n_features: int, flagged: list[int]) -> MissingIndicator:
    pattern = np.zeros((1, n_features))
    pattern[0, flagged] = np.nan
    indicator = MissingIndicator(features="missing-only", error_on_new=False)
    return indicator.set_output(transform="default").fit(pattern)


def _random_state_parts(state: np.random.RandomState) -> tuple:
    found = state.get_state(legacy=False)
    if found["bit_generator"] != "MT19937":
        raise CannotBeSaved(f"its bit generator is {found['bit_generator']}, not MT19937")
    counter = found["state"]
    return counter["key"], int(counter["pos"]), int(found["has_gauss"]), float(found["gauss"])


def _random_state(*parts) -> np.random.RandomState:
    state = np.random.RandomState()
    state.set_state(("MT19937", *parts))
    return state


def _requests(metadata: MetadataRequest) -> tuple[dict]:
    methods = {name: getattr(part, "requests", None) for name, part in vars(metadata).items()}
    return ({name: dict(requests) for name, requests in methods.items() if requests},)


def _metadata_request(methods: dict) -> MetadataRequest:
    metadata = MetadataRequest(owner=HeterogeneousVAEImputer.__name__)
    for name, requests in methods.items():
        for parameter, alias in requests.items():
            getattr(metadata, name).add_request(param=parameter, alias=alias)
    return metadata


ESTIMATOR = [
    Kind("imputer", HeterogeneousVAEImputer, _imputer_parts, _imputer),
    Kind("engine", Engine, _engine_parts, _engine, shared=True),
    record("recipe", Recipe),
    record("plan", TrainingPlan),
    # Chosen anew whenever a file is loaded.
    Kind("device", torch.device, lambda _: (), lambda: torch.device("cpu")),
    Kind(
        "indicator",
        MissingIndicator,
        lambda x: (x.n_features_in_, x.features_.tolist()),
        _indicator,
    ),
    Kind("random state", np.random.RandomState, _random_state_parts, _random_state, shared=True),
    Kind("metadata request", MetadataRequest, _requests, _metadata_request),
]
