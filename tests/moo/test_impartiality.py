"""Strategies at the places of a model, and the record of conflicts there."""

import copy
import pickle

import numpy as np
import pytest
import torch

from skhvae.moo import Chain, Conflict, GradNorm, Impartiality, StackedGradients, as_strategy


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


# Members


def weights_of(strategy, seed):
    return strategy.reconcile(StackedGradients(gradients(seed)))[1]


def after_steps(impartiality, n_steps=3, n_members=3):
    """Weights of the members' last step; each has met gradients of its own."""
    for step in range(n_steps):
        strategies = impartiality.at("h").of_members(n_members)
        weights = [weights_of(own, 10 * k + step) for k, own in enumerate(strategies)]
    return torch.stack(weights)


def strategies_of(place):
    """All members' strategies at a place, and those that they consist of."""
    for strategy in (place.strategy, *place._others):
        yield strategy
        if isinstance(strategy, Chain):
            yield from strategy.strategies


def test_each_member_has_a_state_of_its_own():
    impartiality = Impartiality(GradNorm(learning_rate=0.5))
    weights = after_steps(impartiality)
    alone = [GradNorm(learning_rate=0.5) for _ in range(3)]
    for step in range(3):
        expected = [weights_of(own, 10 * k + step) for k, own in enumerate(alone)]
    assert torch.equal(weights, torch.stack(expected))
    assert not torch.allclose(weights[0], weights[1])
    fresh = [weights_of(GradNorm(learning_rate=0.5), 10 * k + 2) for k in range(3)]
    assert not torch.allclose(weights, torch.stack(fresh))  # or the test shows nothing


def test_members_have_the_same_strategies_at_every_call():
    place = Impartiality(GradNorm()).at("h")
    assert len(place.of_members(3)) == 3
    first = [*strategies_of(place)]
    assert len(place.of_members(3)) == len(first) == 3
    assert all(one is other for one, other in zip(first, strategies_of(place), strict=True))
    assert len({id(strategy) for strategy in first}) == 3
    assert first[0] is place.strategy


def test_one_member_is_the_place_itself():
    impartiality = Impartiality(GradNorm(learning_rate=0.5))
    (only,) = impartiality.at("h").of_members(1)
    weights_of(only, 0)
    fresh = GradNorm(learning_rate=0.5)
    weights_of(fresh, 0)
    assert torch.equal(weights_of(impartiality.at("h"), 1), weights_of(fresh, 1))


def test_members_share_the_record():
    impartiality, expected = Impartiality(GradNorm()), Conflict()
    weights = after_steps(impartiality, n_steps=1)
    for k in range(3):
        expected.add(gramian(gradients(10 * k)), weights[k])
    conflict = impartiality.at("h").conflict
    torch.testing.assert_close(conflict.mean_cosines, expected.mean_cosines)
    share, means = conflict.epoch()
    assert share == pytest.approx(expected.epoch()[0])
    torch.testing.assert_close(means, weights.mean(0))


@pytest.mark.parametrize("name", ["pcgrad", "random", ("gradnorm", "pcgrad")], ids=str)
def test_all_members_draw_from_the_lent_generator(name):
    """Lent before the members were made, or afterwards."""
    generator, other = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    impartiality = Impartiality(as_strategy(name), generator)
    before = torch.get_rng_state()
    state = generator.get_state()
    after_steps(impartiality)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(generator.get_state(), state)
    found = [*strategies_of(impartiality.at("h"))]
    assert len(found) == (9 if isinstance(name, tuple) else 3)
    assert all(strategy.generator is generator for strategy in found if not is_chain(strategy))
    impartiality.lend(other)
    assert all(strategy.generator is other for strategy in found if not is_chain(strategy))
    impartiality.lend(None)
    assert all(strategy.generator is None for strategy in found)


def is_chain(strategy):
    """Lends on what it is lent."""
    return isinstance(strategy, Chain)


@pytest.mark.parametrize("name", ["gradnorm", ("gradnorm", "gradvac")], ids=str)
def test_a_copy_on_another_device_has_all_members(name):
    impartiality = Impartiality(as_strategy(name), torch.Generator())
    after_steps(impartiality)
    here = impartiality.tensors()
    assert all(tensor.device.type == "cpu" for tensor in here)
    assert len(here) > len(Impartiality(as_strategy(name)).tensors()) + 3 * 4
    moved = impartiality.to("meta")
    there = moved.tensors()
    assert [tensor.shape for tensor in there] == [tensor.shape for tensor in here]
    assert all(tensor.is_meta for tensor in there)
    assert len(moved.at("h").of_members(3)) == 3


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda thing: pickle.loads(pickle.dumps(thing)),
        lambda thing: thing.to("cpu"),
    ],
    ids=["deepcopy", "pickle", "to"],
)
@pytest.mark.parametrize("name", ["gradnorm", ("gradnorm", "gradvac")], ids=str)
def test_a_copy_goes_on_by_itself(name, copied):
    """As the original does, and without moving it."""
    impartiality = Impartiality(as_strategy(name), torch.Generator())
    after_steps(impartiality)
    impartiality.lend(None)
    twin = copied(impartiality)
    for each in (impartiality, twin):
        each.lend(torch.Generator().manual_seed(0))
    ours = after_steps(twin)
    assert twin.at("h").strategy is not impartiality.at("h").strategy
    assert torch.equal(ours, after_steps(impartiality))
    cosines = [each.at("h").conflict.mean_cosines for each in (impartiality, twin)]
    assert torch.equal(*cosines)


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
