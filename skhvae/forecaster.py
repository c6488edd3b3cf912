"""How sure a trained model is: draws, predictive distributions and densities of tables' cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from skhvae.calibration import Calibration
from skhvae.completer import Completer
from skhvae.draws import Grid, draw_cells, log_density, turns
from skhvae.evaluation import brier_score, crps_of_quantiles, log_score
from skhvae.inference import by_rows, chunk_size, predictions_at, steady
from skhvae.matching import Matching
from skhvae.predictive import Predictive
from skhvae.residuals import ResidualRegression
from skhvae.rows import RowStreams

__all__ = ["Forecaster"]

_BLOCK = 4_096  # rows at once, of each of which hundreds of numbers are predicted
_DRAWN = 16_384  # rows drawn at once, for each of which there are random numbers
_N_MORE_PASSES = 2  # in which cells are drawn again
# Of features, the same for all rows, in which densities are written by the chain rule.
_N_ORDERS = 4
# Normal scores by which moments are integrated, and their weights.
_SCORES = np.linspace(-6, 6, 49)
_MOMENTS = torch.special.ndtr(torch.from_numpy(_SCORES))
_WEIGHTS = np.exp(-0.5 * _SCORES**2) / np.exp(-0.5 * _SCORES**2).sum()
# Levels whose quantiles stand for a distribution, and what is said of it.
_SCORED_LEVELS = (np.arange(99) + 0.5) / 99
_PROPER_SCORES = ["crps", "log_score", "brier", "coverage", "width"]


@dataclass
class Predicted:
    """What is predicted for the cells of some rows.

    Attributes
    ----------
    at : float64 ndarray of shape (n_rows, n_features, n_levels)
        Values at the levels that were asked for, in model units; codes of finite features.
    probs : list of ndarray of shape (n_rows, n_levels of the feature) or None
        By feature; None of numeric ones.
    """

    at: np.ndarray
    probs: list[np.ndarray | None]


class Forecaster(Completer):
    """A completer that also knows how sure it is.

    Attributes
    ----------
    calibration : Calibration or None
        None where no cells were held out to learn it from.
    matching : Matching or None
        With it.
    regressions : list of ResidualRegression
        One a member, or none.
    """

    def __init__(self, encoder, device: torch.device):
        super().__init__(encoder, device)
        self.calibration: Calibration | None = None
        self.matching: Matching | None = None
        self.regressions: list[ResidualRegression] = []

    def _grid(self) -> Grid:
        return Grid(*self.encoder.ranges()).to(self.device)

    def _known(self, values, visible):
        """What repetitions of rows know of their cells, and how far they are trusted."""
        if self.repeats is None:
            return None, 0.0
        return self.repeats.look_up(values, visible), self.repeats.trust

    def draws(
        self, table: pd.DataFrame, keep_empty: bool, n_draws: int, seed: int, calibrate: bool
    ) -> Iterator[pd.DataFrame]:
        """Completed tables, one after the other, each of other draws of the missing cells."""
        missing = self.encoder.missing(table)
        values, observed = self.encoder.encode(table, missing)
        incomplete = torch.from_numpy(missing.any(axis=1).nonzero()[0])
        if self.model is None or not len(incomplete):
            for _ in range(n_draws):
                yield self.encoder.decode(values.numpy(), table, missing, keep_empty)
            return
        # Rows with as many cells to draw are neighbours: a chunk is as slow as the row with most.
        incomplete = incomplete[observed[incomplete].sum(1).argsort(descending=True, stable=True)]
        some, visible = values[incomplete], observed[incomplete]
        streams = RowStreams(some, visible, seed)
        known, trust = self._known(some, visible)
        for draw in range(n_draws):
            estimates = values.clone()
            for rows in _slices(len(some), _DRAWN):
                estimates[incomplete[rows]] = self._draw(
                    some[rows],
                    visible[rows],
                    streams,
                    rows,
                    draw,
                    calibrate,
                    selection=self.selection,
                    known=None if known is None else known[rows],
                    trust=trust,
                )
            yield self.encoder.decode(estimates.numpy(), table, missing, keep_empty, possible=True)

    def _draw(self, values, visible, streams: RowStreams, rows, draw: int, calibrate, **options):
        """Some rows with all that is not visible drawn: one cell after the other; then, where regressions make good
        what the network has left unexplained, each again given all others."""
        member, n_features = draw % self.model.n_members, values.shape[1]
        regressions = self.regressions if calibrate else []
        n_passes = 1 + (_N_MORE_PASSES if regressions else 0)
        numbers = torch.from_numpy(streams.uniform(draw, 2 * n_features * n_passes, rows))
        first, *others = numbers.split(2 * n_features, dim=1)

        def drawn(values, seen, numbers, shifts=None):
            order, levels = numbers.chunk(2, dim=1)
            return draw_cells(
                self.model,
                values,
                seen,
                turns(~visible, order),
                levels,
                points=self._points,
                member=member,
                grid=self._grid(),
                calibration=self.calibration if calibrate else None,
                matching=self.matching if calibrate else None,
                shifts=shifts,
                **options,
            )

        values = drawn(values, visible, first)
        if regressions:
            coefficients = np.random.default_rng([streams.seed, draw])
            shifts = regressions[member].drawn(self.model.heads.families, coefficients).of
            for numbers in others:
                values = drawn(values, torch.ones_like(visible), numbers, shifts)
        return values

    def _predicted(self, values, visible, levels, calibrate: bool, missing: bool) -> Predicted:
        """The distributions of the cells of some rows, at levels (n_levels, 1 or n_features). As in completing,
        cells that are only hidden have not been selected by anything."""
        model = steady(self.model)
        families, n_features = model.heads.families, values.shape[1]
        points, levels = self._points.to(next(model.parameters())), levels.to(self.device)
        known, trust = self._known(values, visible) if missing else (None, 0.0)
        known = torch.full_like(values, torch.nan) if known is None else known
        learned = (self.calibration, self.matching) if calibrate else (None, None)
        selection = self.selection if missing else None

        @torch.no_grad()
        def found(values, visible, known):
            params = [p.flatten(0, -4) for p in predictions_at(model, values, visible, points)]
            some = known if trust else None
            predictive = Predictive(families, params, *learned, selection, some, trust)
            at = predictive.at(levels[:, None].expand(-1, len(values), n_features))
            probs = [p.flatten(1) for p in predictive.probs() if p is not None]
            return torch.cat([at.permute(1, 2, 0).flatten(1), *probs], dim=1)

        size = chunk_size(model, len(points) * model.n_members)
        numbers = by_rows(found, model, size, values, visible, known).numpy()
        at, rest = np.split(numbers, [n_features * len(levels)], axis=1)
        probs: list[np.ndarray | None] = []
        for family in families:
            own = [None] * len(family.initial)
            if family.finite:
                n_codes = family.probs(family.initial).shape[-1]
                taken, rest = np.split(rest, [len(own) * n_codes], axis=1)
                own = list(taken.reshape(len(rest), len(own), n_codes).swapaxes(0, 1))
            probs += own
        return Predicted(at.reshape(len(values), n_features, -1), probs)

    def _blocks(self, rows: np.ndarray):
        """Places of the rows, block by block; none if there is no model."""
        places = rows.nonzero()[0] if self.model is not None else np.zeros(0, dtype=np.int64)
        return [places[some] for some in _slices(len(places), _BLOCK)]

    def intervals(
        self, table: pd.DataFrame, keep_empty: bool, coverage: float, calibrate: bool
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables of the lower and the upper ends of intervals for the missing cells of features with an order."""
        missing = self.encoder.missing(table)
        values, observed = self.encoder.encode(table, missing)
        ends = values.clone(), values.clone()
        levels = self._interval_levels(coverage, calibrate)
        for block in self._blocks(missing.any(axis=1)):
            predicted = self._predicted(
                values[block], observed[block], levels, calibrate, missing=True
            )
            for end, own in zip(ends, predicted.at.transpose(2, 0, 1), strict=True):
                end[block] = torch.from_numpy(own).to(end.dtype)
        written = missing & np.array([f.type.metric != "error rate" for f in self.encoder.schema])
        lower, upper = (
            self.encoder.decode(end.numpy(), table, written, keep_empty, possible=True)
            for end in ends
        )
        return lower, upper

    def _interval_levels(self, coverage: float, calibrate: bool) -> torch.Tensor:
        """Levels of both ends of intervals, (2, 1 or n_features)."""
        wanted = torch.tensor([coverage], dtype=torch.float64)
        if calibrate and self.calibration is not None:
            wanted = self.calibration.coverage(coverage).cpu()
        return torch.stack([(1 - wanted) / 2, (1 + wanted) / 2])

    def distributions(
        self, table: pd.DataFrame, quantiles: Sequence[float], calibrate: bool
    ) -> dict:
        """What is predicted for the missing cells of every modelled feature, {name: DataFrame}, a row a cell."""
        missing = self.encoder.missing(table)
        values, observed = self.encoder.encode(table, missing)
        means = values.clone()
        self._impute(means, observed, missing.any(axis=1), missing=True)
        levels = torch.cat([_MOMENTS, torch.tensor(quantiles, dtype=torch.float64)]).unsqueeze(1)
        order = self.encoder.table_order()
        columns = [i for i, feature in enumerate(self.encoder.schema) if feature.is_modelled]
        parts: dict[int, list[np.ndarray]] = {position: [] for position in order}
        for block in self._blocks(missing.any(axis=1)):
            predicted = self._predicted(
                values[block], observed[block], levels, calibrate, missing=True
            )
            for column, position in zip(columns, order, strict=True):
                cells = missing[block, column]
                numbers = predicted.probs[position]
                if numbers is None:
                    at = predicted.at[:, position]
                    moments, wanted = np.split(at, [len(_MOMENTS)], axis=1)
                    centre = moments @ _WEIGHTS
                    spread = ((moments - centre[:, None]) ** 2 @ _WEIGHTS) ** 0.5
                    mean = means[block, position].numpy()
                    numbers = np.column_stack([mean, spread, wanted])
                parts[position].append(numbers[cells])
        return {
            self.encoder.features[position].name: self.encoder.describe(
                position, parts[position], quantiles, table.index[missing[:, column]]
            )
            for column, position in zip(columns, order, strict=True)
        }

    def proper_scores(
        self,
        table: pd.DataFrame,
        complete: pd.DataFrame | None,
        coverage: float,
        weights: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """Scores of what is predicted for the cells of :meth:`errors`, a row a column of the table: see
        :meth:`skhvae.HeterogeneousVAEImputer.score_features`."""
        known, values, visible, hidden, missing = self._to_be_scored(table, complete)
        truth, present = self.encoder.encode(known)
        truth, present = truth.double().numpy(), present.numpy()
        ends = self._interval_levels(coverage, calibrate=True)
        levels = torch.from_numpy(_SCORED_LEVELS).unsqueeze(1)
        levels = torch.cat([x.expand(-1, truth.shape[1]) for x in (levels, ends)])
        scales, grid = self.encoder.error_scales().double().numpy(), self._grid().to("cpu")
        names = pd.Index(self.encoder.schema.names, name="feature", tupleize_cols=False)
        columns = [i for i, feature in enumerate(self.encoder.schema) if feature.is_modelled]
        cells: dict[int, list[pd.DataFrame]] = {column: [] for column in columns}
        for block in self._blocks(hidden.any(axis=1)):
            predicted = self._predicted(values[block], visible[block], levels, True, missing)
            at = grid.nearest(torch.from_numpy(predicted.at).movedim(2, 0)).movedim(0, 2).numpy()
            for column, position in zip(columns, self.encoder.table_order(), strict=True):
                wanted = hidden[block, column] & present[block, position]
                found = _scores_of(
                    self.encoder.features[position].type.metric,
                    truth[block, position][wanted],
                    at[wanted, position],
                    None
                    if predicted.probs[position] is None
                    else predicted.probs[position][wanted],
                    scales[position],
                )
                found["weight"] = 1.0 if weights is None else weights[block][wanted]
                cells[column].append(found)
        scores = pd.DataFrame(np.nan, index=names, columns=_PROPER_SCORES)
        for column, parts in cells.items():
            of_cells = pd.concat(parts) if parts else pd.DataFrame()
            if len(of_cells) and of_cells["weight"].sum() > 0:
                mean = of_cells.mul(of_cells["weight"], axis=0).sum() / of_cells["weight"].sum()
                scores.iloc[column] = mean.reindex(_PROPER_SCORES)
        return scores

    def log_densities(self, table: pd.DataFrame) -> np.ndarray:
        """Log density of the observed cells of every row, (n_rows,), nats in model units."""
        if self.model is None:
            return np.zeros(len(table))
        values, observed = self.encoder.encode(table)
        orders = torch.rand(_N_ORDERS, values.shape[1], generator=torch.Generator().manual_seed(0))
        densities = [
            log_density(self.model, values, turns(observed, order.expand_as(values)), self._points)
            for order in orders
        ]
        return (torch.stack(densities).logsumexp(0) - np.log(_N_ORDERS)).numpy()

    def synthesise(self, n_rows: int, seed: int) -> pd.DataFrame:
        """Rows like those of the training table, with its dtypes."""
        table = self.encoder.blank(n_rows)
        values, _ = self.encoder.encode(table)
        cells = np.zeros(table.shape, dtype=bool)
        cells[:, [not feature.is_empty for feature in self.encoder.schema]] = True
        if self.model is not None:
            nothing = torch.zeros(values.shape, dtype=torch.bool)
            streams = RowStreams(values, nothing, seed)
            for rows in _slices(n_rows, _DRAWN):
                values[rows] = self._draw(values[rows], nothing[rows], streams, rows, 0, True)
        return self.encoder.decode(values.numpy(), table, cells, keep_empty=True, possible=True)


def _slices(n_rows: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, n_rows, size)]


def _scores_of(metric: str, truth, at, probs, scale: float) -> pd.DataFrame:
    """Proper scores of a feature's cells: those that its kind of values has."""
    found = {}
    quantiles, low, high = np.split(at, [-2, -1], axis=1)
    if metric != "error rate":
        found["coverage"] = (low[:, 0] <= truth) & (truth <= high[:, 0])
        found["width"] = (high - low)[:, 0] * scale
    if probs is None:
        found["crps"] = crps_of_quantiles(truth, quantiles, _SCORED_LEVELS) * scale
    else:
        codes = truth.astype(np.int64)
        found["log_score"], found["brier"] = log_score(codes, probs), brier_score(codes, probs)
    return pd.DataFrame(found, dtype=np.float64)
