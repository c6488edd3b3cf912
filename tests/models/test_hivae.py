"""HI-VAE: its mixture of components, the heads' own representations, and where features meet."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from small_problem import batch, gradients, loss_of, seeded
from torch.distributions import Categorical, Normal, kl_divergence

from skhvae.models import HIVAE, MixturePosterior
from skhvae.moo import Impartiality, as_strategy
from skhvae.objectives import ELBO

N_ROWS, LATENT, N_COMPONENTS = 4, 3, 5


def mixture(temperature=None, **parts):
    """A posterior of random parts; all scales are within their range."""
    generator = seeded()

    def normal(*shape):
        return 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

    random = {
        "logits": normal(N_ROWS, N_COMPONENTS),
        "shared": normal(N_ROWS, 2 * LATENT),
        "own": normal(N_COMPONENTS, 2 * LATENT),
        "prior_means": normal(N_COMPONENTS, LATENT),
        "state": normal(N_ROWS, 8),
    }
    return MixturePosterior(**{**random, **parts}, temperature=temperature)


def many_noises(n_noises=20_000):
    shape = n_noises, N_ROWS, LATENT + N_COMPONENTS
    return torch.randn(shape, generator=seeded(1), dtype=torch.float64)


def one_hot(component):
    """For every row of a mixture, that component."""
    return torch.eye(N_COMPONENTS, dtype=torch.float64)[component].expand(N_ROWS, -1)


def components_of(points):
    return points[..., LATENT:]


@pytest.fixture
def problem():
    return batch(HIVAE)


def posterior_of(problem, training):
    return problem.model.train(training).encode(problem.values, problem.visible)


def noise_for(problem, *leading):
    shape = *leading, len(problem.values), problem.model.noise_dim
    return torch.randn(shape, generator=seeded(), dtype=torch.float64)


# The component


def test_components_are_drawn_with_their_probabilities():
    """A normal number each becomes a Gumbel one, and the largest sum with the logits wins."""
    posterior = mixture()
    counts = components_of(posterior.at(many_noises())).sum(0)
    expected = posterior.logits.softmax(-1) * 20_000
    for row in range(N_ROWS):
        assert stats.chisquare(counts[row], expected[row]).pvalue > 0.001


def test_relaxed_components_are_concrete_variables():
    """The logarithms of two shares differ by a logistic number around the logits' difference (Maddison et
    al. 2017, arXiv 1611.00712, proposition 1)."""
    temperature = 0.4
    posterior = mixture(temperature)
    log_shares = components_of(posterior.at(many_noises(5000))).log()
    for row in range(N_ROWS):
        logistic = temperature * (log_shares[:, row, 0] - log_shares[:, row, 1])
        around = (posterior.logits[row, 0] - posterior.logits[row, 1]).item()
        assert stats.kstest(logistic, stats.logistic(around).cdf).pvalue > 0.001


def test_relaxed_components_lean_to_the_one_that_would_be_drawn():
    noise = many_noises(100)
    exact, relaxed = (components_of(mixture(t).at(noise)) for t in (None, 0.5))
    assert torch.equal(exact.argmax(-1), relaxed.argmax(-1))


def test_relaxed_components_are_shares():
    component = components_of(mixture(0.5).at(many_noises(100)))
    assert (component > 0).all()
    torch.testing.assert_close(component.sum(-1), torch.ones(100, N_ROWS, dtype=torch.float64))


def test_colder_components_are_nearer_to_one():
    noise = many_noises(100)
    largest = [components_of(mixture(t).at(noise)).max(-1).values.mean() for t in (1.0, 0.5, 0.2)]
    assert 0.5 < largest[0] < largest[1] < largest[2] < 1


@pytest.mark.parametrize("temperature", [None, 1.0, 0.2])
def test_without_noise_the_component_is_the_most_probable_one(temperature):
    posterior = mixture(temperature)
    centre = posterior.at(torch.zeros(N_ROWS, LATENT + N_COMPONENTS, dtype=torch.float64))
    assert torch.equal(components_of(centre).argmax(-1), posterior.logits.argmax(-1))


def test_without_noise_z_is_the_mean_in_the_most_probable_component():
    posterior = mixture()
    centre = posterior.at(torch.zeros(N_ROWS, LATENT + N_COMPONENTS, dtype=torch.float64))
    for row, best in enumerate(posterior.logits.argmax(-1)):
        expected = posterior.shared[row, :LATENT] + posterior.own[best, :LATENT]
        torch.testing.assert_close(centre[row, :LATENT], expected)
    assert torch.equal(centre[:, :LATENT], posterior.mean)


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_z_is_normal_given_the_component(temperature):
    posterior, noise = mixture(temperature), many_noises(10)
    points = posterior.at(noise)
    mean, log_scale = (posterior.shared + components_of(points) @ posterior.own).chunk(2, dim=-1)
    expected = mean + log_scale.exp() * noise[..., :LATENT]
    torch.testing.assert_close(points[..., :LATENT], expected)


@pytest.mark.parametrize("size", [8.0, 20.0, -20.0])
def test_points_of_extreme_noise_are_finite(size):
    """In float32, where the normal distribution function reaches 1 at 6."""
    posterior = mixture(0.2)
    single = {
        name: x.float().requires_grad_()
        for name, x in vars(posterior).items()
        if torch.is_tensor(x)
    }
    noise = torch.zeros(N_ROWS, LATENT + N_COMPONENTS)
    noise[:, LATENT] = size
    points = mixture(0.2, **single).at(noise)
    points.square().sum().backward()
    assert points.isfinite().all()
    assert single["logits"].grad.isfinite().all()
    assert (points[:, LATENT] > 0.5).all() or size < 0


# The KL term


@pytest.mark.parametrize("component", range(N_COMPONENTS))
def test_kl_is_torchs(component):
    posterior = mixture()
    mean, log_scale = (posterior.shared + posterior.own[component]).chunk(2, dim=-1)
    of_z = kl_divergence(
        Normal(mean, log_scale.exp()), Normal(posterior.prior_means[component], 1.0)
    )
    uniform = Categorical(logits=torch.zeros_like(posterior.logits))
    of_s = kl_divergence(Categorical(logits=posterior.logits), uniform)
    points = torch.cat([torch.zeros(N_ROWS, LATENT), one_hot(component)], dim=1)
    torch.testing.assert_close(posterior.kl(points), of_s + of_z.sum(-1))


def test_kl_at_a_relaxed_component_is_torchs():
    """Posterior and prior of z both are those of the mixed component."""
    posterior = mixture(0.5)
    points = posterior.at(many_noises(1)[0])
    shares = components_of(points)
    mean, log_scale = (posterior.shared + shares @ posterior.own).chunk(2, dim=-1)
    of_z = kl_divergence(Normal(mean, log_scale.exp()), Normal(shares @ posterior.prior_means, 1.0))
    of_s = Categorical(logits=posterior.logits).entropy().neg() + np.log(N_COMPONENTS)
    torch.testing.assert_close(posterior.kl(points), of_s + of_z.sum(-1))


def test_kl_of_the_prior_is_zero():
    prior_means = mixture().prior_means
    prior = mixture(
        logits=torch.ones(N_ROWS, N_COMPONENTS, dtype=torch.float64),
        shared=torch.zeros(N_ROWS, 2 * LATENT, dtype=torch.float64),
        own=torch.cat([prior_means, torch.zeros_like(prior_means)], dim=1),
        prior_means=prior_means,
    )
    kl = prior.kl(prior.at(many_noises(1)[0]))
    torch.testing.assert_close(kl, torch.zeros_like(kl))


# The model


def test_components_are_relaxed_in_training(problem):
    posterior = posterior_of(problem, training=True)
    assert posterior.temperature == problem.model.temperature
    component = posterior.at(noise_for(problem))[:, problem.model.latent_dim :]
    assert ((component > 0) & (component < 1)).all()


def test_components_are_one_when_evaluating(problem):
    posterior = posterior_of(problem, training=False)
    component = posterior.at(noise_for(problem, 20))[..., problem.model.latent_dim :]
    assert torch.equal(component.sum(-1), torch.ones(20, len(problem.values), dtype=torch.float64))
    assert torch.equal(component.unique(), torch.tensor([0.0, 1.0], dtype=torch.float64))


def test_the_temperature_falls_from_one_to_a_fifth(problem):
    model = problem.model
    assert model.temperature == 1
    temperatures = []
    for progress in np.linspace(0, 1, 11):
        model.anneal(progress)
        temperatures.append(posterior_of(problem, training=True).temperature.item())
    assert temperatures[0] == pytest.approx(1)
    assert temperatures[-1] == pytest.approx(0.2)
    assert temperatures == sorted(temperatures, reverse=True)


def test_a_point_of_the_posterior_takes_a_number_for_z_and_one_for_each_component(problem):
    model = problem.model
    assert model.noise_dim == model.latent_dim + model.n_components
    points = posterior_of(problem, training=True).at(noise_for(problem))
    assert points.shape == (len(problem.values), model.noise_dim)


def test_features_teach_the_probabilities_of_the_components(problem):
    """In training their gradients pass through the relaxed component."""
    posterior = posterior_of(problem, training=True)
    posterior.logits.retain_grad()
    params = problem.model.params(posterior.at(noise_for(problem)), posterior)
    problem.model.heads.losses(params, problem.values).sum().backward()
    assert posterior.logits.grad.any(1).all()
    assert problem.model.component.weight.grad.any()


def test_no_gradient_passes_through_an_exact_component(problem):
    posterior = posterior_of(problem, training=False)
    params = problem.model.params(posterior.at(noise_for(problem)), posterior)
    loss = problem.model.heads.losses(params, problem.values).sum()
    (found,) = torch.autograd.grad(loss, posterior.logits, allow_unused=True)
    assert found is None


def test_the_prior_is_learned_from_the_kl_term_alone(problem):
    alone = gradients(problem, ELBO(0.0))["prior_means"]
    assert not alone.any()
    assert gradients(problem, ELBO(1.0))["prior_means"].any()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_keep_the_temperature(problem, copied):
    problem.model.anneal(0.4)
    expected = loss_of(problem, ELBO(1.0)).total
    problem.model = copied(problem.model)
    assert torch.equal(loss_of(problem, ELBO(1.0)).total, expected)


# The heads


def entering_heads(problem):
    """A representation h and a component for every row."""
    heads, n_rows = problem.model.heads, len(problem.values)
    generator = seeded(3)
    h, component = (
        torch.randn(n_rows, size, generator=generator, dtype=torch.float64)
        for size in (heads.own.in_features, heads.by_component.in_features)
    )
    return h, component.softmax(-1)


def test_heads_are_two_linear_maps_and_the_component(problem):
    """Feature by feature: B_d y_d + V_d s + b_d, with y_d = A_d h + a_d."""
    heads, (h, component) = problem.model.heads, entering_heads(problem)
    size, actual = problem.model.feature_dim, heads(h, component)
    feature = start = 0
    for family, out, params in zip(heads.families, heads.out, actual, strict=True):
        for own in range(params.shape[1]):
            rows = slice(feature * size, (feature + 1) * size)
            y = h @ heads.own.weight[rows].T + heads.own.bias[rows]
            stop = start + family.n_parameters
            of_s = component @ heads.by_component.weight[start:stop].T
            expected = y @ out[own] + of_s + heads.by_component.bias[start:stop]
            torch.testing.assert_close(params[:, own], expected)
            feature, start = feature + 1, stop
    assert feature == len(problem.names)


def test_what_is_a_features_own_changes_no_other_feature(problem):
    heads, inputs = problem.model.heads, entering_heads(problem)
    before = torch.cat([p.flatten(1) for p in heads(*inputs)], dim=1)
    with torch.no_grad():
        heads.own.weight[heads.own_layout.owner == 2] += 1
    after = torch.cat([p.flatten(1) for p in heads(*inputs)], dim=1)
    assert torch.equal((after != before).any(0), heads.layout.owner == 2)


# Where features meet


@pytest.mark.parametrize("place", ["h", "s"])
def test_conflicts_are_recorded_where_they_are(problem, place):
    """Mean cosines of one step, against a backward pass for each feature."""
    entered = []
    hook = problem.model.heads.register_forward_pre_hook(
        lambda heads, args: entered.append(args[:2])
    )
    loss = loss_of(problem, ELBO(1.0))
    hook.remove()
    (h, component), blocks = entered[0], Impartiality(as_strategy("mgda"))
    met = {"h": h, "s": component}[place]
    rows = torch.stack(
        [torch.autograd.grad(of, met, retain_graph=True)[0].flatten() for of in loss.features]
    )
    rows = rows / rows.norm(dim=1, keepdim=True)
    gradients(problem, ELBO(1.0), blocks)
    torch.testing.assert_close(blocks.at(place).conflict.mean_cosines, rows @ rows.T)


@pytest.mark.parametrize(("place", "other"), [("h", "s"), ("s", "h")])
def test_each_place_has_a_strategy_of_its_own(problem, place, other):
    """What comes through the other place stays as it is."""
    blocks = Impartiality(as_strategy("sum"))
    blocks.at(place).strategy = as_strategy("mgda")
    plain, ours = (gradients(problem, ELBO(1.0), strategy) for strategy in (None, blocks))
    trunk = [name for name in plain if name.startswith("trunk.")]
    changed = any(not torch.allclose(ours[name], plain[name], rtol=1e-9) for name in trunk)
    assert changed == (place == "h")  # s does not come from the trunk
    name = "component.weight"
    assert not torch.allclose(ours[name], plain[name], rtol=1e-9)
