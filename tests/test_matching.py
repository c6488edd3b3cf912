"""Donors with the nearest predictions."""

import numpy as np
import torch

from skhvae.matching import Matching


def matching(n=500, seed=0):
    rng = np.random.default_rng(seed)
    means = torch.from_numpy(rng.standard_normal(n))
    return Matching([means, means[:10]], [2 * means, means[:10]]), means


def test_donors_are_those_with_the_nearest_predictions():
    matched, means = matching()
    donors = matched.donors(torch.tensor([0.0, -9.0, 9.0]), 0)
    ordered = means.sort().values
    assert torch.equal(donors[1], 2 * ordered[:40])
    assert torch.equal(donors[2], 2 * ordered[-40:])
    nearest = means[means.abs().argsort()[:20]]
    assert torch.isin(2 * nearest, donors[0]).all()
    assert (donors.diff(dim=1) >= 0).all()


def test_nobody_is_a_donor_of_his_own():
    matched, _ = matching()
    means, values, donors = matched.of_donors(0)
    assert donors.shape == (500, 40)
    assert not (donors == values.unsqueeze(1)).any()
    assert torch.equal(values, 2 * means)


def test_donors_of_other_features_are_forgotten():
    matched, _ = matching()
    matched.forget_others()
    assert not matched.is_possible(0)
    matched, _ = matching()
    matched.applies[0] = True
    matched.forget_others()
    assert matched.is_possible(0)
    assert matched.donors(torch.zeros(1), 0).shape == (1, 40)


def test_few_donors_are_none():
    matched, _ = matching()
    assert matched.is_possible(0)
    assert not matched.is_possible(1)
    assert not matched.applies.any()


def test_donors_are_carried_over_to_other_predictions():
    """Predictions that have become twice as large: a cell has the donors that it had."""
    rng = np.random.default_rng(0)
    means, predicted = torch.from_numpy(rng.standard_normal((2, 1000)))
    matching = Matching([means], [means + 1.0])
    before = matching.donors(predicted[:50], 0)
    matching.carry_over(0, predicted, 2 * predicted + 3)
    after = matching.donors(2 * predicted[:50] + 3, 0)
    assert torch.equal(before, after)
    nobody = Matching([means[:0]], [means[:0]])
    nobody.carry_over(0, predicted, predicted)
    assert not nobody.is_possible(0)
