"""Errors of cells that training does not see."""

import numpy as np
import pytest
import torch
from small_problem import build, encode, sharpen, small_problem

from skhvae.evaluation import imputation_errors
from skhvae.held_out import HeldOutCells
from skhvae.inference import point_estimates
from skhvae.models import MODELS


@pytest.mark.parametrize("model", MODELS.values())
def test_held_out_errors_are_those_of_the_evaluation(model):
    problem = small_problem(model)
    table = problem.complete.drop(columns="count_1")  # its estimates would be rounded
    encoder, values, observed = encode(table)
    network = build(encoder, values, observed, model)
    sharpen(network, 1.2)  # the table would clip estimates beyond its range
    chance = torch.rand(values.shape, generator=torch.Generator().manual_seed(0))
    held = chance < 0.4
    held[:, 3] = False  # a feature without held-out cells
    by_median = torch.tensor([f.type.estimate == "median" for f in encoder.features])
    finite = torch.tensor([f.type.finite for f in encoder.features])
    cells = HeldOutCells(values, ~held, held, by_median, finite, encoder.error_scales())
    errors = cells.errors(network)

    centre = torch.zeros(1, network.noise_dim)
    estimates = point_estimates(network, values, ~held, centre, by_median)
    hidden = encoder.in_table_order(held)
    imputed = encoder.decode(estimates.numpy(), table, hidden, keep_empty=True)
    expected = imputation_errors(table, imputed, hidden)["error"]
    names = [feature.name for feature in encoder.features]
    assert errors[3].isnan()
    assert set(by_median.tolist()) == set(finite.tolist()) == {True, False}
    np.testing.assert_allclose(errors.numpy(), expected[names], rtol=1e-4)
