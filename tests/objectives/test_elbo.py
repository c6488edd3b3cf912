"""The ELBO against a slow one: rows and features in loops, densities by scipy and torch."""

import numpy as np
import pytest
import torch
from scipy import stats
from small_problem import small_problem
from torch.distributions import kl_divergence

from skhvae.likelihoods import Normal
from skhvae.models import MODELS
from skhvae.moo import STRATEGIES, as_strategy
from skhvae.objectives import ELBO, OBJECTIVES

N_ROWS = 7
# Without the default's reweighting of gradients, so that the loss is the log-likelihood.
PLAIN = dict.fromkeys(("real", "positive", "count", "datetime"), Normal(beta_nll=0.0))
PLAIN |= {"binary": "bernoulli", "nominal": "categorical", "ordinal": "categorical"}


@pytest.fixture(params=MODELS)
def problem(request):
    """In float64, with known families; a third of the observed cells are hidden from the encoder."""
    problem = small_problem(MODELS[request.param], likelihoods=PLAIN)
    problem.model.double()
    problem.values = problem.values[:N_ROWS].double()
    problem.observed = problem.observed[:N_ROWS]
    chance = torch.rand(problem.observed.shape, generator=torch.Generator().manual_seed(1))
    problem.visible = problem.observed & (chance > 1 / 3)
    assert (problem.observed & ~problem.visible).any(0).sum() > 3
    return problem


def loss_of(problem, beta=0.7, strategy=None, seed=0, **changes):
    """The loss of the problem, with some of its tensors replaced."""
    tensors = {
        key: changes.pop(key, getattr(problem, key)) for key in ("values", "observed", "visible")
    }
    generator = torch.Generator().manual_seed(seed)
    return ELBO(beta)(problem.model, *tensors.values(), strategy, generator, **changes)


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
    model, beta = problem.model, 0.7
    with torch.no_grad():
        q = model.encode(problem.values, problem.visible)
        noise = torch.randn(
            q.mean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
        params = model.heads(model.decode(q.mean + q.log_scale.exp() * noise, q.state))
    families = [
        (family, eta[:, own])
        for family, eta in zip(model.heads.families, params, strict=True)
        for own in range(eta.shape[1])
    ]
    expected = np.zeros(len(families))
    for feature, (family, eta) in enumerate(families):
        n_levels = problem.encoder.n_levels()[feature]
        for row in range(N_ROWS):
            if problem.observed[row, feature]:
                weight = visible_weight if problem.visible[row, feature] else 1.0
                value = problem.values[row, feature].item()
                expected[feature] -= (
                    weight * log_density(family, eta[row], value, n_levels) / N_ROWS
                )
    normal = torch.distributions.Normal
    kl = kl_divergence(normal(q.mean, q.log_scale.exp()), normal(0.0, 1.0)).sum().item() / N_ROWS

    loss = loss_of(problem, beta, visible_weight=visible_weight)
    np.testing.assert_allclose(loss.features.detach(), expected, rtol=1e-9, atol=1e-12)
    assert loss.kl.item() == pytest.approx(kl)
    assert loss.total.item() == pytest.approx(expected.sum() + beta * kl)


def test_cells_that_are_not_observed_have_no_influence(problem):
    other = torch.where(problem.observed, problem.values, problem.values.flip(0))
    assert not torch.equal(other, problem.values)
    before, after = loss_of(problem), loss_of(problem, values=other)
    for part in ("features", "kl", "total"):
        assert torch.equal(getattr(before, part), getattr(after, part))


def test_hidden_cells_are_targets_and_not_inputs(problem):
    hidden = problem.observed & ~problem.visible
    other = torch.where(hidden, problem.values.flip(0), problem.values)
    before, after = loss_of(problem), loss_of(problem, values=other)
    assert torch.equal(before.kl, after.kl)
    changed = (other != problem.values).any(0)
    assert torch.equal(before.features != after.features, changed)


def test_beta_weighs_the_kl_term_alone(problem):
    at = {beta: loss_of(problem, beta) for beta in (0.0, 1.0, 3.0)}
    assert at[0.0].total == at[0.0].features.sum()
    for beta, loss in at.items():
        assert torch.equal(loss.features, at[0.0].features)
        assert loss.total.item() == pytest.approx((loss.features.sum() + beta * loss.kl).item())


def test_features_without_an_observed_cell_have_no_loss_and_no_gradient(problem):
    observed = problem.observed.clone()
    observed[:, 2] = False
    loss = loss_of(
        problem, observed=observed, visible=problem.visible & observed, strategy=as_strategy("mgda")
    )
    loss.total.backward()
    heads = problem.model.heads
    own = heads.layout.owner == 2
    assert loss.features[2] == 0
    assert not heads.linear.weight.grad[own].any()
    assert heads.linear.weight.grad[~own].any(1).all()
    assert all(p.grad.isfinite().all() for p in problem.model.parameters() if p.grad is not None)


def gradients(problem, strategy):
    problem.model.zero_grad()
    loss_of(problem, strategy=strategy).total.backward()
    return {name: p.grad.clone() for name, p in problem.model.named_parameters()}


def test_the_plain_sum_is_plain_backpropagation(problem):
    plain, ours = (gradients(problem, strategy) for strategy in (None, as_strategy("sum")))
    for name, expected in plain.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "sum"])
def test_strategies_change_the_shared_part_alone(problem, name):
    plain, ours = (gradients(problem, strategy) for strategy in (None, as_strategy(name)))
    for part, expected in plain.items():
        same = torch.allclose(ours[part], expected, rtol=1e-9, atol=1e-12)
        assert same == part.startswith("heads."), part


def test_the_generator_decides(problem):
    before = torch.get_rng_state()
    first, again, other = (loss_of(problem, seed=seed).total for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first != other
    assert torch.equal(torch.get_rng_state(), before)


def test_objectives_are_made_of_beta():
    for objective in OBJECTIVES.values():
        assert objective(0.3).beta == 0.3
