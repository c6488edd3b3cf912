"""Strategies at the places of a model, and the record of conflicts there."""

import numpy as np
import pytest
import torch

from skhvae.moo import Conflict, GradNorm, Impartiality, StackedGradients, as_strategy


def gradients(seed=0, n_features=4):
    rows = np.random.default_rng(seed).normal(size=(n_features, 7))
    return torch.from_numpy(rows)


def gramian(rows):
    return rows @ rows.T


def test_each_place_has_a_state_of_its_own():
    impartiality = Impartiality(GradNorm(learning_rate=0.5))
    for _ in range(3):
        here = impartiality.at("h").reconcile(StackedGradients(gradients()))[1]
    there = impartiality.at("s").reconcile(StackedGradients(gradients()))[1]
    again = impartiality.at("h").reconcile(StackedGradients(gradients()))[1]
    fresh = GradNorm(learning_rate=0.5)(gramian(gradients()))
    assert torch.equal(there, fresh)
    assert not torch.allclose(here, there)
    assert not torch.allclose(again, here)
    assert set(impartiality.places) == {"h", "s"}


def test_the_strategy_that_was_given_is_never_changed():
    mine = GradNorm()
    before = dict(vars(mine))
    Impartiality(mine).at("h").reconcile(StackedGradients(gradients()))
    assert vars(mine) == before


def test_what_a_given_strategy_remembers_is_forgotten():
    used = GradNorm(learning_rate=0.5)
    used(gramian(gradients(1)))
    weights = Impartiality(used).at("h").reconcile(StackedGradients(gradients()))[1]
    assert torch.equal(weights, GradNorm(learning_rate=0.5)(gramian(gradients())))


def test_places_within_another_pass_are_apart():
    impartiality = Impartiality(as_strategy("equal-norm"))
    within = impartiality.within("encoder")
    assert within.at("h") is within.at("h")
    assert within.at("h") is not impartiality.at("h")
    assert set(impartiality.places) == {"encoder: h", "h"}


def test_all_places_draw_from_the_lent_generator():
    generator = torch.Generator().manual_seed(0)
    impartiality = Impartiality(as_strategy("random"), generator)
    first, second = (
        impartiality.at(place).reconcile(StackedGradients(gradients()))[1] for place in "hs"
    )
    assert not torch.allclose(first, second)
    impartiality.lend(None)
    assert all(place.strategy.generator is None for place in impartiality.places.values())


def test_a_copy_on_another_device_is_complete():
    impartiality = Impartiality(GradNorm())
    impartiality.at("h").reconcile(StackedGradients(gradients()))
    place = impartiality.to("meta").at("h")
    assert place.conflict.mean_cosines.is_meta
    assert place.strategy._log_weights.is_meta
    assert not impartiality.at("h").conflict.mean_cosines.is_meta


# The record


def test_mean_cosines_are_numpys():
    conflict, steps = Conflict(), [gradients(seed) for seed in range(5)]
    for step in steps:
        conflict.add(gramian(step), torch.ones(4).double())
    unit = [step / step.norm(dim=1, keepdim=True) for step in steps]
    expected = torch.stack([u @ u.T for u in unit]).mean(0)
    torch.testing.assert_close(conflict.mean_cosines, expected)


def test_shares_and_weights_are_means_over_the_epoch():
    conflict = Conflict()
    signs = torch.tensor(
        [[1.0, 0.0], [-1.0, 1.0], [1.0, 1.0]]
    ).double()  # one pair of three conflicts
    none = torch.eye(3).double()
    conflict.add(gramian(signs), torch.tensor([1.0, 2.0, 3.0]).double())
    conflict.add(none, torch.tensor([3.0, 2.0, 1.0]).double())
    share, weights = conflict.epoch()
    assert share == pytest.approx(1 / 6)
    assert weights.tolist() == [2.0, 2.0, 2.0]
    conflict.add(none, torch.ones(3).double())
    assert conflict.epoch()[0] == 0  # the next epoch begins anew
    assert conflict.epoch() is None


def test_steps_without_a_gradient_do_not_count_for_the_feature():
    conflict, rows = Conflict(), gradients()
    gone = rows.clone()
    gone[2] = 0
    weights = torch.tensor([1.0, 1.0, 5.0, 1.0]).double()
    conflict.add(gramian(rows), weights)
    conflict.add(gramian(gone), torch.tensor([1.0, 1.0, 0.0, 1.0]).double())
    unit = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(conflict.mean_cosines, unit @ unit.T)
    assert conflict.epoch()[1][2] == 5.0


def test_features_that_never_had_a_gradient_have_no_cosine():
    conflict, rows = Conflict(), gradients()
    rows[1] = 0
    conflict.add(gramian(rows), torch.ones(4).double())
    assert conflict.mean_cosines[1].isnan().all()
    assert conflict.epoch()[1].isnan().tolist() == [False, True, False, False]


def test_a_step_that_is_not_finite_does_not_spoil_the_record():
    conflict = Conflict()
    conflict.add(gramian(gradients()), torch.ones(4).double())
    before = conflict.mean_cosines
    conflict.add(torch.full((4, 4), torch.nan).double(), torch.full((4,), torch.nan).double())
    assert torch.equal(conflict.mean_cosines, before)
    assert conflict.epoch()[1].tolist() == [1.0] * 4


def test_no_step_no_record():
    assert Conflict().epoch() is None
    assert Conflict().mean_cosines is None
