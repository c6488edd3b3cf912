"""Every likelihood against its oracle: densities, point estimates, quantiles and draws."""

import numpy as np
import pytest
import torch
from likelihood_cases import (
    CASES,
    QUANTILES,
    column,
    continuous_families,
    discrete_families,
    every_family,
    finite_families,
    generator,
    prepared,
    random_params,
    training_data,
)
from scipy.special import expit

from skhvae.likelihoods import LIKELIHOODS, Likelihood


def masses(name, params):
    """The values of a discrete family up to near certainty, and their probabilities."""
    family = prepared(name)
    values = column(torch.arange(family.quantile(params, 1 - 1e-9).max() + 1))
    n_levels = torch.tensor(CASES[name].n_levels or (torch.inf,) * 3)
    mass = family.log_prob(params, torch.minimum(values, n_levels - 1)).exp()
    return values, torch.where(values < n_levels, mass, 0)


def by_oracle(name, params, ask):
    """`ask(oracle, feature)` for every cell of `params` (n_rows, 3, n_parameters)."""
    family, oracle = prepared(name), CASES[name].oracle
    answers = [
        [ask(oracle(family, eta, feature), feature) for feature, eta in enumerate(row)]
        for row in params
    ]
    return torch.as_tensor(np.array(answers))


def log_density(oracle, x):
    return oracle.logpmf(x) if hasattr(oracle, "logpmf") else oracle.logpdf(x)


@every_family
def test_log_prob(name):
    family, values = prepared(name), column(CASES[name].values)
    params = random_params(family, 6)
    expected = [
        by_oracle(
            name, params, lambda oracle, feature, x=x: log_density(oracle, x[0, feature].item())
        )
        for x in values
    ]
    torch.testing.assert_close(family.log_prob(params, values), torch.stack(expected))


@every_family
def test_mean(name):
    params = random_params(prepared(name), 6)
    expected = by_oracle(name, params, lambda oracle, feature: oracle.mean())
    torch.testing.assert_close(prepared(name).mean(params), expected)


@every_family
@pytest.mark.parametrize("q", QUANTILES)
def test_quantile(name, q):
    params = random_params(prepared(name), 6)
    expected = by_oracle(name, params, lambda oracle, feature: oracle.ppf(q)).double()
    torch.testing.assert_close(prepared(name).quantile(params, q), expected, rtol=1e-6, atol=1e-8)


@every_family
def test_quantiles_at_a_level_for_every_cell(name):
    family = prepared(name)
    params = random_params(family, len(QUANTILES))
    levels = torch.tensor(QUANTILES, dtype=torch.float64).unsqueeze(1).expand(-1, 3)
    one_by_one = [family.quantile(row, q) for row, q in zip(params, QUANTILES, strict=True)]
    torch.testing.assert_close(family.quantile(params, levels), torch.stack(one_by_one))


@every_family
def test_cdf(name):
    family, params = prepared(name), random_params(prepared(name), 6)
    values = column(CASES[name].values)
    beside = [
        values,
        values - 0.5,
        torch.nextafter(values, values - 1),
    ]  # also where nothing has a mass
    for x in torch.cat(beside):
        expected = by_oracle(
            name, params, lambda oracle, feature, x=x: oracle.cdf(x[0, feature].item())
        )
        torch.testing.assert_close(family.cdf(params, x), expected.double())


@every_family
def test_cdf_by_bisection_is_that_in_closed_form(name):
    family, params = prepared(name), random_params(prepared(name), 6)
    values = family.quantile(params, 0.4) + 0.3
    found = Likelihood.cdf(family, params, values)
    torch.testing.assert_close(found, family.cdf(params, values), rtol=1e-6, atol=1e-8)


@every_family
def test_median_is_the_middle_quantile(name):
    family = prepared(name)
    params = random_params(family, 6)
    torch.testing.assert_close(family.median(params), family.quantile(params, 0.5))


@discrete_families
def test_quantile_is_the_smallest_value_that_reaches_q(name):
    params = random_params(prepared(name), 6)
    values, mass = masses(name, params)
    for q in QUANTILES:
        quantile = prepared(name).quantile(params, q)
        assert ((mass * (values <= quantile)).sum(0) >= q - 1e-9).all()
        assert ((mass * (values < quantile)).sum(0) < q + 1e-9).all()


@every_family
def test_mode(name):
    family, case = prepared(name), CASES[name]
    params = random_params(family, 20)
    mode = family.mode(params)
    if case.mode:
        torch.testing.assert_close(mode, case.mode(family, params))
        return
    grid = torch.stack([family.quantile(params, q) for q in np.linspace(0.005, 0.995, 100)])
    # At the edge of a histogram's tail the density of the tail is a limit.
    nearby = (
        (mode,) if family.support.is_discrete else (mode, mode.mul(1 - 1e-9), mode.mul(1 + 1e-9))
    )
    best = torch.stack([family.log_prob(params, x) for x in nearby]).amax(0)
    assert (family.log_prob(params, grid) <= best + 1e-6).all()


@discrete_families
def test_mass_sums_to_one(name):
    _, mass = masses(name, random_params(prepared(name), 6))
    total = mass.sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


@continuous_families
def test_density_integrates_to_one(name):
    family, case = prepared(name), CASES[name]
    params = random_params(family, 6)
    # Gauss-Legendre panels that end at quantiles, dense in both tails, and at the jumps
    ends = torch.stack([family.quantile(params, q) for q in expit(np.linspace(-18, 18, 600))])
    if case.jumps:
        jumps = case.jumps(family).unsqueeze(1)
        ends = torch.cat([ends, jumps.expand(-1, 6, -1)]).sort(0).values
    nodes, weights = (
        torch.as_tensor(a).view(-1, 1, 1, 1) for a in np.polynomial.legendre.leggauss(8)
    )
    half = ends.diff(dim=0) / 2
    density = family.log_prob(params, ends[:-1] + half * (1 + nodes)).exp()
    total = (half * weights * density).sum((0, 1))
    if case.atom is not None:
        total = total + family.log_prob(params, torch.full((3,), case.atom)).exp()
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)


@every_family
def test_sample_has_the_distribution(name):
    family, n_draws = prepared(name), 20_000
    draws = family.sample(family.initial.expand(n_draws, -1, -1), generator())
    assert draws.dtype == torch.float64
    assert family.support.check(draws).all()
    standard_error = draws.std(0) / n_draws**0.5
    assert ((draws.mean(0) - family.mean(family.initial)).abs() < 5 * standard_error).all()
    for q in QUANTILES:
        quantile = family.quantile(family.initial, q)
        share = (draws <= quantile).double().mean(0)
        for feature in range(3):
            oracle = CASES[name].oracle(family, family.initial[feature], feature)
            expected = oracle.cdf(quantile[feature].item())
            assert share[feature] == pytest.approx(expected, abs=2.5 / n_draws**0.5)


@every_family
def test_gradient_of_log_prob(name):
    family = prepared(name)
    params = random_params(family, 2).requires_grad_()
    values = column(CASES[name].values)
    assert torch.autograd.gradcheck(lambda params: family.log_prob(params, values), params)


@finite_families
def test_probabilities_of_levels(name):
    family = prepared(name)
    probs = family.probs(random_params(family, 4))
    torch.testing.assert_close(probs.sum(-1), torch.ones(4, 3, dtype=torch.float64))
    own = torch.arange(probs.shape[-1]) < torch.tensor(CASES[name].n_levels).unsqueeze(1)
    assert (probs[:, ~own] == 0).all()


@pytest.mark.parametrize("name", ["normal", "lognormal", "hurdle-lognormal"])
def test_beta_nll_weights_the_gradient_by_the_scale(name):
    plain, weighted = (
        LIKELIHOODS[name](beta_nll=beta).prepared(*training_data(name)) for beta in (0.0, 0.5)
    )
    params = random_params(plain, 4).requires_grad_()
    values = torch.full((4, 3), 1.3, dtype=torch.float64)
    torch.testing.assert_close(weighted.log_prob(params, values), plain.log_prob(params, values))
    gradients = [
        torch.autograd.grad(family.loss(params, values).sum(), params)[0][..., -2:]
        for family in (plain, weighted)
    ]
    scale = plain.constrained(params)[-1].detach().unsqueeze(-1)
    torch.testing.assert_close(gradients[1], gradients[0] * scale)
