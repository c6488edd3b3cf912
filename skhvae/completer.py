"""Tables completed, and errors measured, by what has been learned from one like them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from skhvae.encoding import TableEncoder
from skhvae.evaluation import imputation_errors
from skhvae.held_out import some_of
from skhvae.inference import chunk_size, impute_rows, latent_means, log_predictive
from skhvae.memory import in_blocks
from skhvae.models import VAE
from skhvae.repeats import RepeatedRows
from skhvae.selection import SelectionModel

__all__ = ["Completer"]

_BLOCK = 65_536  # rows completed at once, beside compact arrays for all
# Of the observed cells, hidden to measure errors when no complete table is given.
_SCORED_SHARE = 0.1


class Completer:
    """Completes tables; whoever learns from one gives it what it needs.

    Parameters
    ----------
    encoder : TableEncoder
    device : torch.device
        Where the model is.

    Attributes
    ----------
    model : VAE or None
        None if no column has anything to learn.
    selection : SelectionModel or None
        What being missing says about a cell's value, if anything.
    repeats : RepeatedRows or None
        The training table's rows, if they repeat each other and that helps.
    """

    # Set with the model.
    _points: torch.Tensor  # (S, noise_dim), of every posterior
    _by_median: torch.Tensor  # bool (n_features,)
    _latent_dim: int

    def __init__(self, encoder: TableEncoder, device: torch.device):
        self.encoder, self.device = encoder, device
        self.model: VAE | None = None
        self.selection: SelectionModel | None = None
        self.repeats: RepeatedRows | None = None

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
        truth, values, visible, hidden, missing = self._to_be_scored(table, complete)
        return self._errors(table, truth, values, visible, hidden, weights, missing)

    def _to_be_scored(self, table: pd.DataFrame, complete: pd.DataFrame | None):
        """The table that knows the truth; what is visible of the encoded one; and the cells to be imputed from
        it, (n_rows, n_columns), which are missing or only hidden."""
        values, observed = self.encoder.encode(table)
        if complete is None:
            hidden = some_of(observed, _SCORED_SHARE, torch.Generator().manual_seed(0))
            cells = self.encoder.in_table_order(hidden)
            return table, values, observed & ~hidden, cells, False
        hidden = self.encoder.missing(table) & ~self.encoder.missing(complete)
        return complete, values, observed, hidden, True

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

    def latent(self, table: pd.DataFrame) -> np.ndarray:
        """Posterior mean of z of every row, (n_rows, n_members * latent_dim)."""
        if self.model is None:
            return np.zeros((len(table), self._latent_dim))
        values, observed = self.encoder.encode(table)
        return latent_means(self.model, values, observed).numpy()
