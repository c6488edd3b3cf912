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

from skhvae.checkpoint import Checkpoints
from skhvae.encoding import TableEncoder
from skhvae.evaluation import imputation_errors, total_error
from skhvae.held_out import HeldOutCells, held_out_estimates, hold_out, some_of
from skhvae.inference import (
    chunk_size,
    impute_rows,
    latent_means,
    log_predictive,
)
from skhvae.memory import in_blocks
from skhvae.missingness import explain_missingness
from skhvae.models import VAE
from skhvae.moo import Impartiality, as_strategy
from skhvae.objectives import Objective
from skhvae.online import OnlineTraining
from skhvae.repeats import RepeatedRows, repetitions_that_pay
from skhvae.rows import by_content, drawn
from skhvae.schedule import TrainingPlan
from skhvae.selection import SelectionModel
from skhvae.training import NOBODY, TrainingRun, Watcher, finish, train

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
    online : OnlineTraining or None
        What training on a table that grows remembers.
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
        self.online: OnlineTraining | None = None

    def fit(
        self,
        table: pd.DataFrame,
        recipe: Recipe,
        seed: int,
        report=None,
        previous: Engine | None = None,
        checkpoints: Checkpoints | None = None,
        weights: np.ndarray | None = None,
        watcher: Watcher = NOBODY,
    ) -> Engine:
        """Learn the observed cells of `table`; some are held out to stop in time.

        In what order the rows stand does not matter. With `weights` (n_rows,), of mean 1, each row counts
        what they say: in the scales, in the batches and in the held-out errors. With a `previous` engine
        of the same encoder, training goes on from its model, and from what its strategies remember
        if they are those of `recipe`. With `checkpoints`, it goes on from where the same call was broken
        off.
        """
        values, observed, order = self._encode(table, recipe, previous, weights)
        counts = None if weights is None else torch.from_numpy(weights[order])
        features = self.encoder.features
        if not features or not observed.any():
            self._take_over(previous)
            return self
        stages = {"training": None, "last-stretch": None}
        if checkpoints is not None:
            call = self._call(values, observed, counts, recipe, previous)
            seed = checkpoints.begin(call, seed)
            stages = {stage: checkpoints.of(stage) for stage in stages}
        host, generator = self._generators(seed)
        held = hold_out(observed, recipe.validation_fraction, recipe.n_members, host)
        shown = observed & ~held
        self._prepare(values, observed, host, previous)
        self.impartiality.lend(generator)
        loop = dict(
            objective=recipe.objective,
            impartiality=self.impartiality,
            plan=recipe.plan,
            generator=generator,
            names=_distinct_names(features),
            report=report,
            watcher=watcher,
        )
        judge = self._judge(values, shown, held, counts, host) if held.any() else None
        self.run = train(
            self.model,
            *self._useful(values, shown, counts),
            held_out_errors=judge,
            checkpoint=stages["training"],
            **loop,
        )
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
            rows = order[: len(cells)]
            truth, hidden = table.iloc[rows], self.encoder.in_table_order(cells)
            own = None if weights is None else weights[rows]
            self.held_out_errors = self._errors_of(estimates, truth, truth, hidden, own)
            if not (self.run.interrupted or self.run.stopped):
                finish(
                    self.model,
                    *self._useful(values, observed, counts),
                    run=self.run,
                    checkpoint=stages["last-stretch"],
                    **loop,
                )
            self.repeats = None
            if recipe.use_repeated_rows:
                self.repeats = repetitions_that_pay(
                    values, observed, cells, estimates, self._finite(), host
                )
        self.impartiality.lend(None)  # generators stay where they were made
        self._explain(values, observed, host)
        self.online = None
        if checkpoints is not None and not self.run.interrupted:
            checkpoints.remove()
        return self

    def with_model(self, model: VAE, history: list[dict]) -> Engine:
        """A copy as it would be if training had ended with this model, and nothing were asked of it yet."""
        twin = copy.copy(self)
        twin.model, twin.run = model, TrainingRun(list(history))
        twin.impartiality = self.impartiality.to(self.device)
        twin.impartiality.lend(None)
        return twin

    def learn(
        self, table: pd.DataFrame, recipe: Recipe, seed: int, previous: Engine | None
    ) -> Engine:
        """Make one pass over a chunk of a table, after a `previous` engine of the same encoder.

        Before it learns them, it is measured how well a share of the chunk's cells is imputed.
        """
        values, observed, order = self._encode(table, recipe, previous, None)
        if not self.encoder.features or not observed.any():
            self._take_over(previous)
            return self
        host, generator = self._generators(seed)
        self._prepare(values, observed, host, previous)
        history = [] if previous is None else list(previous.run.history)
        if previous is not None and previous.model is not None and recipe.validation_fraction:
            hidden = some_of(observed, recipe.validation_fraction, host)
            cells, chunk = self.encoder.in_table_order(hidden), table.iloc[order]
            self.held_out_errors = self._errors(
                chunk, chunk, values, observed & ~hidden, cells, None, missing=False
            )
        self.online = self.online or OnlineTraining()
        self.impartiality.lend(generator)
        record = self.online.learn(
            self.model,
            *self._useful(values, observed, None)[:2],
            objective=recipe.objective,
            impartiality=self.impartiality,
            plan=recipe.plan,
            generator=generator,
            names=_distinct_names(self.encoder.features),
        )
        self.impartiality.lend(None)
        if self.held_out_errors is not None:
            record["held_out_error"] = total_error(self.held_out_errors)
        self.run = TrainingRun(history)
        self.run.add(record, None, len(history) + 1)
        rows = self.online.sample(values, observed, host)
        if rows is not None:
            self._explain(*rows, host)
        return self

    def _explain(self, values, observed, host) -> None:
        """Find out why cells are missing."""
        features, mechanism = self.encoder.features, self.recipe.mechanism
        selection, report = explain_missingness(
            self.model, values, observed, self._points, features, mechanism, host
        )
        self.missingness = report.iloc[self._table_order()]
        self.selection = selection and selection.to(self.device)

    def _call(self, values, observed, weights, recipe: Recipe, previous: Engine | None) -> tuple:
        """All that decides what fit computes, beside the seed."""
        before = previous and previous.model and previous.model.state_dict()
        before = before and {name: tensor.cpu().numpy() for name, tensor in before.items()}
        counts = None if weights is None else weights.numpy()
        table = values.numpy(), observed.numpy(), counts, repr(self.encoder.schema)
        return table, recipe, before, str(self.device), torch.__version__

    def _encode(self, table, recipe: Recipe, previous: Engine | None, weights):
        """The table's cells, and where in it the rows stand, which are ordered by what they hold."""
        if previous is None:
            values, observed = self.encoder.fit_encode(table, weights)
        else:
            values, observed = self.encoder.encode(table)
        order = by_content(values, observed, weights)
        values = torch.from_numpy(values.numpy()[order])
        observed = torch.from_numpy(observed.numpy()[order])
        if previous is None:
            self.encoder.prepare(values, observed)
        self.recipe = recipe
        self._latent_dim = recipe.n_members * recipe.latent_dim
        self._by_median = torch.tensor(
            [feature.type.estimate == "median" for feature in self.encoder.features],
            device=self.device,
        )
        return values, observed, order

    def _generators(self, seed: int) -> tuple[torch.Generator, torch.Generator]:
        """On the host and on the device, one and the same if these are."""
        host = torch.Generator().manual_seed(seed)
        if self.device.type == "cpu":
            return host, host
        return host, torch.Generator(self.device).manual_seed(seed)

    def _prepare(self, values, observed, host, previous: Engine | None) -> None:
        """A model, its strategies and its points: the previous ones, or new ones."""
        self._take_over(previous)
        if self.model is None:
            self.model = self._new_model(values, observed, host).to(self.device)
        if self.impartiality is None:
            self.impartiality = Impartiality(as_strategy(self.recipe.moo))
        # Antithetic pairs, and the centre if the number is odd.
        n_points, size = self.model.n_points, self.model.noise_dim
        half = torch.randn(n_points // 2, size, generator=host)
        self._points = torch.cat([half, -half, torch.zeros(n_points % 2, size)]).to(self.device)

    def _new_model(self, values, observed, generator) -> VAE:
        recipe = self.recipe
        return recipe.model(
            # Copies, since those of the encoder stay on the host.
            [
                (copy.deepcopy(group.likelihood), len(group.features))
                for group in self.encoder.groups
            ],
            values,
            observed,
            self.encoder.n_symbols(),
            recipe.latent_dim,
            recipe.hidden_layer_sizes,
            recipe.dropout,
            generator,
            recipe.n_members,
        )

    def restore_model(self, weights: dict[str, torch.Tensor]) -> None:
        """Make the model of this recipe and encoder anew, with the weights of another one like it.

        Parameters
        ----------
        weights : dict of str to Tensor
            Its ``state_dict()``.
        """
        shape = (
            1,
            len(self.encoder.features),
        )  # what was learned from the table is among the weights
        table = torch.zeros(shape), torch.ones(shape, dtype=torch.bool)
        model = self._new_model(*table, torch.Generator())
        model.load_state_dict(weights, assign=True)
        self.model = model.to(self.device).eval()

    def _take_over(self, previous: Engine | None) -> None:
        """Copies of what a previous engine has learned."""
        if previous is None or previous.model is None:
            return
        moved = previous.to(self.device)
        self.model, self._points = moved.model, moved._points
        self.selection, self.missingness = moved.selection, moved.missingness
        self.repeats, self.online = moved.repeats, moved.online
        if previous.recipe.moo == self.recipe.moo:
            self.impartiality = moved.impartiality

    def _useful(self, values, observed, weights):
        """The rows with something to learn from, and what each counts, on the device."""
        rows = observed.any(-1).view(-1, len(values)).any(0)
        if not rows.all():
            values, observed = values[rows], observed[..., rows, :]
            weights = None if weights is None else weights[rows]
        weights = None if weights is None else weights.to(self.device)
        return values.to(self.device), observed.to(self.device), weights

    def _judge(self, values, shown, held, weights, generator):
        n_rows = min(len(values), _MOST_HELD_OUT_ROWS)
        rows = drawn(weights, len(values), n_rows, generator)
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
        """Put point estimates into the chosen rows of `values`, block by block, in place; blocks get smaller
        where memory does not suffice, which changes nothing unless not even one chunk fits.

        Cells that are `missing` can be another population than the observed ones, and known to a
        repetition of the row; those that are only hidden, to measure, are neither: nothing has selected
        them, and the row itself may be among those that were learned.
        """
        if self.model is None:
            return
        selection = self.selection if missing else None
        rows = torch.from_numpy(rows.nonzero()[0])
        usual = chunk_size(self.model, len(self._points) * self.model.n_members)

        def impute(block: slice, size: int) -> None:
            some = rows[block]
            estimates = impute_rows(
                self.model,
                values[some],
                visible[some],
                self._points,
                self._by_median,
                selection,
                min(size, usual),
            )
            if missing and self.repeats is not None:
                known = self.repeats.look_up(values[some], visible[some])
                estimates = torch.where(known.isnan(), estimates, known)
            values[some] = estimates

        in_blocks(impute, len(rows), _BLOCK)

    def complete(self, table: pd.DataFrame, keep_empty: bool) -> tuple[pd.DataFrame, np.ndarray]:
        """The completed table, and which cells (n_rows, n_columns) were missing."""
        missing = self.encoder.missing(table)
        values, observed = self.encoder.encode(table, missing)
        self._impute(values, observed, missing.any(axis=1), missing=True)
        return self.encoder.decode(values.numpy(), table, missing, keep_empty), missing

    def errors(
        self, table: pd.DataFrame, complete: pd.DataFrame | None, weights: np.ndarray | None = None
    ) -> pd.DataFrame:
        """Errors of the missing cells of `table` that `complete` knows; without it, of a tenth of the
        observed cells, the same in every call. Each row counts what its weight says."""
        values, observed = self.encoder.encode(table)
        if complete is None:
            hidden = some_of(observed, _SCORED_SHARE, torch.Generator().manual_seed(0))
            cells = self.encoder.in_table_order(hidden)
            visible = observed & ~hidden
            return self._errors(table, table, values, visible, cells, weights, missing=False)
        hidden = self.encoder.missing(table) & ~self.encoder.missing(complete)
        return self._errors(table, complete, values, observed, hidden, weights, missing=True)

    def _errors(self, table, complete, values, visible, hidden, weights, missing) -> pd.DataFrame:
        """Errors of the `hidden` cells of `table`, imputed from the `visible` ones."""
        estimates = values.clone()
        self._impute(estimates, visible, hidden.any(axis=1), missing)
        return self._errors_of(estimates, table, complete, hidden, weights)

    def _errors_of(self, estimates, table, complete, hidden, weights) -> pd.DataFrame:
        imputed = self.encoder.decode(estimates.numpy(), table, hidden, keep_empty=True)
        if not pd.isna(self.encoder.missing_values):  # to the metrics, the marker is no value
            complete = complete.mask(self.encoder.missing(complete))
        return imputation_errors(complete, imputed, hidden, self.encoder.schema, weights)

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
        moved.online = self.online and self.online.to(device)
        return moved


def _distinct_names(features) -> list[str]:
    """Names for the history, where the columns 1 and "1" differ too."""
    names = [str(feature.name) for feature in features]
    return names if len(set(names)) == len(names) else [repr(f.name) for f in features]
