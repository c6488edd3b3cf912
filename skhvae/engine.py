"""From a table to a trained model: encoder, model and training wired together.

Knows nothing of scikit-learn: :class:`skhvae.HeterogeneousVAEImputer` checks parameters and columns,
and asks an :class:`Engine` for the rest.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch

from skhvae.checkpoint import Checkpoints
from skhvae.encoding import TableEncoder
from skhvae.evaluation import total_error
from skhvae.forecaster import Forecaster
from skhvae.gaps import odds_of_missing
from skhvae.held_out import HeldOutCells, held_out_estimates, hold_out, some_of
from skhvae.missingness import explain_missingness
from skhvae.models import VAE, lead
from skhvae.moo import Impartiality, as_strategy
from skhvae.online import OnlineTraining
from skhvae.recalibration import carry_over, recalibrate
from skhvae.recipe import Recipe
from skhvae.repeats import repetitions_that_pay
from skhvae.residuals import regress_residuals
from skhvae.rows import by_content, drawn
from skhvae.run import NOBODY, TrainingRun, Watcher
from skhvae.training import finish, train

__all__ = ["Engine"]

_MOST_HELD_OUT_ROWS = 16_384  # enough for a steady error, and cheap beside an epoch


class Engine(Forecaster):
    """Learns a table, and then completes tables like it.

    Parameters
    ----------
    encoder : TableEncoder
        Not fitted yet.
    device : torch.device

    Attributes
    ----------
    run : TrainingRun
    impartiality : Impartiality or None
        The strategies as training left them, with what they remember.
    held_out_errors : DataFrame or None
        Errors on the cells held out in training.
    missingness : DataFrame or None
        Why each feature's cells are missing; None without a model.
    online : OnlineTraining or None
        What training on a table that grows remembers.
    """

    def __init__(self, encoder: TableEncoder, device: torch.device):
        super().__init__(encoder, device)
        self.impartiality: Impartiality | None = None
        self.run = TrainingRun()
        self.held_out_errors: pd.DataFrame | None = None
        self.missingness: pd.DataFrame | None = None
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
        sampled = self._sampled(counts, len(values), host)
        loop = dict(
            objective=recipe.objective,
            impartiality=self.impartiality,
            plan=recipe.plan,
            generator=generator,
            names=self.encoder.distinct_names(),
            report=report,
            watcher=watcher,
        )
        judge = self._judge(values, shown, held, counts, host) if held.any() else None
        self.run = train(
            self.model,
            *self._useful(values, shown, sampled),
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
            before = copy.deepcopy(self.model)  # it has not learned the held-out cells
            if not (self.run.interrupted or self.run.stopped):
                finish(
                    self.model,
                    *self._useful(values, observed, sampled),
                    run=self.run,
                    checkpoint=stages["last-stretch"],
                    **loop,
                )
            self.repeats = known = None
            if recipe.use_repeated_rows:
                self.repeats = repetitions_that_pay(
                    values, observed, cells, estimates, self._finite(), host
                )
            if self.repeats is not None:
                seen = values[first], observed[first] & ~cells
                known = self.repeats.look_up(*seen, np.arange(len(cells)))
            of_rows = values[first], shown[..., first, :], held[..., first, :]
            self._calibrate(before, *of_rows, seed, known)
        self.impartiality.lend(None)  # generators stay where they were made
        self._explain(values, observed, host)
        self._regress(values, observed, seed)
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
            of_members = (*lead(recipe.n_members), *hidden.shape)
            shown, hidden = (x.expand(of_members) for x in (observed & ~hidden, hidden))
            self._calibrate(self.model, values, shown, hidden, seed)
        self.online = self.online or OnlineTraining()
        self.impartiality.lend(generator)
        record = self.online.learn(
            self.model,
            *self._useful(values, observed, self._sampled(None, len(values), host)),
            objective=recipe.objective,
            impartiality=self.impartiality,
            plan=recipe.plan,
            generator=generator,
            names=self.encoder.distinct_names(),
        )
        self.impartiality.lend(None)
        if self.held_out_errors is not None:
            record["held_out_error"] = total_error(self.held_out_errors)
        self.run = TrainingRun(history)
        self.run.add(record, None, len(history) + 1)
        rows = self.online.sample(values, observed, host)
        if rows is not None:
            self._explain(*rows, host)
            self._regress(*rows, seed)
        return self

    def _calibrate(self, model: VAE, values, shown, held, seed: int, known=None) -> None:
        """Learn from held-out cells what predicted distributions turn out to be."""
        half_steps, generator = self.encoder.ranges()[2] / 2, np.random.default_rng(seed)
        observed = (shown | held).view(-1, *values.shape)[0]  # all members' is the same
        log_odds = odds_of_missing(values, observed, self.encoder.features)
        learned = recalibrate(
            model, values, shown, held, self._points, half_steps, generator, log_odds, known
        )
        if model is not self.model:
            carry_over(*learned, (model, self.model), values, observed, self._points)
        self.calibration, self.matching = (x.to(self.device) for x in learned)

    def _explain(self, values, observed, host) -> None:
        """Find out why cells are missing."""
        features, mechanism = self.encoder.features, self.recipe.mechanism
        selection, report = explain_missingness(
            self.model, values, observed, self._points, features, mechanism, host
        )
        self.missingness = report.iloc[self.encoder.table_order()]
        self.selection = selection and selection.to(self.device)

    def _regress(self, values, observed, seed: int) -> None:
        """Find out what the model has left unexplained, in what is calibrated."""
        if self.calibration is None:
            return
        found = regress_residuals(
            self.model,
            values,
            observed,
            self.encoder.features,
            self.encoder.ranges()[2] / 2,
            seed,
            points=self._points,
            grid=self._grid(),
            calibration=self.calibration,
            matching=self.matching,
            selection=self.selection,
        )
        self.regressions = [regression.to(self.device) for regression in found]

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
            model = self.recipe.new_model(self.encoder, values, observed, host)
            self.model = model.to(self.device)
        if self.impartiality is None:
            self.impartiality = Impartiality(as_strategy(self.recipe.moo))
        # Antithetic pairs, and the centre if the number is odd.
        n_points, size = self.model.n_points, self.model.noise_dim
        half = torch.randn(n_points // 2, size, generator=host)
        self._points = torch.cat([half, -half, torch.zeros(n_points % 2, size)]).to(self.device)

    def restore_model(self, weights: dict[str, torch.Tensor]) -> None:
        """Make the model of this recipe and encoder anew, with the weights of another one like it.

        Parameters
        ----------
        weights : dict of str to Tensor
            Its ``state_dict()``.
        """
        # What was learned from the table is among the weights: any other will do.
        shape = 1, len(self.encoder.features)
        table = torch.zeros(shape), torch.ones(shape, dtype=torch.bool)
        model = self.recipe.new_model(self.encoder, *table, torch.Generator())
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
        self.calibration, self.matching = moved.calibration, moved.matching
        self.regressions = moved.regressions
        if previous.recipe.moo == self.recipe.moo:
            self.impartiality = moved.impartiality

    def _sampled(self, weights, n_rows: int, host) -> torch.Tensor | None:
        """How often each row is learned: as its weight says, or every member's own bootstrap sample of them (by
        Poisson numbers: Oza and Russell 2001, section 2)."""
        if not self.recipe.bootstrap:
            return weights
        rates = torch.ones(n_rows, dtype=torch.float64) if weights is None else weights
        counts = torch.poisson(rates.expand(self.recipe.n_members, -1), generator=host)
        return torch.where(counts.any(1, keepdim=True), counts, rates)

    def _useful(self, values, observed, weights):
        """The rows with something to learn from, and what each counts, on the device."""
        rows = observed.any(-1).view(-1, len(values)).any(0)
        if not rows.all():
            values, observed = values[rows], observed[..., rows, :]
            weights = None if weights is None else weights[..., rows]
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

    def conflict(self) -> pd.DataFrame:
        """Mean cosine of each pair of features' gradients at h over training, before reconciling."""
        features = self.encoder.features
        names = pd.Index([f.name for f in features], name="feature", tupleize_cols=False)
        cosines = None
        if self.impartiality is not None:
            cosines = self.impartiality.at("h").conflict.mean_cosines
        values = np.nan if cosines is None else cosines.cpu().numpy()
        order = self.encoder.table_order()
        return pd.DataFrame(values, index=names, columns=names).iloc[order, order]

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
        moved.calibration = self.calibration and self.calibration.to(device)
        moved.matching = self.matching and self.matching.to(device)
        moved.regressions = [regression.to(device) for regression in self.regressions]
        moved.online = self.online and self.online.to(device)
        return moved
