"""From a table to a trained model and back: encoder, model and inference wired together.

Knows nothing of scikit-learn: :class:`skhvae.HeterogeneousVAEImputer` checks parameters and columns,
and asks an :class:`Engine` for the rest.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from skhvae.encoding import TableEncoder
from skhvae.evaluation import imputation_errors
from skhvae.held_out import HeldOutCells, held_out_estimates, hold_out, some_of
from skhvae.inference import (
    impute_rows,
    latent_means,
    log_predictive,
)
from skhvae.missingness import explain_missingness
from skhvae.models import VAE
from skhvae.moo import Impartiality, as_strategy
from skhvae.objectives import Objective
from skhvae.repeats import RepeatedRows, repetitions_that_pay
from skhvae.schedule import TrainingPlan
from skhvae.selection import SelectionModel
from skhvae.training import TrainingRun, finish, train

__all__ = ["Engine", "Recipe"]

_BLOCK = 65_536  # rows completed at once, beside compact arrays for all
_MOST_HELD_OUT_ROWS = 16_384  # enough for a steady error, and cheap beside an epoch
# Of the observed cells, hidden to measure errors when no complete table is given.
_SCORED_SHARE = 0.1


@dataclass(frozen=True)
class Recipe:
    """Everything that training needs to know, resolved from the user's parameters.

    Attributes
    ----------
    made_for : int
        Rows of the table for which the sizes were chosen, the first one of a warm start.
    """

    made_for: int
    model: type[VAE]
    latent_dim: int
    hidden_layer_sizes: tuple[int, ...]
    dropout: float
    n_members: int
    objective: Objective
    moo: object  # as the user gave it
    plan: TrainingPlan
    validation_fraction: float
    mechanism: str
    use_repeated_rows: bool

    @property
    def architecture(self) -> dict:
        """What a model cannot change any more once it is made."""
        names = "model", "latent_dim", "hidden_layer_sizes", "dropout", "n_members"
        return {name: getattr(self, name) for name in names}


class Engine:
    """Learns a table and completes tables like it.

    Parameters
    ----------
    encoder : TableEncoder
        Not fitted yet.
    device : torch.device

    Attributes
    ----------
    model : VAE or None
        None if no column has anything to learn.
    run : TrainingRun
    impartiality : Impartiality or None
        The strategies as training left them, with what they remember.
    selection : SelectionModel or None
        What being missing says about a cell's value, if anything.
    missingness : DataFrame or None
        Why each feature's cells are missing; None without a model.
    repeats : RepeatedRows or None
        The table's rows, if they repeat each other and that helps.
    """

    def __init__(self, encoder: TableEncoder, device: torch.device):
        self.encoder, self.device = encoder, device
        self.model: VAE | None = None
        self.impartiality: Impartiality | None = None
        self.run = TrainingRun()
        self.held_out_errors: pd.DataFrame | None = None
        self.selection: SelectionModel | None = None
        self.missingness: pd.DataFrame | None = None
        self.repeats: RepeatedRows | None = None

    def fit(
        self,
        table: pd.DataFrame,
        recipe: Recipe,
        seed: int,
        report=None,
        previous: Engine | None = None,
    ) -> Engine:
        """Learn the observed cells of `table`; some are held out to stop in time.

        With a `previous` engine of the same encoder, training goes on from its model, and from what
        its strategies remember if they are those of `recipe`.
        """
        encode = self.encoder.encode if previous else self.encoder.fit_encode
        values, observed = encode(table)
        self.recipe = recipe
        features = self.encoder.features
        host = torch.Generator().manual_seed(seed)
        generator = host
        if self.device.type != "cpu":
            generator = torch.Generator(self.device).manual_seed(seed)
        self._latent_dim = recipe.n_members * recipe.latent_dim
        self._by_median = torch.tensor(
            [feature.type.estimate == "median" for feature in features], device=self.device
        )
        if not features or not observed.any():
            self._take_over(previous)
            return self
        held = hold_out(observed, recipe.validation_fraction, recipe.n_members, host)
        shown = observed & ~held
        self._take_over(previous)
        if self.model is None:
            self.model = self._new_model(values, observed, host).to(self.device)
        if self.impartiality is None:
            self.impartiality = Impartiality(as_strategy(recipe.moo))
        self.impartiality.lend(generator)
        loop = dict(
            objective=recipe.objective,
            impartiality=self.impartiality,
            plan=recipe.plan,
            generator=generator,
            names=_distinct_names(features),
            report=report,
        )
        # Antithetic pairs, and the centre if the number is odd.
        n_points, size = self.model.n_points, self.model.noise_dim
        half = torch.randn(n_points // 2, size, generator=host)
        self._points = torch.cat([half, -half, torch.zeros(n_points % 2, size)]).to(self.device)
        judge = self._judge(values, shown, held, host) if held.any() else None
        self.run = train(self.model, *self._useful(values, shown), held_out_errors=judge, **loop)
        if judge is not None:
            first = slice(_MOST_HELD_OUT_ROWS)
            estimates, cells = held_out_estimates(
                self.model,
                values[first],
                shown[..., first, :],
                held[..., first, :],
                self._points,
                self._by_median,
            )
            in_table = table[: len(cells)], self.encoder.in_table_order(cells)
            self.held_out_errors = self._errors_of(estimates, in_table[0], *in_table)
            if not self.run.interrupted:
                finish(self.model, *self._useful(values, observed), run=self.run, **loop)
            self.repeats = None
            if recipe.use_repeated_rows:
                self.repeats = repetitions_that_pay(
                    values, observed, cells, estimates, self._finite(), host
                )
        self.impartiality.lend(None)  # generators stay where they were made
        selection, report = explain_missingness(
            self.model, values, observed, self._points, features, recipe.mechanism, host
        )
        self.missingness = report.iloc[self._table_order()]
        self.selection = selection and selection.to(self.device)
        return self

    def _new_model(self, values, observed, generator) -> VAE:
        recipe = self.recipe
        return recipe.model(
            [(group.likelihood, len(group.features)) for group in self.encoder.groups],
            values,
            observed,
            self.encoder.n_symbols(),
            recipe.latent_dim,
            recipe.hidden_layer_sizes,
            recipe.dropout,
            generator,
            recipe.n_members,
        )

    def _take_over(self, previous: Engine | None) -> None:
        """Copies of what a previous engine has learned."""
        if previous is None or previous.model is None:
            return
        moved = previous.to(self.device)
        self.model, self._points = moved.model, moved._points
        self.selection, self.missingness = moved.selection, moved.missingness
        self.repeats = moved.repeats
        if previous.recipe.moo == self.recipe.moo:
            self.impartiality = moved.impartiality

    def _useful(self, values, observed):
        """The rows with something to learn from, on the device."""
        rows = observed.any(-1).view(-1, len(values)).any(0)
        if not rows.all():
            values, observed = values[rows], observed[..., rows, :]
        return values.to(self.device), observed.to(self.device)

    def _judge(self, values, shown, held, generator):
        rows = torch.randperm(len(values), generator=generator)[:_MOST_HELD_OUT_ROWS]
        cells = HeldOutCells(
            values[rows].to(self.device),
            shown[..., rows, :].to(self.device),
            held[..., rows, :].to(self.device),
            self._by_median,
            self._finite().to(self.device),
            self.encoder.error_scales().to(self.device),
        )
        return cells.errors

    def _finite(self) -> torch.Tensor:
        return torch.tensor([feature.type.finite for feature in self.encoder.features])

    def _impute(self, values, visible, rows: np.ndarray, missing: bool) -> None:
        """Put point estimates into the chosen rows of `values`, block by block, in place.

        Cells that are `missing` can be another population than the observed ones, and known to a
        repetition of the row; those that are only hidden, to measure, are neither: nothing has selected
        them, and the row itself may be among those that were learned.
        """
        if self.model is None:
            return
        selection = self.selection if missing else None
        rows = torch.from_numpy(rows.nonzero()[0])
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            estimates = impute_rows(
                self.model, values[some], visible[some], self._points, self._by_median, selection
            )
            if missing and self.repeats is not None:
                known = self.repeats.look_up(values[some], visible[some])
                estimates = torch.where(known.isnan(), estimates, known)
            values[some] = estimates

    def complete(self, table: pd.DataFrame, keep_empty: bool) -> tuple[pd.DataFrame, np.ndarray]:
        """The completed table, and which cells (n_rows, n_columns) were missing."""
        missing = self.encoder.missing(table)
        values, observed = self.encoder.encode(table, missing)
        self._impute(values, observed, missing.any(axis=1), missing=True)
        return self.encoder.decode(values.numpy(), table, missing, keep_empty), missing

    def errors(self, table: pd.DataFrame, complete: pd.DataFrame | None) -> pd.DataFrame:
        """Errors of the missing cells of `table` that `complete` knows; without it, of a tenth of the
        observed cells, the same in every call."""
        values, observed = self.encoder.encode(table)
        if complete is None:
            hidden = some_of(observed, _SCORED_SHARE, torch.Generator().manual_seed(0))
            cells = self.encoder.in_table_order(hidden)
            return self._errors(table, table, values, observed & ~hidden, cells, missing=False)
        hidden = self.encoder.missing(table) & ~self.encoder.missing(complete)
        return self._errors(table, complete, values, observed, hidden, missing=True)

    def _errors(self, table, complete, values, visible, hidden, missing) -> pd.DataFrame:
        """Errors of the `hidden` cells of `table`, imputed from the `visible` ones."""
        estimates = values.clone()
        self._impute(estimates, visible, hidden.any(axis=1), missing)
        return self._errors_of(estimates, table, complete, hidden)

    def _errors_of(self, estimates, table, complete, hidden) -> pd.DataFrame:
        imputed = self.encoder.decode(estimates.numpy(), table, hidden, keep_empty=True)
        if not pd.isna(self.encoder.missing_values):  # to the metrics, the marker is no value
            complete = complete.mask(self.encoder.missing(complete))
        return imputation_errors(complete, imputed, hidden, self.encoder.schema)

    def log_likelihood(self, table: pd.DataFrame, complete: pd.DataFrame) -> pd.Series:
        """Mean log predictive density, by feature, of the missing cells of `table` that `complete`
        knows, each given the row's observed ones, as if they were missing at random: nats a cell in model
        units, so that it compares models of one training table. NaN for features without such cells."""
        values, known = self.encoder.encode(complete)
        _, visible = self.encoder.encode(table)
        cells = known & ~visible
        density = log_predictive(self.model, values, visible, self._points)
        means = torch.where(cells, density, torch.nan).nanmean(0)
        names = pd.Index([f.name for f in self.encoder.features], tupleize_cols=False)
        return pd.Series(means.numpy(), index=names)

    def conflict(self) -> pd.DataFrame:
        """Mean cosine of each pair of features' gradients at h over training, before reconciling."""
        features = self.encoder.features
        names = pd.Index([f.name for f in features], name="feature", tupleize_cols=False)
        cosines = None
        if self.impartiality is not None:
            cosines = self.impartiality.at("h").conflict.mean_cosines
        values = np.nan if cosines is None else cosines.cpu().numpy()
        order = self._table_order()
        return pd.DataFrame(values, index=names, columns=names).iloc[order, order]

    def _table_order(self) -> list[int]:
        """Places in packed order of the modelled features as they follow each other in the table."""
        places = {feature: i for i, feature in enumerate(self.encoder.features)}
        return [places[feature] for feature in self.encoder.schema if feature.is_modelled]

    def latent(self, table: pd.DataFrame) -> np.ndarray:
        """Posterior mean of z of every row, (n_rows, n_members * latent_dim)."""
        if self.model is None:
            return np.zeros((len(table), self._latent_dim))
        values, observed = self.encoder.encode(table)
        return latent_means(self.model, values, observed).numpy()

    def to(self, device: torch.device) -> Engine:
        """A copy on another device."""
        moved = copy.copy(self)
        moved.device = device
        moved._by_median = self._by_median.to(device)
        if self.model is not None:
            moved._points = self._points.to(device)
            moved.model = copy.deepcopy(self.model).to(device)
        if self.impartiality is not None:
            moved.impartiality = self.impartiality.to(device)
        moved.selection = self.selection and self.selection.to(device)
        return moved


def _distinct_names(features) -> list[str]:
    """Names for the history, where the columns 1 and "1" differ too."""
    names = [str(feature.name) for feature in features]
    return names if len(set(names)) == len(names) else [repr(f.name) for f in features]
