"""The estimator: the only module that knows scikit-learn's machinery; it wires the rest."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from skhvae.assignment import assign_likelihoods
from skhvae.callbacks import CallbackSupportMixin, FitTask, with_callbacks
from skhvae.checkpoint import Checkpoints
from skhvae.chunks import chunks_of, one_table, refuse_chunks, sample_rows
from skhvae.columns import check_columns, same_names
from skhvae.encoding import TableEncoder
from skhvae.engine import Engine
from skhvae.evaluation import total_error
from skhvae.parameters import CONSTRAINTS, check_parameters, resolve_device
from skhvae.progress import report_of
from skhvae.recipe import recipe_of
from skhvae.schema import Schema, infer_schema
from skhvae.table import as_table, in_form_of, is_table, missing_cells
from skhvae.uncertainty import UncertaintyMixin, check_coverage
from skhvae.weights import check_weights, repetitions

if TYPE_CHECKING:
    from skhvae.likelihoods import Likelihood
    from skhvae.typing import FeatureTypes, Moo, RandomState, Table

__all__ = ["HeterogeneousVAEImputer"]

_GROWING = 10_000  # rows that a table which comes in chunks is taken to have at least


class HeterogeneousVAEImputer(
    UncertaintyMixin, CallbackSupportMixin, TransformerMixin, BaseEstimator
):
    """Impute a table of mixed types with a heterogeneous VAE and impartial gradients.

    Feature types are inferred from the DataFrame's dtypes; every type has a likelihood of its own;
    the features' conflicting gradients are reconciled, where they meet, by a multi-objective
    optimisation strategy (Javaloy, Meghdadi and Valera 2022, arXiv 2206.04496).

    Parameters
    ----------
    missing_values : scalar, default=np.nan
        What marks a missing cell, beside NaN, None, NaT and pd.NA, which always do.
    feature_types : "infer" or dict, default="infer"
        ``{column: type}`` for the columns whose type is not to be inferred; types are "real",
        "positive", "count", "binary", "nominal", "ordinal", "datetime".
    likelihoods : dict or None, default=None
        ``{column or type: name or Likelihood}``; names are in ``skhvae.likelihoods.LIKELIHOODS``.
    model : {"cvae", "vae", "hivae"}, default="cvae"
        The conditional VAE, p(hidden | z, visible), the VAE of the papers, or HI-VAE.
    objective : {"elbo", "iwae", "dreg"}, default="elbo"
        What training minimises: the evidence lower bound, the importance-weighted bound, or the same
        bound by doubly reparameterised gradients. HI-VAE has the first alone.
    n_importance_samples : int, default=5
        Points of the posterior a row and step, for "iwae" and "dreg".
    moo : str, Strategy, callable, or tuple of these, default="equal-norm"
        How the features' gradients become one; names are in ``skhvae.moo.strategy_names()``. A
        callable maps the features' Gramian to weights; TorchJD's ``Weighting`` and ``Aggregator``
        instances serve too. Several are applied in order: ``("gradnorm", "pcgrad")`` is first sizes,
        then directions.
    preset : {"fast", "default", "best"}, default="default"
        How much to spend: what "auto" stands for in `n_members`, `hidden_layer_sizes` and `max_steps`.
        "fast" takes a fifth to a quarter of the default's time for 5 to 10 % more error; "best" takes several
        times as long. They are in ``skhvae.presets.PRESETS``.
    latent_dim : int, default=64
        Size of z.
    hidden_layer_sizes : tuple of int or "auto", default="auto"
        One entry for each residual block of the encoder and of the trunk; all equal.
    n_members : int or "auto", default="auto"
        Networks alike that are trained side by side, from other initial weights and with other cells
        hidden and held out; their mean prediction imputes. "auto" takes 4 below 1,000 rows, where they
        help most and cost least.
    bootstrap : bool, default=False
        Let every member learn rows drawn with replacement, so that the members differ as fits to other samples of
        the same population would: draws of :meth:`sample_imputations` then carry what is not known of the
        model's parameters, as Rubin's rules ask. Best guesses get somewhat worse.
    dropout : float, default=0.0
        Share of hidden units left out at a training step.
    beta : float, default=0.1
        Weight of the KL term.
    batch_size : int or "auto", default="auto"
        Rows a step; "auto" takes about a twelfth of the rows, between 32 and 512.
    learning_rate_init : float, default=2e-3
        Peak of the learning rate's schedule.
    alpha : float, default=1e-4
        AdamW's weight decay.
    max_iter : int, default=400
        Largest number of epochs.
    max_steps : int or "auto", default="auto"
        Number of steps after which a large table's training ends before `max_iter`; a few epochs (10, with
        "fast" 2) are made in any case where `max_iter` allows them.
    early_stopping : bool, default=True
        Hold out a share of the observed cells, from every member its own, stop when their error no
        longer falls, and keep the weights that imputed them best.
    validation_fraction : float, default=0.1
        Share of the observed cells to hold out.
    n_iter_no_change : int, default=50
        Epochs without improvement after which training is brought to its end: the learning rate
        falls to zero within three tenths of the planned epochs.
    tol : float, default=0.0
        Smallest fall of the held-out error that counts as improvement.
    warm_start : bool, default=False
        Let a further call of fit go on from the fitted model, and from what its strategies remember,
        instead of starting anew. The columns, their types, levels and ranges stay those of the first
        call. Where rows are given again, the errors on held-out cells are optimistic: earlier
        calls have learned these cells.
    handle_unknown : {"missing", "error"}, default="missing"
        A level not seen in fit is kept in the output and taken as missing by the model, or
        refused.
    add_indicator : bool, default=False
        Append indicators of missing cells for the columns that had any in fit.
    keep_empty_features : bool, default=False
        Keep columns without an observed cell in fit: filled with 0 if they store numbers, left
        missing otherwise.
    mechanism : {"auto", "mar", "mnar"}, default="auto"
        Why cells are missing. "mar", at random: for what other columns hold, or by chance. "mnar", not at
        random: a cell's own value decides, in every column; missing cells then are another population
        than the observed ones, and are estimated as such. "auto" asks of every column which of the two
        predicts its gaps better.
    use_repeated_rows : bool, default=True
        Where rows of the training table repeat each other, and held-out cells show that it helps, take what
        is missing in a row from one that agrees with it in all that both know. The estimator then
        keeps up to 65,536 rows of the table.
    checkpoint_dir : path-like or None, default=None
        Where fit writes, every half a minute, how far it is. The same call on the same table goes on from there if it
        was broken off, by a crash or Ctrl-C, and ends as if it had not been; the files are deleted when fit has
        come to its end. They are pickles: use a folder to which nobody else can write.
    device : str, default="auto"
        "auto" takes CUDA when there is one; otherwise any name that torch knows.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness; an int makes fit and transform reproducible.
    verbose : int, default=0
        1 prints the schema and a line an epoch; 2 draws a bar on a terminal (standard error) instead.

    Attributes
    ----------
    feature_types_ : dict
        {column: type} as inferred or declared.
    schema_ : Schema
        Every column's type and the reason for it; prints as a table.
    history_ : DataFrame
        A row an epoch: loss and KL (nats a row), held-out error, and both by feature; the share of
        pairs of features whose gradients conflict, and what each feature's gradient counted.
    gradient_conflict_ : DataFrame of shape (n_modelled_features, n_modelled_features)
        Mean cosine of each pair of features' gradients at the shared representation, over all training
        steps, before they are reconciled; negative: they conflict.
    feature_errors_ : DataFrame
        Error of every feature on the cells held out in fit, as :meth:`score_features` gives it; with several
        members, of those alone that did not learn the cell, which is more than the error of all together.
    missingness_ : DataFrame or None
        A row a modelled feature: "n_missing" cells; the "mechanism" taken, "mar" or "mnar"; and how much
        better than by chance the gaps are explained by the "other_gaps" of a row, a cell's "own_value" and the "other_values", in
        nats less the number of free parameters, NaN where that was not asked.
    n_iter_ : int
        Epochs run.
    n_features_in_ : int
    n_samples_seen_ : int
        Rows of the training table, of all its chunks.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only if all column names are strings.
    indicator_ : MissingIndicator or None
    device_ : torch.device
        Where the model is.

    See Also
    --------
    sklearn.impute.IterativeImputer : One regression a column, for numbers.

    Notes
    -----
    An epoch costs O(n_rows * (n_features + number of levels)). A row's imputation depends on that
    row alone, not on what stands beside it, and what fit learns does not depend on the order of the rows.
    Observed cells are never changed.

    From scikit-learn 1.9 on, ``set_callbacks`` takes its callbacks; epochs are the subtasks of fit.

    References
    ----------
    .. [1] Javaloy, Meghdadi, Valera, "Mitigating modality collapse in multimodal VAEs via
       impartial optimization", ICML 2022, arXiv 2206.04496.
    .. [2] Nazabal, Olmos, Ghahramani, Valera, "Handling incomplete heterogeneous data using VAEs",
       2020, arXiv 1807.03653.

    Examples
    --------
    >>> from skhvae import HeterogeneousVAEImputer
    >>> from skhvae.datasets import make_heterogeneous
    >>> from skhvae.evaluation import hide_cells
    >>> table, hidden = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
    >>> complete = HeterogeneousVAEImputer(max_iter=5, random_state=0).fit_transform(table)
    >>> int(table.isna().sum().sum()) > 0, int(complete.isna().sum().sum())
    (True, 0)
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        *,
        missing_values: Any = np.nan,
        feature_types: FeatureTypes = "infer",
        likelihoods: Mapping[Hashable, str | Likelihood] | None = None,
        model: Literal["cvae", "vae", "hivae"] = "cvae",
        objective: Literal["elbo", "iwae", "dreg"] = "elbo",
        n_importance_samples: int = 5,
        moo: Moo | tuple[Moo, ...] = "equal-norm",
        preset: Literal["fast", "default", "best"] = "default",
        latent_dim: int = 64,
        hidden_layer_sizes: Sequence[int] | Literal["auto"] = "auto",
        n_members: int | Literal["auto"] = "auto",
        bootstrap: bool = False,
        dropout: float = 0.0,
        beta: float = 0.1,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate_init: float = 2e-3,
        alpha: float = 1e-4,
        max_iter: int = 400,
        max_steps: int | Literal["auto"] = "auto",
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 50,
        tol: float = 0.0,
        warm_start: bool = False,
        handle_unknown: Literal["missing", "error"] = "missing",
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        mechanism: Literal["auto", "mar", "mnar"] = "auto",
        use_repeated_rows: bool = True,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.missing_values = missing_values
        self.feature_types = feature_types
        self.likelihoods = likelihoods
        self.model = model
        self.objective = objective
        self.n_importance_samples = n_importance_samples
        self.moo = moo
        self.preset = preset
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.dropout = dropout
        self.beta = beta
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.max_iter = max_iter
        self.max_steps = max_steps
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.handle_unknown = handle_unknown
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.mechanism = mechanism
        self.use_repeated_rows = use_repeated_rows
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Table, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Infer the feature types of `X` and train on its observed cells.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            With missing cells, or without any. Of pandas, polars or Arrow, or whatever offers
            ``__arrow_c_stream__`` or ``__dataframe__``, which takes pyarrow. A table larger than memory can
            come in chunks: a path of a Parquet, Feather or CSV file or of a folder of them, a list of
            paths, a dataset of pyarrow, or a list or an iterator of tables. They are read once, and up to
            2**20 rows, or 2**25 cells, drawn at random from all of them are learned.
        y : ignored
            Callbacks alone are given it.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            What each row counts. Whole numbers are counts: fit does what it does for a table in which the
            row stands so many times, as long as that table has at most 65,536 rows, or not more than
            `X`. Otherwise a row is trained on as often as its share of the weights says. Rows of weight 0
            are as good as absent.

        Returns
        -------
        HeterogeneousVAEImputer
            Itself. If fit raises, it is as it was before.

        Raises
        ------
        ValueError, TypeError
            Before training starts: for parameters out of range, for columns that have no feature
            type or do not fit the declared one, for infinities, for fewer than two rows, for weights that
            are negative, not finite, all zero, or not one a row.
        FloatingPointError
            If training diverges.
        """
        fitted = self._fitted(X, y, sample_weight)
        self.__dict__ = fitted.__dict__  # at once: an interruption finds the one or the other
        return self

    @with_callbacks
    def _fitted(self, X, y, sample_weight) -> Self:
        """A stand-in that has learned everything, so that a failed fit leaves this object as it was."""
        fitted = object.__new__(type(self))
        previous = getattr(self, "_engine", None) if self.warm_start else None
        fitted.__dict__.update(
            {
                k: v
                for k, v in vars(self).items()
                if previous or k.startswith("_") or not k.endswith("_")
            }
        )
        task = FitTask(self, X, y, sample_weight)
        fitted._fit(X, sample_weight, previous, task)
        task.close(fitted.__dict__)
        return fitted

    def _fit(self, X, sample_weight, previous: Engine | None, task: FitTask) -> None:
        check_parameters(self)
        device = resolve_device(self.device)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        chunks, weights = chunks_of(X), None
        if chunks is not None:
            if sample_weight is not None:
                raise ValueError(
                    "sample_weight is for the rows of one table, but X comes in chunks. Pass a table, or "
                    "leave out the weights."
                )
            X, n_rows = sample_rows(chunks, np.random.default_rng(seed))
        table = check_columns(self, X, as_table(X), reset=previous is None)
        self.n_samples_seen_ = len(table) if chunks is None else n_rows
        if sample_weight is not None:
            rows, weights = repetitions(check_weights(sample_weight, len(table)))
            table = table.iloc[rows]
        if len(table) < 2:
            raise ValueError(
                f"At least 2 rows are needed to learn from, found n_samples = {len(table)}."
            )
        recipe = recipe_of(self, *table.shape, previous.recipe if previous else None)
        if previous is None:
            encoder = self._new_encoder(table, named=is_table(X))
        else:
            encoder = previous.encoder
            recipe.check_goes_on(previous.recipe)
        if self.verbose == 1:
            print(encoder.schema)
        self.indicator_ = self._new_indicator(encoder.missing(table))
        engine = Engine(encoder, device)
        task.attributes = lambda model, history: (
            vars(self) | _learned(engine.with_model(model, history))
        )
        engine.fit(
            table,
            recipe,
            seed=seed,
            report=report_of(self.verbose),
            previous=previous,
            checkpoints=None
            if self.checkpoint_dir is None
            else Checkpoints(self.checkpoint_dir, any_seed=self.random_state is None),
            weights=weights,
            watcher=task,
        )
        self.__dict__.update(_learned(engine))

    def partial_fit(self, X: Table, y: Any = None, schema: Schema | None = None) -> Self:
        """Learn a chunk of a table that grows: one pass over it.

        The first call decides what the columns are, and their scales, so its chunk should be neither small
        nor special. All levels that categorical dtypes declare are levels, whether they are observed or
        not; other new ones are unknown, see `handle_unknown`. After :meth:`fit`, training goes on from there.
        For several passes, call it several times.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        y : ignored
        schema : Schema or None, default=None
            What the columns are, for the first call, as ``skhvae.schema.infer_schema`` finds it in a table that
            shows more than the first chunk does.

        Returns
        -------
        HeterogeneousVAEImputer
            Itself. ``n_iter_`` counts the calls. ``feature_errors_``, and "held_out_error" in ``history_``, are
            those of a share `validation_fraction` of the chunk's observed cells before they are learned; there
            are none after the first call. If it raises, the estimator is as it was before.

        Raises
        ------
        ValueError, TypeError
            As for :meth:`fit`; if a column of `schema` has no observed cell in the first chunk; if a
            parameter that decides the network's size has been changed.

        Notes
        -----
        The learning rate rises in 100 steps and falls, after 1,000, with the root of their number; a moving
        average of the weights imputes. Why cells are missing is asked of a sample of all rows whenever these
        have become twice as many.

        Examples
        --------
        >>> from skhvae import HeterogeneousVAEImputer
        >>> from skhvae.datasets import make_heterogeneous
        >>> from skhvae.evaluation import hide_cells
        >>> table, _ = hide_cells(make_heterogeneous(200, random_state=0).data, random_state=0)
        >>> imputer = HeterogeneousVAEImputer(random_state=0)
        >>> for start in range(0, 200, 50):
        ...     imputer = imputer.partial_fit(table[start : start + 50])
        >>> imputer.n_samples_seen_, int(imputer.transform(table).isna().sum().sum())
        (200, 0)
        """
        fitted = object.__new__(type(self))
        fitted.__dict__.update(vars(self))
        fitted._learn_chunk(X, schema, getattr(self, "_engine", None))
        self.__dict__ = fitted.__dict__
        return self

    def _learn_chunk(self, X, schema: Schema | None, previous: Engine | None) -> None:
        check_parameters(self)
        device = resolve_device(self.device)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        table = check_columns(self, X, one_table(X), reset=previous is None)
        n_seen = 0 if previous is None else self.n_samples_seen_
        # A table that grows is taken for a large one.
        made_for = max(len(table), _GROWING)
        recipe = recipe_of(self, *table.shape, previous.recipe if previous else None, made_for)
        if previous is None:
            if len(table) < 2:
                raise ValueError(
                    f"At least 2 rows are needed to begin with, found n_samples = {len(table)}."
                )
            encoder = self._new_encoder(table, named=is_table(X), schema=schema, growing=True)
            self.indicator_ = self._new_indicator(encoder.missing(table))
        else:
            encoder = previous.encoder
            recipe.check_goes_on(previous.recipe)
        # Other numbers for every chunk.
        seed = int(np.random.SeedSequence([seed, n_seen]).generate_state(1)[0])
        engine = Engine(encoder, device).learn(table, recipe, seed, previous)
        self.n_samples_seen_ = n_seen + len(table)
        self.__dict__.update(_learned(engine))

    def _new_indicator(self, missing: np.ndarray) -> MissingIndicator | None:
        if not self.add_indicator:
            return None
        indicator = MissingIndicator(features="missing-only", error_on_new=False)
        indicator.set_output(transform="default")  # whatever is set everywhere
        return indicator.fit(_as_nan(missing))

    def _new_encoder(self, table, named: bool, schema=None, growing=False) -> TableEncoder:
        if schema is None:
            schema = infer_schema(
                table, self.feature_types, self.missing_values, named, all_levels=growing
            )
        else:
            observed = [
                (~missing_cells(column, self.missing_values)).sum() for _, column in table.items()
            ]
            schema.check(table, observed)
        schema.warn_about_empty(self.keep_empty_features)
        likelihoods = assign_likelihoods(schema, self.likelihoods)
        return TableEncoder(schema, likelihoods, self.missing_values, self.handle_unknown)

    def fit_transform(self, X: Table, y: Any = None, **fit_params: Any) -> Any:
        """:meth:`fit` to `X`, and :meth:`transform` it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            Not in chunks.
        y : ignored
        **fit_params
            For :meth:`fit`.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, n_features_out)
        """
        refuse_chunks(X)  # before training
        return super().fit_transform(X, y, **fit_params)

    def transform(self, X: Table) -> Any:
        """Fill the missing cells of `X`; observed cells are returned as they are.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
            With the columns of the training table, of the same library or another one.

        Returns
        -------
        DataFrame or ndarray of shape (n_rows, n_features_out)
            As `X`, of its library, with its dtypes, categories, names and index (of pandas, if `X`
            is neither of polars nor Arrow, nor an array); ``set_output`` overrides. Columns without an
            observed cell in fit are left out unless ``keep_empty_features=True``; indicators follow
            if ``add_indicator=True``.

        Raises
        ------
        ValueError
            For other columns than in fit, for values that cannot be read as their column's
            feature type, and for infinities.
        """
        check_is_fitted(self)
        own, table = self._own_and_table(X)
        completed, missing = self._engine.complete(table, self.keep_empty_features)
        return self._given_back(X, own, completed, missing)

    def _given_back(self, X, own, completed, missing):
        """A completed table, of the columns of `own`, in the form of `X`."""
        flags = None
        if self.indicator_ is not None:
            flags = self.indicator_.transform(_as_nan(missing))
        container = _get_output_config("transform", self)["dense"]
        if container == "default" and not is_table(X):
            array = completed.to_numpy()
            return array if flags is None else np.hstack([array, flags])
        same = same_names(own.columns, self.schema_.names)  # others may follow a fit to an array
        names = own.columns if same else pd.Index(self._names())
        completed.columns = names[self._kept()]
        if flags is not None and flags.shape[1]:
            names = self.indicator_.get_feature_names_out(self._names())
            names = pd.Index(names, name=completed.columns.name)
            flags = pd.DataFrame(flags, index=completed.index, columns=names)
            completed = pd.concat([completed, flags], axis=1)
        kept = np.flatnonzero(self._kept()).tolist()
        return in_form_of(X, own, completed, missing, kept, container)

    def _kept(self) -> list[bool]:
        """Which columns transform returns."""
        return [self.keep_empty_features or not feature.is_empty for feature in self.schema_]

    def _names(self) -> list[str]:
        """Column names, or x0, x1, ... where they are no strings, as scikit-learn has it."""
        names = enumerate(self.schema_.names)
        return [name if isinstance(name, str) else f"x{i}" for i, name in names]

    def encode(self, X: Table) -> np.ndarray:
        """The posterior mean of z for every row, given its observed cells.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows, n_members * latent_dim)
            Each member has a latent space of its own; they stand side by side.
        """
        check_is_fitted(self)
        return self._engine.latent(self._own_and_table(X)[1])

    def score(self, X: Table, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean error of the features: greater is better.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        y : DataFrame or array-like of shape (n_rows, n_features), optional
            The complete table. Without it, or with the target of a Pipeline (one dimension), a
            tenth of the observed cells of `X` is hidden, the same ones in every call, and must be
            recovered.
        sample_weight : array-like of shape (n_rows,) or None, default=None
            What each row counts in the errors.

        Returns
        -------
        float
            Minus the mean over features of :meth:`score_features`' errors.
        """
        return -total_error(self.score_features(X, y, sample_weight))

    def score_features(
        self,
        X: Table,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        proper_scores: bool = False,
        coverage: float = 0.9,
    ) -> pd.DataFrame:
        """Error of every feature, beside that of mean and mode on the same cells.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_features)
        y : DataFrame or array-like of shape (n_rows, n_features), optional
        sample_weight : array-like of shape (n_rows,) or None, default=None
            As in :meth:`score`.
        proper_scores : bool, default=False
            Whether to score the predicted distributions, too.
        coverage : float, default=0.9
            Of the intervals that are scored.

        Returns
        -------
        DataFrame of shape (n_features, 6), or (n_features, 11) with proper scores
            See :func:`skhvae.evaluation.imputation_errors`. The proper scores are means over the cells, smaller
            is better: ``crps``, of numbers, divided by their range; ``log_score`` (nats) and ``brier``, of
            features with levels; beside them, of features with an order, ``coverage``, the share of the cells in
            :meth:`predict_interval`'s intervals, and ``width`` of these, divided by the range or the number of
            levels. NaN where a feature has no such score.
        """
        check_is_fitted(self)
        check_coverage(coverage)
        table = self._own_and_table(X)[1]
        complete = None
        if is_table(y) or np.ndim(y) == 2:
            complete = self._own_and_table(y)[1]
            if complete.shape != table.shape:
                raise ValueError(
                    f"y must be the complete table of X's shape {table.shape}, found {complete.shape}."
                )
        weights = None if sample_weight is None else check_weights(sample_weight, len(table))
        errors = self._engine.errors(table, complete, weights)
        if not proper_scores:
            return errors
        scores = self._engine.proper_scores(table, complete, coverage, weights)
        return errors.join(scores.set_axis(errors.index))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names to use where fit saw none.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        names = np.asarray(_check_feature_names_in(self, input_features), dtype=object)
        flags = [] if self.indicator_ is None else self.indicator_.get_feature_names_out(names)
        return np.concatenate([names[self._kept()], flags]).astype(object)

    def __getstate__(self):
        state = dict(super().__getstate__())
        if (
            "_engine" in state
        ):  # a pickle must load where there is no CUDA: tensors travel on the CPU
            state["_engine"] = state["_engine"].to(torch.device("cpu"))
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "_engine" in state:
            if self.device_.type == "cuda" and not torch.cuda.is_available():
                self.device_ = torch.device("cpu")
            self._engine = self._engine.to(self.device_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _learned(engine: Engine) -> dict:
    """What a trained engine makes of the estimator, by attribute."""
    schema, history = engine.encoder.schema, pd.DataFrame(engine.run.history)
    return {
        "_engine": engine,
        "device_": engine.device,
        "schema_": schema,
        "feature_types_": schema.types,
        "history_": history.set_index("epoch") if len(history) else history,
        "n_iter_": len(history),
        "feature_errors_": engine.held_out_errors,
        "gradient_conflict_": engine.conflict(),
        "missingness_": engine.missingness,
    }


def _as_nan(missing: np.ndarray) -> np.ndarray:
    """The pattern alone, in the form that scikit-learn's indicator reads for any dtype."""
    return np.where(missing, np.nan, 0.0)
