"""A small table with every feature type, encoded, and an untrained model of it; a batch and its losses."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from skhvae.assignment import assign_likelihoods
from skhvae.datasets import make_heterogeneous
from skhvae.encoding import TableEncoder
from skhvae.evaluation import hide_cells
from skhvae.likelihoods import Normal
from skhvae.models import CVAE, MODELS, VAE
from skhvae.moo import EqualNorm, FromCallable
from skhvae.objectives import OBJECTIVES
from skhvae.schema import infer_schema

# Without the default's reweighting of gradients, so that the loss is the log-likelihood.
PLAIN = dict.fromkeys(("real", "positive", "count", "datetime"), Normal(beta_nll=0.0))
PLAIN |= {"binary": "bernoulli", "nominal": "categorical", "ordinal": "categorical"}

WITH_DENSITY = {name: model for name, model in MODELS.items() if model.has_density}
# Every objective with every model that it is defined for.
PAIRS = [
    (objective, model)
    for objective, kind in OBJECTIVES.items()
    for model in (WITH_DENSITY if kind.weighs_points else MODELS)
]


@dataclass
class SmallProblem:
    """complete: the table without gaps; table: with a fifth of its cells missing; names, values and
    observed: in packed order."""

    complete: pd.DataFrame
    table: pd.DataFrame
    encoder: TableEncoder
    values: torch.Tensor
    observed: torch.Tensor
    model: VAE
    visible: torch.Tensor | None = None

    @property
    def names(self):
        return [str(feature.name) for feature in self.encoder.features]

    @property
    def by_median(self):
        return torch.tensor([f.type.estimate == "median" for f in self.encoder.features])


def encode(table, likelihoods=None, **schema):
    """A fitted encoder, values and observed."""
    schema = infer_schema(table, **schema)
    family = assign_likelihoods(schema, likelihoods)
    encoder = TableEncoder(schema, family, np.nan, "missing")
    values, observed = encoder.fit_encode(table)
    encoder.prepare(values, observed)
    return encoder, values, observed


def build(
    encoder, values, observed, model=CVAE, width=8, depth=1, dropout=0.0, seed=0, latent_dim=3
):
    """An untrained model of an encoded table."""
    return model(
        [(group.likelihood, len(group.features)) for group in encoder.groups],
        values,
        observed,
        encoder.n_symbols(),
        latent_dim,
        (width,) * depth,
        dropout,
        torch.Generator().manual_seed(seed),
    )


def sharpen(model, times=3.0):
    """Make its heads depend more on what they see."""
    model.eval()
    with torch.no_grad():
        for name, parameter in model.heads.named_parameters():
            if "bias" not in name:
                parameter *= times


def small_problem(model=CVAE, n_rows=50, likelihoods=None, weights_seed=0, **options):
    """The same table and weights in every call."""
    complete = make_heterogeneous(n_rows, random_state=0).data
    table, _ = hide_cells(complete, random_state=0)
    encoder, values, observed = encode(table, likelihoods)
    network = build(encoder, values, observed, model, seed=weights_seed, **options)
    return SmallProblem(complete, table, encoder, values, observed, network)


def batch(model=CVAE, n_rows=7):
    """A few rows of the table and a model in float64, with known families; a third of the observed
    cells are hidden from the encoder."""
    problem = small_problem(model, likelihoods=PLAIN)
    problem.model.double()
    problem.values = problem.values[:n_rows].double()
    problem.observed = problem.observed[:n_rows]
    problem.visible = problem.observed & (
        torch.rand(problem.observed.shape, generator=seeded(1)) > 1 / 3
    )
    assert (problem.observed & ~problem.visible).any(0).sum() > 3
    assert not problem.observed.all()
    assert problem.observed.any(0).all()
    return problem


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def loss_of(problem, objective, impartiality=None, seed=0, **changes):
    """The loss of the batch, with some of its tensors replaced."""
    tensors = [changes.pop(key, getattr(problem, key)) for key in ("values", "observed", "visible")]
    return objective(problem.model, *tensors, impartiality, seeded(seed), **changes)


def gradients(problem, objective, impartiality=None, **changes):
    """Of the total loss, for every parameter by name; zeros where it does not reach."""
    problem.model.zero_grad()
    loss_of(problem, objective, impartiality, **changes).total.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in problem.model.named_parameters()
    }


def shared(model):
    """The parameters that do not belong to a feature, by name."""
    return {name: p for name, p in model.named_parameters() if not name.startswith("heads.")}


def pulled_back(outputs, directions, parameters):
    """Gradients of the parameters, by name, for given gradients of what was computed from them."""
    found = torch.autograd.grad(
        outputs, [*parameters.values()], directions, allow_unused=True, retain_graph=True
    )
    return {
        name: torch.zeros_like(p) if g is None else g
        for (name, p), g in zip(parameters.items(), found, strict=True)
    }


# Strategies that are one line: each gradient divided by a power of its norm.
BY_NORM = {1: EqualNorm(), 2: FromCallable(lambda gramian: 1 / gramian.diagonal())}


def by_norm(losses, place, power):
    """The features' gradients at a place by a backward pass each; each divided by a power of its norm,
    their sum at the length of the plain sum."""
    rows = [torch.autograd.grad(loss, place, retain_graph=True)[0] for loss in losses]
    assert all(row.any() for row in rows)
    direction = sum(row / row.norm() ** power for row in rows)
    return direction * sum(rows).norm() / direction.norm()
