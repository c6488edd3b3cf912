"""Kinds of what an engine holds: the table's description, likelihoods, strategies, and records."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from skhvae.calibration import Calibration
from skhvae.codecs import LevelCodec, NumericCodec
from skhvae.encoding import FeatureGroup, TableEncoder
from skhvae.explanatory import Columns
from skhvae.features import FEATURE_TYPES, Feature, FeatureType, Schema
from skhvae.likelihoods import LIKELIHOODS, Likelihood
from skhvae.matching import Matching
from skhvae.models import MODELS
from skhvae.moo import STRATEGIES, Chain, Conflict, ConvergenceRatios, Impartiality, Place
from skhvae.objectives import OBJECTIVES
from skhvae.online import OnlineTraining
from skhvae.persistence._attributes import checked, plain, record, remade
from skhvae.persistence._document import CannotBeSaved, Kind
from skhvae.repeats import RepeatedRows
from skhvae.residuals import ResidualRegression
from skhvae.run import TrainingRun
from skhvae.selection import SelectionModel
from skhvae.table import label

__all__ = ["learned"]


def _name_in(registry: dict[str, Any]) -> Callable[[Any], tuple[str]]:
    def parts(thing):
        for name, known in registry.items():
            if known == thing:
                return (name,)
        raise CannotBeSaved("it is not registered")

    return parts


def _options(family: Likelihood) -> dict[str, Any]:
    """What its constructor was given, by the names of its public attributes."""
    options = {k: v for k, v in vars(family).items() if k != "training" and not k.startswith("_")}
    try:
        fresh = type(family)(**options)
    except TypeError as error:
        raise CannotBeSaved(f"its constructor does not take its attributes: {error}") from error
    checked(vars(family), vars(fresh))
    return options


def _likelihood(name: str, family: type[Likelihood]) -> Kind:
    def parts(thing):
        tensors, inner = dict(thing.named_buffers(recurse=False)), dict(thing.named_children())
        return {"options": _options(thing), "tensors": tensors, "inner": inner}

    def build(options, tensors, inner):
        thing = family(**options)
        for child, module in inner.items():
            setattr(thing, child, module)
        for buffer, tensor in tensors.items():
            thing.register_buffer(buffer, tensor)
        return thing

    return Kind(f"likelihood: {name}", family, parts, build, shared=True)


def _run_parts(run: TrainingRun) -> dict[str, Any]:
    # The names of hundreds of features are written once for all epochs that have the same.
    parts = _RUN.parts(run)
    blocks = itertools.groupby(run.history, key=tuple)
    history = [[list(names), [list(row.values()) for row in rows]] for names, rows in blocks]
    return parts | {"history": history}


def _run(history: list, **others) -> TrainingRun:
    records = [dict(zip(names, row, strict=True)) for names, rows in history for row in rows]
    return _RUN.build(history=records, **others)


_RUN = record("run", TrainingRun)

_TABLE = [
    remade("schema", Schema, "features", "_by_name"),
    record("feature", Feature, called=lambda x: f"column {label(x.name)}"),
    Kind("type", FeatureType, _name_in(FEATURE_TYPES), FEATURE_TYPES.__getitem__),
    plain(
        "encoder",
        TableEncoder,
        "schema missing_values handle_unknown groups features _column _position _codecs",
    ),
    record("group", FeatureGroup),
    plain("numbers", NumericCodec, "feature _unit _fence _shift _scale filler scale"),
    remade("levels", LevelCodec, "feature", "n_levels filler _levels"),
]
_TRAINING = [
    Kind("run", TrainingRun, _run_parts, _run, shared=True),
    plain("chain", Chain, "strategies", "generator"),
    plain("ratios", ConvergenceRatios, "after _first _step"),
    plain("conflict", Conflict, "_cosines", "_together _weights _present _share _usable _steps"),
    plain("place", Place, "strategy conflict _others", "generator"),
    plain("impartiality", Impartiality, "_fresh _places _generator"),
    plain("calibration", Calibration, "_scores _maps _temperatures _coverages _nominal"),
    plain("matching", Matching, "applies _means _values"),
    plain("regression", ResidualRegression, "_columns _chosen _means _factors _codes _spreads"),
    plain(
        "columns",
        Columns,
        "owners _ordered _knots _heights _symbolic _symbols _means _scales",
    ),
    plain("selection", SelectionModel, "applies _knots _log_odds"),
    plain(
        "online", OnlineTraining, "weights moments values observed draws n_steps n_rows asked_at"
    ),
    plain("repeats", RepeatedRows, "kept trust _codes _distinct _surprise _rows _starts"),
]


def learned() -> list[Kind]:
    """The kinds, with the likelihoods, models, objectives and strategies that are registered now."""
    return [
        *_TABLE,
        *_TRAINING,
        Kind("model", type, _name_in(MODELS), MODELS.__getitem__, subclasses=True),
        *(_likelihood(name, kind) for name, kind in LIKELIHOODS.items()),
        *(
            plain(f"objective: {name}", kind, " ".join(vars(kind(0.0))))
            for name, kind in OBJECTIVES.items()
        ),
        *(
            plain(f"strategy: {name}", kind, " ".join(vars(kind())), "generator")
            for name, kind in STRATEGIES.items()
        ),
    ]
