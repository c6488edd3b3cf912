"""Which likelihood models which feature."""

from __future__ import annotations

from collections.abc import Mapping

from skhvae.features import FEATURE_TYPES, Feature, Schema, nearest
from skhvae.likelihoods import LIKELIHOODS, Likelihood
from skhvae.table import label

__all__ = ["assign_likelihoods", "family_name"]


def assign_likelihoods(schema: Schema, declared: Mapping | None) -> dict:
    """The column's own likelihood, else its type's, else the default of the type.

    Parameters
    ----------
    schema : Schema
    declared : dict or None
        ``{column or type: name or Likelihood}``.

    Returns
    -------
    dict of column to Likelihood
        For every modelled feature.

    Raises
    ------
    ValueError
        For keys that are neither a column nor a type, unknown names, and likelihoods that cannot
        model their feature.
    """
    declared = declared or {}
    known = {*schema.names, *FEATURE_TYPES}
    for key, family in declared.items():
        if key not in known:
            raise ValueError(
                f"likelihoods names {label(key)}, which is neither a column nor a feature type."
                + nearest(key, map(str, known))
            )
        if isinstance(family, Likelihood) or (isinstance(family, str) and family in LIKELIHOODS):
            continue
        what = f"likelihoods[{label(key)}]"
        if isinstance(family, type):
            raise ValueError(f"{what}: found a class. Pass an instance, {family.__name__}().")
        raise ValueError(f"{what}: unknown likelihood {family!r}." + nearest(family, LIKELIHOODS))
    return {feature.name: _family(feature, declared) for feature in schema if feature.is_modelled}


def family_name(family: Likelihood) -> str:
    """How messages name a family: as ``likelihoods`` does, or by its class."""
    names = {known: name for name, known in LIKELIHOODS.items()}
    return repr(names.get(type(family), type(family).__name__))


def _family(feature: Feature, declared: dict) -> Likelihood:
    kind = feature.type
    family = declared.get(feature.name, declared.get(kind.name, kind.likelihood))
    family = family if isinstance(family, Likelihood) else LIKELIHOODS[family]()
    what = f"Column {label(feature.name)}: likelihood {family_name(family)}"
    if family.finite != kind.finite:
        needs, remedy = ("levels", "nominal") if family.finite else ("numbers", "real")
        raise ValueError(
            f"{what} models {needs}, but the feature type is {kind.name!r}. Declare another "
            f"likelihood, or another type with feature_types={{{label(feature.name)}: {remedy!r}}}."
        )
    if family.finite and family.most_levels and len(feature.levels) > family.most_levels:
        raise ValueError(
            f"{what} models at most {family.most_levels} levels, found {len(feature.levels)}. "
            f"Use likelihoods={{{label(feature.name)}: 'categorical'}}."
        )
    return family
