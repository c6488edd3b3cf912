"""What every objective promises; and the ELBO against a slow one, rows and features in loops."""

import numpy as np
import pytest
import torch
from scipy import stats
from small_problem import (
    BY_NORM,
    PAIRS,
    batch,
    by_norm,
    gradients,
    loss_of,
    pulled_back,
    seeded,
    shared,
)

import skhvae.objectives
from skhvae.models import MODELS
from skhvae.moo import STRATEGIES, Impartiality, as_strategy
from skhvae.objectives import ELBO, OBJECTIVES, Objective

BETA = 0.7


@pytest.fixture(params=MODELS)
def problem(request):
    return batch(MODELS[request.param])


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request):
    """A batch, and an objective that its model is made for."""
    objective, model = request.param
    return batch(MODELS[model]), OBJECTIVES[objective](BETA)


def impartial(name):
    return Impartiality(as_strategy(name), seeded())


# Every objective, with every model that it is defined for


def test_registered_objectives_are_public():
    for objective in OBJECTIVES.values():
        assert issubclass(objective, Objective)
        assert objective.__name__ in skhvae.objectives.__all__


def test_every_objective_and_every_model_is_tried():
    assert {objective for objective, _ in PAIRS} == set(OBJECTIVES)
    assert {model for _, model in PAIRS} == set(MODELS)


@pytest.mark.parametrize("objective", OBJECTIVES.values())
def test_objectives_are_made_of_beta(objective):
    assert objective(0.3).beta == 0.3


def test_cells_that_are_not_observed_have_no_influence(pair):
    problem, objective = pair
    other = torch.where(problem.observed, problem.values, problem.values.flip(0))
    assert not torch.equal(other, problem.values)
    before, after = loss_of(problem, objective), loss_of(problem, objective, values=other)
    for part in ("features", "kl", "total"):
        assert torch.equal(getattr(before, part), getattr(after, part))


def test_hidden_cells_of_every_feature_are_targets(pair):
    problem, objective = pair
    whole = loss_of(problem, objective).features
    for feature in range(len(problem.names)):
        observed = problem.observed.clone()
        observed[problem.visible[:, feature].logical_not(), feature] = False
        hidden = (observed != problem.observed).any()
        without = loss_of(problem, objective, observed=observed).features
        assert (without[feature] != whole[feature]) == hidden


def test_features_without_an_observed_cell_have_no_loss_and_no_gradient(pair):
    problem, objective = pair
    heads = dict(problem.model.heads.named_parameters())
    features = loss_of(problem, objective).features
    own, others = (
        pulled_back([loss], [torch.ones_like(loss)], heads)
        for loss in (features[2], features.sum() - features[2])
    )
    observed = problem.observed.clone()
    observed[:, 2] = False
    changes = {"observed": observed, "visible": problem.visible & observed}
    assert loss_of(problem, objective, **changes).features[2] == 0
    found = gradients(problem, objective, impartial("mgda"), **changes)
    assert all(gradient.isfinite().all() for gradient in found.values())
    for name in heads:
        gradient = found[f"heads.{name}"]
        assert not gradient[own[name] != 0].any()
        assert gradient[others[name] != 0].all()


def test_every_parameter_learns(pair):
    for name, gradient in gradients(*pair).items():
        assert gradient.any(), name


def test_the_plain_sum_is_plain_backpropagation(pair):
    plain, ours = (gradients(*pair, strategy) for strategy in (None, impartial("sum")))
    for name, expected in plain.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "sum"])
def test_strategies_change_what_features_share_alone(pair, name):
    """Neither the heads nor, in HI-VAE, the prior."""
    problem, _ = pair
    plain, ours = (gradients(*pair, strategy) for strategy in (None, impartial(name)))
    posterior = problem.model.encode(problem.values, problem.visible)
    noise = torch.ones(len(problem.values), problem.model.noise_dim, dtype=torch.float64)
    params = problem.model.params(posterior.at(noise), posterior)
    way = pulled_back(params, [torch.ones_like(p) for p in params], shared(problem.model))
    for part, expected in plain.items():
        on_the_way = part in way and way[part].any().item()
        same = torch.allclose(ours[part], expected, rtol=1e-9, atol=1e-12)
        assert same != on_the_way, part


# Where features meet: at these places in one pass through the model; and the passes of an objective.
PLACES = {"cvae": {"h"}, "vae": {"h"}, "hivae": {"h", "s"}}
PASSES = {"elbo": {""}, "iwae": {""}, "dreg": {"", "encoder: "}}


@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_places_of_impartiality(objective, model):
    blocks = impartial("equal-norm")
    gradients(batch(MODELS[model]), OBJECTIVES[objective](BETA), blocks)
    expected = {of + place for of in PASSES[objective] for place in PLACES[model]}
    assert set(blocks.places) == expected
    assert all(place.conflict.mean_cosines is not None for place in blocks.places.values())


def test_the_loss_is_the_same_with_and_without_impartiality(pair):
    plain, ours = (loss_of(*pair, strategy) for strategy in (None, impartial("mgda")))
    for part in ("features", "kl", "total"):
        torch.testing.assert_close(getattr(ours, part), getattr(plain, part), rtol=1e-12, atol=0)


def test_the_loss_is_the_same_without_gradients(pair):
    expected = loss_of(*pair)
    with torch.no_grad():
        loss = loss_of(*pair)
    for part in ("features", "kl", "total"):
        assert torch.equal(getattr(loss, part), getattr(expected, part))


def test_the_total_is_the_sum_of_its_parts(pair):
    problem, objective = pair
    loss = loss_of(problem, objective)
    assert loss.features.shape == (len(problem.names),)
    assert loss.total.item() == pytest.approx((loss.features.sum() + BETA * loss.kl).item())


def test_the_generator_decides(pair):
    before = torch.get_rng_state()
    first, again, other = (loss_of(*pair, seed=seed).total for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first != other
    assert torch.equal(torch.get_rng_state(), before)


# The ELBO


def log_density(family, eta, value, n_levels):
    """Of one cell, by scipy; `eta` are the raw parameters of its feature."""
    name = type(family).__name__
    if name == "Normal":
        loc, scale = (p.item() for p in family.constrained(eta))
        return stats.norm(loc, scale).logpdf(value)
    if name == "Bernoulli":
        return stats.bernoulli(1 / (1 + np.exp(-eta.item()))).logpmf(value)
    assert name == "Categorical"
    shares = np.exp(eta[:n_levels].numpy())
    return np.log(shares[int(value)] / shares.sum())


@pytest.mark.parametrize("visible_weight", [1.0, 0.25, 0.0])
def test_equals_a_slow_elbo(problem, visible_weight):
    model, n_rows = problem.model, len(problem.values)
    with torch.no_grad():
        q = model.encode(problem.values, problem.visible)
        points = q.at(torch.randn(n_rows, model.noise_dim, dtype=torch.float64, generator=seeded()))
        params, kl = model.params(points, q), q.kl(points).mean().item()
    families = [
        (family, eta[:, own])
        for family, eta in zip(model.heads.families, params, strict=True)
        for own in range(eta.shape[1])
    ]
    expected = np.zeros(len(families))
    for feature, (family, eta) in enumerate(families):
        n_levels = problem.encoder.n_levels()[feature]
        for row in range(n_rows):
            if problem.observed[row, feature]:
                weight = visible_weight if problem.visible[row, feature] else 1.0
                value = problem.values[row, feature].item()
                expected[feature] -= (
                    weight * log_density(family, eta[row], value, n_levels) / n_rows
                )

    loss = loss_of(problem, ELBO(BETA), visible_weight=visible_weight)
    np.testing.assert_allclose(loss.features.detach(), expected, rtol=1e-9, atol=1e-12)
    assert loss.kl.item() == pytest.approx(kl)
    assert loss.total.item() == pytest.approx(expected.sum() + BETA * kl)


def test_hidden_cells_are_targets_and_not_inputs(problem):
    hidden = problem.observed & ~problem.visible
    other = torch.where(hidden, problem.values.flip(0), problem.values)
    before, after = loss_of(problem, ELBO(BETA)), loss_of(problem, ELBO(BETA), values=other)
    assert torch.equal(before.kl, after.kl)
    changed = (other != problem.values).any(0)
    assert torch.equal(before.features != after.features, changed)


def test_beta_weighs_the_kl_term_alone(problem):
    at = {beta: loss_of(problem, ELBO(beta)) for beta in (0.0, 1.0, 3.0)}
    assert at[0.0].total == at[0.0].features.sum()
    for beta, loss in at.items():
        assert torch.equal(loss.features, at[0.0].features)
        assert loss.total.item() == pytest.approx((loss.features.sum() + beta * loss.kl).item())


@pytest.mark.parametrize("power", BY_NORM)
def test_shared_gradients_are_reconciled_at_every_place(problem, power):
    """At what enters the heads, h and for HI-VAE s, against a backward pass for each feature."""
    entered = []
    hook = problem.model.heads.register_forward_pre_hook(
        lambda heads, args: entered.extend(x for x in args if torch.is_tensor(x))
    )
    loss = loss_of(problem, ELBO(BETA))
    hook.remove()
    directions = [by_norm(loss.features, place, power) for place in entered]
    expected = pulled_back(
        [*entered, loss.kl],
        [*directions, torch.tensor(BETA, dtype=torch.float64)],
        shared(problem.model),
    )

    blocks = Impartiality(BY_NORM[power])
    ours = gradients(problem, ELBO(BETA), blocks)
    assert len(entered) == len(blocks.places)
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-9, atol=1e-12, msg=name)
