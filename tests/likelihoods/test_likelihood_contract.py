"""What every likelihood promises whatever its distribution: shapes, extremes, copies, starts."""

import copy
import pickle

import pytest
import torch
from likelihood_cases import (
    CASES,
    QUANTILES,
    column,
    declaring_families,
    every_family,
    generator,
    prepared,
    random_params,
    training_data,
)

from skhvae.likelihoods import LIKELIHOODS


def test_every_likelihood_has_a_case_and_documentation():
    assert set(LIKELIHOODS) - set(CASES) == set(), "add a row to CASES"
    assert list(LIKELIHOODS) == sorted(LIKELIHOODS)
    for family in LIKELIHOODS.values():
        assert ".. math::" in family.__doc__, f"{family.__name__}: document the formula"
        assert ">>> " in family.__doc__, f"{family.__name__}: add a doctest"


@every_family
def test_sample_depends_on_its_generator_alone(name):
    family = prepared(name)
    params = random_params(family, 50)
    state = torch.get_rng_state()
    first, again, other = (family.sample(params, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def extreme_params(family):
    """Every combination of -20, 0 and 20 (or 200 random ones), (n, 1, 3, n_parameters)."""
    n_parameters = family.n_parameters
    combinations = torch.cartesian_prod(*[torch.arange(3)] * min(n_parameters, 4))
    if n_parameters > 4:
        combinations = torch.randint(3, (200, n_parameters), generator=generator())
    params = 20.0 * (combinations.view(-1, 1, 1, n_parameters) - 1)
    return params.expand(-1, 1, 3, n_parameters).clone()


@every_family
def test_extremes_are_finite_in_single_precision(name):
    family = prepared(name, torch.float32)
    params = extreme_params(family).requires_grad_()
    values = column(CASES[name].extremes, torch.float32).squeeze(1)
    assert family.support.check(values).all()
    log_prob, loss = family.log_prob(params, values), family.loss(params, values)
    (log_prob - loss).sum().backward()
    assert log_prob.dtype == torch.float32
    assert log_prob.isfinite().all()
    assert loss.isfinite().all()
    assert params.grad.isfinite().all()

    params = params.detach()
    answers = [family.mean(params), family.mode(params), family.sample(params, generator())]
    answers += [family.quantile(params, q) for q in QUANTILES]
    assert all(answer.isfinite().all() for answer in answers)
    assert all(family.support.check(answer).all() for answer in answers[1:])


@every_family
def test_single_precision_agrees_with_double(name):
    single = prepared(name, torch.float32)
    double = copy.deepcopy(single).double()
    params = extreme_params(single)
    values = column(CASES[name].values, torch.float32).squeeze(1)
    found = single.log_prob(params, values)
    expected = double.log_prob(params.double(), values.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-2)


@every_family
def test_initial_is_the_marginal_of_the_observed_values(name):
    values, observed, n_levels = training_data(name)
    family = prepared(name)
    known = [values[:, j][observed[:, j]] for j in range(3)]
    mean, std = torch.stack([x.mean() for x in known]), torch.stack([x.std() for x in known])
    assert ((family.mean(family.initial) - mean).abs() < CASES[name].mean_error * std).all()
    # Filler must not matter: shuffled among themselves, the unobserved values are still in-support.
    filled = torch.where(observed, values, values.flip(0))
    torch.testing.assert_close(
        LIKELIHOODS[name]().prepared(filled, observed, n_levels).initial, family.initial
    )


@pytest.mark.parametrize("name", ["gamma", "negative-binomial", "normal", "student-t"])
def test_initial_has_the_variance_of_the_observed_values(name):
    values, observed, _ = training_data(name)
    family, oracle = prepared(name), CASES[name].oracle
    for j in range(3):
        known = values[:, j][observed[:, j]].numpy()
        assert oracle(family, family.initial[j], j).std() == pytest.approx(known.std())


@every_family
@pytest.mark.parametrize("what", ["one row", "constant", "nothing observed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_poor_training_data(name, what, dtype):
    values, observed, n_levels = training_data(name, dtype)
    if what == "nothing observed":
        observed = torch.zeros_like(observed)
    else:
        values = values[:1] if what == "one row" else values[:1].expand_as(values)
        observed = torch.ones_like(values, dtype=torch.bool)
    family = LIKELIHOODS[name]().prepared(values, observed, n_levels)
    assert family.initial.dtype == dtype
    assert family.initial.isfinite().all()
    x = column(CASES[name].values, dtype)
    assert family.log_prob(family.initial, x).isfinite().all()
    assert family.mean(family.initial).isfinite().all()
    assert family.quantile(family.initial, 0.9).isfinite().all()


@every_family
def test_features_do_not_affect_each_other(name):
    values, observed, n_levels = training_data(name)
    together = prepared(name)
    params = random_params(together, 4)
    cell_values = values[:4]
    for j in range(3):
        one = slice(j, j + 1)
        alone = LIKELIHOODS[name]().prepared(
            values[:, one], observed[:, one], None if n_levels is None else n_levels[one]
        )
        own = params[:, one, : alone.n_parameters]
        for method in ("mean", "mode", "median"):
            expected = getattr(alone, method)(own)
            torch.testing.assert_close(getattr(together, method)(params)[:, one], expected)
        expected = alone.log_prob(own, cell_values[:, one])
        torch.testing.assert_close(together.log_prob(params, cell_values)[:, one], expected)


@every_family
def test_leading_axes(name):
    family = prepared(name)
    values = training_data(name)[0][:5]
    params = random_params(family, 4, 5)  # four points of the posterior, five rows
    log_prob = family.log_prob(params, values)
    torch.testing.assert_close(log_prob, torch.stack([family.log_prob(p, values) for p in params]))
    torch.testing.assert_close(log_prob, family.log_prob(params, values.expand(4, 5, 3)))
    assert family.log_prob(family.initial, values).shape == (5, 3)
    for method in (family.mean, family.mode, family.median):
        torch.testing.assert_close(method(params), torch.stack([method(p) for p in params]))
    assert family.sample(params, generator()).shape == (4, 5, 3)


@every_family
def test_copies_and_state(name):
    family = prepared(name)
    values, observed, n_levels = training_data(name)
    params = random_params(family, 4)
    expected = family.log_prob(params, values[:4])
    other = LIKELIHOODS[name]().prepared(values.flip(0)[:99], observed[:99], n_levels)
    other.load_state_dict(family.state_dict())
    for twin in (copy.deepcopy(family), pickle.loads(pickle.dumps(family)), other):
        assert torch.equal(twin.log_prob(params, values[:4]), expected)


@every_family
def test_moves_to_double(name):
    family = copy.deepcopy(prepared(name, torch.float32)).to(torch.float64)
    params = random_params(family, 4)
    assert params.dtype == torch.float64
    for answer in (
        family.log_prob(params, training_data(name)[0][:4]),
        family.mean(params),
        family.mode(params),
        family.quantile(params, 0.3),
        family.sample(params, generator()),
    ):
        assert answer.dtype == torch.float64


@every_family
def test_preparing_leaves_the_declaration_alone(name):
    declaration = LIKELIHOODS[name]()
    declaration.prepared(*training_data(name))
    assert not dict(declaration.named_buffers())


@declaring_families
def test_declared_parameters(name):
    family = prepared(name)
    params = random_params(family, 4)
    theta = family.constrained(params)
    for value, constraint in zip(theta, family.parameters.values(), strict=True):
        assert constraint.check(value).all()
    torch.testing.assert_close(family.raw(*theta), params, atol=1e-6, rtol=1e-6)
