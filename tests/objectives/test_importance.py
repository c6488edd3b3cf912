"""IWAE and DReG against slow ones: points, rows and features in loops, densities by torch."""

import math

import pytest
import torch
from small_problem import (
    BY_NORM,
    WITH_DENSITY,
    batch,
    by_norm,
    gradients,
    loss_of,
    pulled_back,
    seeded,
    shared,
)
from torch.distributions import Bernoulli, Categorical, Normal

from skhvae.moo import Impartiality, Sum
from skhvae.objectives import ELBO, IWAE, DReG

BETA, VISIBLE_WEIGHT = 0.7, 0.25
OBJECTIVES = [IWAE, DReG]


@pytest.fixture(params=WITH_DENSITY)
def problem(request):
    return batch(WITH_DENSITY[request.param])


def points_of(problem, posterior, n_samples, seed=0):
    """The points that an objective of that seed takes, (K, B, latent_dim)."""
    shape = n_samples, *posterior.mean.shape
    noise = torch.randn(shape, dtype=torch.float64, generator=seeded(seed))
    return posterior.mean + posterior.log_scale.exp() * noise


def distribution(family, eta, n_levels):
    """Of one cell; `eta` are the raw parameters of its feature."""
    name = type(family).__name__
    if name == "Normal":
        return Normal(*family.constrained(eta))
    if name == "Bernoulli":
        return Bernoulli(logits=eta[0])
    assert name == "Categorical"
    return Categorical(logits=eta[:n_levels])


def log_likelihoods(problem, points, posterior):
    """Of every cell that counts, times what it counts, at every point; (K, B, n_features)."""
    result = torch.zeros(*points.shape[:2], len(problem.names), dtype=torch.float64)
    for k in range(len(points)):
        params, feature = problem.model.params(points[k], posterior), 0
        for family, eta in zip(problem.model.heads.families, params, strict=True):
            for own in range(eta.shape[1]):
                n_levels = problem.encoder.n_levels()[feature]
                for row in range(len(problem.values)):
                    if problem.observed[row, feature]:
                        of_cell = distribution(family, eta[row, own], n_levels)
                        weight = VISIBLE_WEIGHT if problem.visible[row, feature] else 1.0
                        value = problem.values[row, feature]
                        result[k, row, feature] = weight * of_cell.log_prob(value)
                feature += 1
    return result


def log_ratios(points, posterior):
    """log q / p at every point, (K, B)."""
    q = Normal(posterior.mean, posterior.log_scale.exp())
    return (q.log_prob(points) - Normal(0.0, 1.0).log_prob(points)).sum(-1)


def encoded(problem):
    return problem.model.encode(problem.values, problem.visible)


def parameters(problem):
    return dict(problem.model.named_parameters())


def assert_gradients(actual, expected):
    assert set(actual) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-8, atol=1e-12, msg=name)


def slow_dreg(problem, points, posterior):
    """What minus the bound's gradient is to be, by parameter: through the decoder that of the bound
    itself at constant points, and through each point the squared share times d log w / dz."""
    constant = posterior.detach()
    # The decoder sees the encoder's state beside the point, which is no part of it.
    log_w = log_likelihoods(problem, points.detach(), posterior).sum(-1) - BETA * log_ratios(
        points.detach(), constant
    )
    bound = log_w.logsumexp(0).mean()
    through_decoder = pulled_back([-bound], [torch.ones_like(bound)], parameters(problem))
    shares = (log_w - log_w.logsumexp(0)).exp().detach()

    free = points.detach().requires_grad_()
    log_w = log_likelihoods(problem, free, constant).sum(-1) - BETA * log_ratios(free, constant)
    at_points = torch.zeros_like(points)
    for k in range(len(points)):
        for row in range(len(problem.values)):
            (slope,) = torch.autograd.grad(log_w[k, row], free, retain_graph=True)
            at_points[k, row] = shares[k, row] ** 2 * slope[k, row] / len(problem.values)
    through_points = pulled_back([points], [-at_points], parameters(problem))
    return {name: through_decoder[name] + through_points[name] for name in through_points}


# Values


@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_are_weighed_by_the_points_shares(problem, objective, n_samples):
    """Each point counts by its share of the row's evidence."""
    with torch.no_grad():
        q = encoded(problem)
        points = points_of(problem, q, n_samples)
        cells, ratios = log_likelihoods(problem, points, q), log_ratios(points, q)
        weights = (cells.sum(-1) - BETA * ratios).exp()
        features, kl = torch.zeros(len(problem.names), dtype=torch.float64), 0.0
        n_rows = len(problem.values)
        for row in range(n_rows):
            for k in range(n_samples):
                share = weights[k, row] / weights[:, row].sum()
                features -= share * cells[k, row] / n_rows
                kl += share * ratios[k, row] / n_rows
    loss = loss_of(problem, objective(BETA, n_samples), visible_weight=VISIBLE_WEIGHT)
    torch.testing.assert_close(loss.features, features, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss.kl, kl, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_there_are_five_points_unless_told_otherwise(problem, objective):
    default, five, six = (
        loss_of(problem, made).total
        for made in (objective(BETA), objective(BETA, 5), objective(BETA, 6))
    )
    assert torch.equal(default, five)
    assert default != six


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_of_one_point_the_features_losses_are_the_elbos(problem, objective):
    one = loss_of(problem, objective(BETA, 1), visible_weight=VISIBLE_WEIGHT)
    elbo = loss_of(problem, ELBO(BETA), visible_weight=VISIBLE_WEIGHT)
    torch.testing.assert_close(one.features, elbo.features, rtol=1e-12, atol=0)


def mean_weight(problem, n_points, n_samples, seed):
    """Logarithm of the mean of every `n_samples` weights, of all observed cells and beta 1; mean and
    standard error of every row, (B,)."""
    with torch.no_grad():
        q = encoded(problem)
        points = points_of(problem, q, n_points, seed)
        cells = problem.model.heads.log_prob(problem.model.params(points, q), problem.values)
        log_w = (cells * problem.observed).sum(-1) - q.log_ratio(points)
    bounds = log_w.unflatten(0, (-1, n_samples)).logsumexp(1) - math.log(n_samples)
    return bounds.mean(0), bounds.std(0) / len(bounds) ** 0.5


def test_the_bound_grows_with_the_number_of_points(problem):
    """From the ELBO towards log p (Burda et al. 2016, theorem 1)."""
    bounds = [
        mean_weight(problem, 20_000, n_samples, seed)[0].mean()
        for seed, n_samples in enumerate((1, 5, 50))
    ]
    assert bounds[0] < bounds[1] < bounds[2]


def test_the_bound_of_many_points_is_the_evidence(problem):
    """The mean likelihood of points of the prior, which no density of the posterior enters."""
    with torch.no_grad():
        q, n_points = encoded(problem), 50_000
        shape = n_points, *q.mean.shape
        points = torch.randn(shape, dtype=torch.float64, generator=seeded(2))
        cells = problem.model.heads.log_prob(problem.model.params(points, q), problem.values)
        likelihood = (cells * problem.observed).sum(-1).exp()
        evidence = likelihood.mean(0).log()
        relative_error = likelihood.std(0) / n_points**0.5 / likelihood.mean(0)
    bound, error = mean_weight(problem, 50_000, 1000, seed=1)
    both = (error**2 + relative_error**2).sqrt()
    # The bound of a thousand points is still below the evidence, by less than these errors.
    assert both.max() < 0.05
    assert ((bound - evidence).abs() < 5 * both).all()


# Gradients


@pytest.mark.parametrize("impartial", [False, True], ids=["plain", "sum"])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_iwae_has_the_bounds_gradient(problem, n_samples, impartial):
    """By automatic differentiation of the logarithm of the mean weight."""
    q = encoded(problem)
    points = points_of(problem, q, n_samples)
    log_w = log_likelihoods(problem, points, q).sum(-1) - BETA * log_ratios(points, q)
    bound = log_w.logsumexp(0).mean()
    expected = pulled_back([-bound], [torch.ones_like(bound)], parameters(problem))
    blocks = Impartiality(Sum()) if impartial else None
    ours = gradients(problem, IWAE(BETA, n_samples), blocks, visible_weight=VISIBLE_WEIGHT)
    assert_gradients(ours, expected)


@pytest.mark.parametrize("impartial", [False, True], ids=["plain", "sum"])
@pytest.mark.parametrize("n_samples", [1, 3])
def test_dreg_has_the_doubly_reparameterised_gradient(problem, n_samples, impartial):
    q = encoded(problem)
    expected = slow_dreg(problem, points_of(problem, q, n_samples), q)
    blocks = Impartiality(Sum()) if impartial else None
    ours = gradients(problem, DReG(BETA, n_samples), blocks, visible_weight=VISIBLE_WEIGHT)
    assert_gradients(ours, expected)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_of_one_point_the_decoders_gradient_is_the_elbos(problem, objective):
    one, elbo = (gradients(problem, made) for made in (objective(BETA, 1), ELBO(BETA)))
    decoder = [name for name in elbo if name.startswith(("trunk.", "heads."))]
    assert_gradients(*({name: found[name] for name in decoder} for found in (one, elbo)))


def test_dreg_of_one_point_is_the_path_gradient(problem):
    """Of the ELBO whose KL is taken at the point, its score left out (Roeder et al. 2017)."""
    q = encoded(problem)
    points = points_of(problem, q, 1)
    cells = log_likelihoods(problem, points, q).sum(-1)
    bound = (cells - BETA * log_ratios(points, q.detach())).mean()
    expected = pulled_back([-bound], [torch.ones_like(bound)], parameters(problem))
    assert_gradients(gradients(problem, DReG(BETA, 1), visible_weight=VISIBLE_WEIGHT), expected)


def encoder_gradients(problem, objective, n_draws):
    """Of the posterior's layer for other noise each time, (n_draws, number of parameters)."""
    found = []
    for seed in range(n_draws):
        by_name = gradients(problem, objective, seed=seed)
        found.append(torch.cat([by_name[f"posterior.{of}"].flatten() for of in ("weight", "bias")]))
    return torch.stack(found)


def in_standard_errors(differences):
    return differences.mean(0) / (differences.std(0) / len(differences) ** 0.5)


@pytest.mark.parametrize(
    ("one", "other"),
    [(IWAE(1.0, 4), DReG(1.0, 4)), (IWAE(1.0, 1), DReG(1.0, 1)), (ELBO(1.0), DReG(1.0, 1))],
    ids=["four points", "one point", "ELBO"],
)
def test_encoder_gradients_agree_in_expectation(problem, one, other):
    """Two estimates of one gradient: their difference is noise.

    Every row stands many times in the batch, so that a gradient is a mean over as many draws. Of 30
    gradients each, one of the 54 means is 5 standard errors from 0 by chance once in 700 such tests.
    """
    for name in ("values", "observed", "visible"):
        setattr(problem, name, getattr(problem, name).repeat(150, 1))
    first, second = (encoder_gradients(problem, objective, 30) for objective in (one, other))
    assert in_standard_errors(first - second).abs().max() < 5
    # Or the test shows nothing: a gradient a fifth too large would have been seen.
    assert in_standard_errors(first * 1.2 - second).abs().max() > 5


def test_dreg_has_less_variance_than_iwae(problem):
    of_iwae, of_dreg = (
        encoder_gradients(problem, objective(1.0, 20), 50).var(0).sum() for objective in OBJECTIVES
    )
    assert of_dreg < of_iwae


# Impartiality


@pytest.mark.parametrize("power", BY_NORM)
def test_iwae_reconciles_the_gradients_of_all_points_together(problem, power):
    q = encoded(problem)
    points = points_of(problem, q, 3)
    h = problem.model.decode(points, q.state)
    losses = -problem.model.heads.log_prob(problem.model.heads(h), problem.values)
    losses = losses * problem.observed
    log_ratio = log_ratios(points, q)
    shares = (-losses.sum(-1) - BETA * log_ratio).softmax(0).detach()
    features = (shares.unsqueeze(-1) * losses).sum(0).mean(0)
    direction = by_norm(features, h, power)
    expected = pulled_back(
        [h, log_ratio], [direction, BETA * shares / len(problem.values)], shared(problem.model)
    )
    ours = gradients(problem, IWAE(BETA, 3), Impartiality(BY_NORM[power]))
    assert_gradients({name: ours[name] for name in expected}, expected)


class TwoPasses:
    """DReG by hand, with strategies of different powers at its two blocks."""

    def __init__(self, problem, powers):
        model, self.n_rows = problem.model, len(problem.values)
        q = encoded(problem)
        points = points_of(problem, q, 3)
        log_ratio = log_ratios(points, q.detach())
        # The second pass goes through the points alone.
        self.of_decoder = model.decode(points.detach(), q.state)
        self.of_points = model.decode(points, q.state.detach())
        first, second = (
            -model.heads.log_prob(model.heads(h), problem.values) * problem.observed
            for h in (self.of_decoder, self.of_points)
        )
        shares = (-first.sum(-1) - BETA * log_ratio).softmax(0).detach()
        self.directions = [
            by_norm((weights.unsqueeze(-1) * losses).sum(0).mean(0), h, power)
            for weights, losses, h, power in (
                (shares, first, self.of_decoder, powers[0]),
                (shares**2, second, self.of_points, powers[1]),
            )
        ]
        self.kl, self.kl_weights = log_ratio, BETA * shares**2 / self.n_rows

        blocks = Impartiality(Sum())
        for place, power in zip(("h", "encoder: h"), powers, strict=True):
            blocks.at(place).strategy = BY_NORM[power]
        self.actual = gradients(problem, DReG(BETA, 3), blocks)


@pytest.mark.parametrize("powers", [(1, 2), (2, 1)])
def test_dregs_trunk_gets_the_decoders_reconciled_gradient(problem, powers):
    passes = TwoPasses(problem, powers)
    trunk = {f"trunk.{name}": p for name, p in problem.model.trunk.named_parameters()}
    expected = pulled_back([passes.of_decoder], passes.directions[:1], trunk)
    assert_gradients({name: passes.actual[name] for name in trunk}, expected)


@pytest.mark.parametrize("powers", [(1, 2), (2, 1)])
def test_dregs_points_get_the_encoders_reconciled_gradient(problem, powers):
    """The conditional decoder's view of the encoder's state is not a point: it gets the decoder's."""
    passes = TwoPasses(problem, powers)
    encoder = {
        name: p for name, p in shared(problem.model).items() if not name.startswith("trunk.")
    }
    through_state = pulled_back([passes.of_decoder], passes.directions[:1], encoder)
    through_points = pulled_back(
        [passes.of_points, passes.kl], [passes.directions[1], passes.kl_weights], encoder
    )
    expected = {name: through_state[name] + through_points[name] for name in encoder}
    assert_gradients({name: passes.actual[name] for name in encoder}, expected)


def test_dregs_heads_keep_iwaes_gradient(problem):
    blocks = Impartiality(BY_NORM[1])
    dreg, iwae = (
        gradients(problem, objective(BETA, 3), strategies)
        for objective, strategies in ((DReG, blocks), (IWAE, None))
    )
    heads = [name for name in iwae if name.startswith("heads.")]
    assert_gradients(*({name: found[name] for name in heads} for found in (dreg, iwae)))


def test_dreg_leaves_parameters_trainable(problem):
    loss_of(problem, DReG(BETA, 2))
    assert all(p.requires_grad for p in problem.model.parameters())
