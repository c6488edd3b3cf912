"""What features offer to explain one another."""

import numpy as np
import torch
from mixed_table import mixed_table
from scipy.stats import norm
from small_problem import encode

from skhvae.explanatory import Columns

N = 600


def test_columns_are_standardised_where_they_are_observed():
    table = mixed_table(np.random.default_rng(0))
    hidden = np.arange(N)[:, None] % 5 == np.arange(table.shape[1])
    encoder, values, observed = encode(table.mask(hidden))
    columns = Columns(values, observed, encoder.features)
    known = observed[:, columns.owners]
    found = torch.where(known, columns.of(values), torch.nan)
    zeros = torch.zeros(len(columns.owners), dtype=torch.float64)
    torch.testing.assert_close(found.nanmean(0), zeros, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.square().nanmean(0), zeros + 1)
    names = [encoder.features[i].name for i in columns.owners.tolist()]
    # One of a number, of ordered levels and of a flag; of kinds one less than there are.
    assert sorted(names) == sorted(["real", "skewed", "grade", "flag", "kind", "kind"])


def test_columns_of_numbers_are_normal_scores():
    table = mixed_table(np.random.default_rng(0))[["real", "skewed"]]
    encoder, values, observed = encode(table)
    found = Columns(values, observed, encoder.features).of(values).numpy()
    for column in found.T:
        expected = norm.ppf((np.argsort(np.argsort(column)) + 0.5) / N)
        assert np.corrcoef(column, expected)[0, 1] > 0.995


def test_columns_of_what_does_not_vary_explain_nothing():
    encoder, values, observed = encode(mixed_table(np.random.default_rng(0)))
    columns = Columns(values[:1], observed[:1], encoder.features)
    assert (columns.of(values) == 0).all()
    nothing = Columns(values, torch.zeros_like(observed), encoder.features)
    assert (nothing.of(values) == 0).all()
