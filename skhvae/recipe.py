"""How a table is to be learned: the user's parameters, with what "auto" stands for filled in."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from skhvae.encoding import TableEncoder
from skhvae.models import MODELS, VAE
from skhvae.objectives import OBJECTIVES, Objective
from skhvae.presets import PRESETS, batch_size
from skhvae.schedule import TrainingPlan

__all__ = ["Recipe", "recipe_of"]


@dataclass(frozen=True)
class Recipe:
    """Everything that training needs to know.

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
    bootstrap: bool
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

    def check_goes_on(self, previous: Recipe) -> None:
        """Raise a ValueError unless training can go on with a model that was made by another recipe."""
        for name, value in previous.architecture.items():
            if self.architecture[name] != value:
                raise ValueError(
                    "warm_start=True and partial_fit go on with the fitted model, which was made with "
                    f"another {name}. Leave {name} as it was, or fit with warm_start=False to start anew."
                )

    def new_model(
        self, encoder: TableEncoder, values: Tensor, observed: Tensor, generator: torch.Generator
    ) -> VAE:
        """An untrained model of the features of an encoder, on the CPU."""
        # Copies of the likelihoods, since those of the encoder stay on the host.
        groups = [(copy.deepcopy(g.likelihood), len(g.features)) for g in encoder.groups]
        return self.model(
            groups,
            values,
            observed,
            encoder.n_symbols(),
            self.latent_dim,
            self.hidden_layer_sizes,
            self.dropout,
            generator,
            self.n_members,
        )


def recipe_of(
    estimator,
    n_rows: int,
    n_columns: int,
    previous: Recipe | None = None,
    made_for: int | None = None,
) -> Recipe:
    """The recipe that an estimator's parameters mean for a table.

    Parameters
    ----------
    estimator : HeterogeneousVAEImputer
    n_rows, n_columns : int
        Of the table.
    previous : Recipe or None
        Of the model that training goes on with: it keeps its size, however many rows come later.
    made_for : int or None
        Rows for which to choose the sizes of a new model, if not `n_rows`.
    """
    made_for = previous.made_for if previous else made_for or n_rows
    effort = PRESETS[estimator.preset].effort(made_for, n_columns)

    def given_or(name, default):
        value = getattr(estimator, name)
        return default if isinstance(value, str) else value

    return Recipe(
        made_for=made_for,
        model=MODELS[estimator.model],
        latent_dim=estimator.latent_dim,
        hidden_layer_sizes=tuple(given_or("hidden_layer_sizes", effort.hidden_layer_sizes)),
        dropout=estimator.dropout,
        n_members=given_or("n_members", effort.n_members),
        bootstrap=estimator.bootstrap,
        objective=_objective_of(estimator),
        moo=estimator.moo,
        plan=TrainingPlan(
            max_iter=estimator.max_iter,
            max_steps=given_or("max_steps", effort.max_steps),
            min_iter=effort.min_iter,
            batch_size=min(int(given_or("batch_size", batch_size(n_rows))), n_rows),
            learning_rate=estimator.learning_rate_init,
            weight_decay=estimator.alpha,
            n_iter_no_change=estimator.n_iter_no_change,
            tol=estimator.tol,
        ),
        validation_fraction=estimator.validation_fraction if estimator.early_stopping else 0.0,
        mechanism=estimator.mechanism,
        use_repeated_rows=estimator.use_repeated_rows,
    )


def _objective_of(estimator) -> Objective:
    kind, beta = OBJECTIVES[estimator.objective], estimator.beta
    return kind(beta, estimator.n_importance_samples) if kind.weighs_points else kind(beta)
