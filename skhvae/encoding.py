"""Table <-> tensors: (values, observed) for the model, completed tables for the user.

The round trip is exact because it never happens: observed cells are copied from the user's own
table, and only missing cells are written, through their column's codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.distributions import constraints

from skhvae import table as tables
from skhvae.assignment import family_name
from skhvae.codecs import LevelCodec, NumericCodec
from skhvae.features import Feature, Schema
from skhvae.likelihoods import Likelihood
from skhvae.table import label

__all__ = ["FeatureGroup", "TableEncoder"]

_IN_WORDS = {
    str(support): words
    for support, words in (
        (constraints.positive, "positive numbers"),
        (constraints.nonnegative, "non-negative numbers"),
        (constraints.nonnegative_integer, "non-negative integers"),
        (constraints.positive_integer, "positive integers"),
        (constraints.unit_interval, "numbers between 0 and 1"),
    )
}


def _declaration(family: Likelihood) -> tuple:
    """Equal for families that declare the same: type, options, and those of their parts."""
    options = {k: v for k, v in vars(family).items() if k != "training" and not k.startswith("_")}
    return type(family), repr(family), repr(sorted(options.items()))


@dataclass
class FeatureGroup:
    """Features that one prepared likelihood models together, side by side in packed order."""

    features: list[Feature]
    likelihood: Likelihood


class TableEncoder:
    """Turn tables into (values, observed) in packed order, and estimates back into tables.

    Parameters
    ----------
    schema : Schema
    likelihoods : dict of column to Likelihood
        The family of every feature that is modelled.
    missing_values : scalar
        Marks a missing cell, beside NaN, None, NaT and pd.NA.
    handle_unknown : {"missing", "error"}
        What to do with a level that was not seen in fit: an observed cell for the output and a
        missing one for the model, or an error.

    Attributes
    ----------
    features : list of Feature
        The modelled ones, in packed order: those that share a likelihood are neighbours.
    groups : list of FeatureGroup
    """

    def __init__(self, schema: Schema, likelihoods: dict, missing_values, handle_unknown):
        self.schema = schema
        self.missing_values = missing_values
        self.handle_unknown = handle_unknown
        grouped: dict = {}
        for feature in schema:
            if feature.is_modelled:
                family = likelihoods[feature.name]
                # Widths within a factor of two share a group, so that padding stays cheap.
                width = int(np.ceil(np.log2(len(feature.levels)))) if family.finite else 0
                grouped.setdefault((_declaration(family), width), (family, []))[1].append(feature)
        self.groups = [FeatureGroup(features, family) for family, features in grouped.values()]
        self.features = [feature for group in self.groups for feature in group.features]
        self._column = {feature.key: i for i, feature in enumerate(schema)}
        self._position = {feature.key: i for i, feature in enumerate(self.features)}
        self._codecs: dict = {}

    def fit_encode(
        self, table: pd.DataFrame, weights: np.ndarray | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn scales from `table`, and encode it; :meth:`prepare` is to follow.

        Parameters
        ----------
        table : DataFrame of shape (n_rows, n_columns)
        weights : ndarray of shape (n_rows,) or None
            What each row counts; None if all are equal.

        Returns
        -------
        values : float32 Tensor of shape (n_rows, n_features)
            In-support fillers where not observed.
        observed : bool Tensor of shape (n_rows, n_features)
        """
        families = {f.key: group.likelihood for group in self.groups for f in group.features}
        for feature, (_, column) in zip(self.schema, table.items(), strict=True):
            if feature.is_empty:
                continue
            if feature.type.finite or feature.is_constant:
                self._codecs[feature.key] = LevelCodec(feature)
                continue
            numbers = tables.numbers(column, tables.missing_cells(column, self.missing_values))
            self._codecs[feature.key] = NumericCodec(
                feature, families[feature.key], numbers, weights
            )
        values, observed = self.encode(table)
        for group, own in self._packed_groups():
            self._check_support(group, values[:, own], observed[:, own], table)
        return values, observed

    def prepare(self, values: torch.Tensor, observed: torch.Tensor) -> None:
        """Prepare the groups' likelihoods for training on encoded rows, in whatever order."""
        for group, own in self._packed_groups():
            group.likelihood = group.likelihood.prepared(
                values[:, own], observed[:, own], self.n_levels()[own]
            )

    def _packed_groups(self):
        """The groups, and where each stands in packed order."""
        start = 0
        for group in self.groups:
            stop = start + len(group.features)
            yield group, slice(start, stop)
            start = stop

    def _check_support(self, group: FeatureGroup, values, observed, table) -> None:
        support = group.likelihood.support
        outside = (observed & ~support.check(values)).numpy()
        for position, feature in enumerate(group.features):
            if outside[:, position].any():
                column = table.iloc[:, self._column[feature.key]]
                bad = column.iloc[outside[:, position].nonzero()[0]]
                name = label(feature.name)
                raise ValueError(
                    f"Column {name}: likelihood {family_name(group.likelihood)} needs "
                    f"{_IN_WORDS.get(str(support), support)}, found {bad.iloc[0]} in {len(bad)} row(s). "
                    f"Use another one, e.g. likelihoods={{{name}: 'normal'}}."
                )

    def encode(
        self, table: pd.DataFrame, missing: np.ndarray | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a table with the columns of the training table, in its order.

        Parameters
        ----------
        table : DataFrame of shape (n_rows, n_columns)
        missing : bool ndarray of shape (n_rows, n_columns) or None
            What :meth:`missing` says of it, if that is known already.

        Returns
        -------
        values : float32 Tensor of shape (n_rows, n_features)
            In model units, packed order; in-support fillers where not observed.
        observed : bool Tensor of shape (n_rows, n_features)

        Raises
        ------
        ValueError
            If a column's values cannot be read as its feature type, or hold infinities; for
            unknown levels if ``handle_unknown="error"``.
        TypeError
            For dtypes that no column can have.
        """
        shape = (len(table), len(self.features))
        values = np.empty(shape, dtype=np.float32)
        observed = np.empty(shape, dtype=bool)
        cells_of = self.missing(table).T if missing is None else missing.T
        for feature, (_, column), cells in zip(self.schema, table.items(), cells_of, strict=True):
            stored = tables.storage(column, cells)
            if stored == "float":
                tables.numbers(column, cells)  # refuses infinities, wherever they are
            if not feature.is_modelled:
                continue
            codec = self._codecs[feature.key]
            known = codec.read(column, cells, stored)
            present = ~np.isnan(known)
            if self.handle_unknown == "error" and (cells | present).sum() < len(table):
                unknown = tables.scalars(column)[~cells & ~present]
                raise ValueError(
                    f"Column {label(feature.name)}: level(s) {pd.unique(unknown)[:5].tolist()} were not "
                    "seen in fit. Use handle_unknown='missing' to keep them and impute as if they "
                    "were missing."
                )
            position = self._position[feature.key]
            observed[:, position] = present
            values[:, position] = np.where(present, codec.to_model(known), codec.filler)
        return torch.from_numpy(values), torch.from_numpy(observed)

    def error_scales(self) -> torch.Tensor:
        """What an error in model units is multiplied by: 1 / range, 1 / levels, or 1."""
        scales = []
        for feature in self.features:
            if feature.type.metric == "error rate":
                scales.append(1.0)
            elif feature.type.metric == "rank error":
                scales.append(1.0 / feature.n_declared_levels)
            else:
                scales.append(1.0 / self._codecs[feature.key].span)
        return torch.tensor(scales)

    def ranges(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Observed range, low and high, and what values differ by at least, (n_features,) each, in model units:
        infinite and 0 for finite features."""
        ranges = []
        for feature in self.features:
            codec = self._codecs[feature.key]
            low, high, step = -np.inf, np.inf, 0.0
            if not codec.n_levels:
                low, high = codec.to_model(np.array([feature.low, feature.high], dtype=np.float64))
                step = feature.granularity / codec.scale
            ranges.append((low, high, step))
        return torch.tensor(ranges, dtype=torch.float64).view(-1, 3).unbind(1)

    def blank(self, n_rows: int) -> pd.DataFrame:
        """A table of so many rows with the columns and dtypes of the training table, whose cells are those of
        an example."""
        nobody = np.zeros(n_rows, dtype=np.int64)
        columns = [
            pd.Series(np.full(n_rows, np.nan), dtype=feature.dtype)
            if feature.example is None
            else feature.example.iloc[nobody].reset_index(drop=True)
            for feature in self.schema
        ]
        table = pd.concat(columns, axis=1)
        table.columns = pd.Index(self.schema.names, tupleize_cols=False)
        return table

    def missing(self, table: pd.DataFrame) -> np.ndarray:
        """Missing cells of `table`, bool (n_rows, n_columns), in table order; columns are contiguous."""
        return np.stack(
            [tables.missing_cells(column, self.missing_values) for _, column in table.items()]
        ).T

    def in_table_order(self, cells: torch.Tensor) -> np.ndarray:
        """Cells in packed order -> (n_rows, n_columns) in table order, False where not modelled."""
        result = np.zeros((len(cells), len(self.schema)), dtype=bool)
        result[:, [self._column[feature.key] for feature in self.features]] = cells.numpy()
        return result

    def table_order(self) -> list[int]:
        """Places in packed order of the modelled features as they follow each other in the table."""
        return [self._position[feature.key] for feature in self.schema if feature.is_modelled]

    def distinct_names(self) -> list[str]:
        """Names of the features in packed order as text, where the columns 1 and "1" differ too."""
        names = [str(feature.name) for feature in self.features]
        return names if len(set(names)) == len(names) else [repr(f.name) for f in self.features]

    def n_levels(self) -> torch.Tensor:
        """Number of levels of every feature in packed order, 0 for numeric ones."""
        return torch.tensor([self._codecs[feature.key].n_levels for feature in self.features])

    def n_symbols(self) -> torch.Tensor:
        """Number of levels of the features without an order, 0 for all others: ordered levels are
        numbers to the encoder, so that rare ones borrow from their neighbours."""
        ordered = torch.tensor(
            [f.type.estimate == "median" for f in self.features], dtype=torch.bool
        )
        return self.n_levels().masked_fill(ordered, 0)

    def describe(
        self, position: int, parts: list[np.ndarray], quantiles: Sequence[float], index: pd.Index
    ) -> pd.DataFrame:
        """What is predicted for cells of a feature, in the units of its data.

        Parameters
        ----------
        position : int
            Of the feature in packed order.
        parts : list of ndarray of shape (n, 2 + n_quantiles) or (n, n_levels)
            Mean, deviation and quantiles in model units, or the levels' probabilities.
        quantiles : sequence of float
        index : Index
            Of the cells' rows.

        Returns
        -------
        DataFrame of shape (n_cells, 2 + n_quantiles) or (n_cells, n_levels)
        """
        codec = self._codecs[self.features[position].key]
        width = codec.n_levels or 2 + len(quantiles)
        numbers = np.concatenate([np.zeros((0, width)), *(part[:, :width] for part in parts)])
        return codec.describe(numbers, quantiles, index)

    def decode(
        self,
        estimates: np.ndarray,
        table: pd.DataFrame,
        missing: np.ndarray,
        keep_empty: bool,
        possible: bool = False,
    ) -> pd.DataFrame:
        """Complete `table`: write estimates into its missing cells, and touch nothing else.

        Parameters
        ----------
        estimates : ndarray of shape (n_rows, n_features)
            In model units, packed order.
        table : DataFrame of shape (n_rows, n_columns)
        missing : bool ndarray of shape (n_rows, n_columns)
            The cells to write.
        keep_empty : bool
            Whether columns without an observed cell in fit are kept: filled with 0 if they store
            numbers, left missing otherwise.
        possible : bool
            Whether the estimates are to be values that a cell can have, as draws are and means need not be.

        Returns
        -------
        DataFrame of shape (n_rows, n_columns)
            Less the empty columns if they are not kept.
        """
        kept = [keep_empty or not feature.is_empty for feature in self.schema]
        columns = []
        for feature, (_, column), cells in zip(self.schema, table.items(), missing.T, strict=True):
            if feature.is_empty:
                columns.append(_with_zeros(column, cells))
            elif cells.any():
                chosen = np.zeros(cells.sum())
                if feature.is_modelled:
                    chosen = estimates[cells, self._position[feature.key]].astype(np.float64)
                codec = self._codecs[feature.key]
                columns.append(codec.write(column, cells, chosen, possible))
            else:
                columns.append(column)
        completed = pd.concat(columns, axis=1).loc[:, kept]
        completed.columns = table.columns[kept]
        return completed


def _with_zeros(column: pd.Series, cells: np.ndarray) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return column
    return tables.fill(column, cells, np.zeros(cells.sum()))
