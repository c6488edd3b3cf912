"""A small table with every feature type, encoded, and an untrained model of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from skhvae.assignment import assign_likelihoods
from skhvae.datasets import make_heterogeneous
from skhvae.encoding import TableEncoder
from skhvae.evaluation import hide_cells
from skhvae.models import CVAE, VAE
from skhvae.schema import infer_schema


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
    return encoder, *encoder.fit_encode(table)


def build(encoder, values, observed, model=CVAE, width=8, depth=1, dropout=0.0, seed=0):
    """An untrained model of an encoded table."""
    return model(
        [(group.likelihood, len(group.features)) for group in encoder.groups],
        values,
        observed,
        encoder.n_symbols(),
        3,
        (width,) * depth,
        dropout,
        torch.Generator().manual_seed(seed),
    )


def small_problem(model=CVAE, n_rows=50, likelihoods=None, weights_seed=0, **options):
    """The same table and weights in every call."""
    complete = make_heterogeneous(n_rows, random_state=0).data
    table, _ = hide_cells(complete, random_state=0)
    encoder, values, observed = encode(table, likelihoods)
    network = build(encoder, values, observed, model, seed=weights_seed, **options)
    return SmallProblem(complete, table, encoder, values, observed, network)
