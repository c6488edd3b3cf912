"""Networks from visible cells to raw parameters: what every model of `MODELS` promises."""

import copy
import pickle
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from small_problem import (
    PLAIN,
    WITH_DENSITY,
    build,
    encode,
    seeded,
    small_problem,
)
from small_problem import batch as batch_of
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

import skhvae.models
from skhvae.models import MODELS, VAE, Posterior, twin
from skhvae.models._blocks import ResidualBlock
from skhvae.moo import HeadLayout, Impartiality, as_strategy
from skhvae.objectives import ELBO


@pytest.fixture(params=MODELS)
def problem(request):
    return small_problem(MODELS[request.param], likelihoods=PLAIN)


@pytest.fixture(params=[True, False], ids=["training", "evaluating"])
def mode(request):
    return request.param


def exchanged(values, cells):
    """Other values of the same features in the chosen cells."""
    return torch.where(cells, values.flip(0), values)


def points_of(problem, posterior, *leading):
    """Points of the posterior, the same in every call; the rows of the table by default."""
    shape = *(leading or (len(posterior.state),)), problem.model.noise_dim
    return posterior.at(torch.randn(shape, generator=seeded(), dtype=posterior.state.dtype))


def tensors(posterior):
    return {name: x for name, x in vars(posterior).items() if torch.is_tensor(x)}


def test_registered_models_are_public():
    for model in MODELS.values():
        assert issubclass(model, VAE)
        assert model.__name__ in skhvae.models.__all__


def test_cells_that_are_not_visible_have_no_influence(problem):
    visible = problem.observed & (torch.rand(problem.observed.shape, generator=seeded()) < 0.5)
    other = exchanged(problem.values, ~visible)
    assert not torch.equal(other, problem.values)
    before, after = (problem.model.encode(v, visible) for v in (problem.values, other))
    for part, expected in tensors(before).items():
        assert torch.equal(getattr(after, part), expected), part


def test_every_visible_cell_has_an_influence(problem):
    visible = torch.ones_like(problem.observed)
    base = problem.model.encode(problem.values, visible).mean
    for feature, name in enumerate(problem.names):
        cells = torch.zeros_like(visible)
        cells[:, feature] = True
        changed = problem.model.encode(exchanged(problem.values, cells), visible).mean
        hidden = problem.model.encode(problem.values, visible & ~cells).mean
        for other in (changed, hidden):
            assert (other - base).abs().max() > 1e-3, f"{name} is not seen"


def test_a_row_does_not_depend_on_the_rows_beside_it(problem, mode):
    model, values = problem.model.double().train(mode), problem.values.double()
    rows = torch.randperm(len(values), generator=seeded())[:20]
    noise = torch.randn(len(values), model.noise_dim, generator=seeded(), dtype=torch.float64)

    def outputs(rows):
        posterior = model.encode(values[rows], problem.observed[rows])
        points = posterior.at(noise[rows])
        return points, posterior.kl(points), *model.params(points, posterior)

    for some, whole in zip(outputs(rows), outputs(slice(None)), strict=True):
        torch.testing.assert_close(some, whole[rows], rtol=1e-12, atol=1e-12)


# The posterior


def test_points_are_made_of_standard_normal_numbers(problem, mode):
    """The first latent_dim of them are of z; without noise they are its mean."""
    posterior = problem.model.train(mode).encode(problem.values, problem.observed)
    centre = posterior.at(torch.zeros(len(problem.values), problem.model.noise_dim))
    assert centre.shape == (len(problem.values), problem.model.noise_dim)
    assert posterior.mean.shape == (len(problem.values), problem.model.latent_dim)
    if not mode:
        assert torch.equal(centre[:, : problem.model.latent_dim], posterior.mean)


def test_posterior_points_have_the_posteriors_moments():
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -1.0]]), None)
    noise = torch.randn(20_000, 1, 2, generator=seeded())
    points = posterior.at(noise)
    torch.testing.assert_close(points.mean(0), posterior.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(points.std(0), posterior.log_scale.exp(), atol=0.02, rtol=0)


def test_kl_is_torchs():
    mean, log_scale = torch.randn(2, 7, 4, generator=seeded())
    expected = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0)).sum(-1)
    posterior = Posterior(mean, log_scale, None)
    torch.testing.assert_close(posterior.kl(posterior.mean), expected)


def test_log_ratio_is_torchs():
    mean, log_scale, points = torch.randn(3, 7, 4, generator=seeded())
    expected = Normal(mean, log_scale.exp()).log_prob(points) - Normal(0.0, 1.0).log_prob(points)
    torch.testing.assert_close(Posterior(mean, log_scale, None).log_ratio(points), expected.sum(-1))


def test_kl_is_one_number_a_row_and_not_negative(problem, mode):
    posterior = problem.model.train(mode).encode(problem.values, problem.observed)
    kl = posterior.kl(points_of(problem, posterior))
    assert kl.shape == (len(problem.values),)
    assert (kl > 0).all()


@pytest.mark.parametrize("model", MODELS.values())
def test_models_declare_whether_their_posterior_has_a_density(model):
    problem = small_problem(model)
    posterior = problem.model.encode(problem.values, problem.observed)
    assert hasattr(posterior, "log_ratio") == model.has_density


@pytest.mark.parametrize("model", WITH_DENSITY.values())
def test_kl_is_the_mean_log_ratio(model):
    problem = batch_of(model)
    with torch.no_grad():
        posterior = problem.model.encode(problem.values, problem.visible)
        points = points_of(problem, posterior, 50_000, len(problem.values))
        ratios, kl = posterior.log_ratio(points), posterior.kl(points[0])
    error = ratios.std(0) / len(ratios) ** 0.5
    assert ((ratios.mean(0) - kl).abs() < 5 * error).all()
    assert error.max() < 0.1 * kl.min()  # or the test shows nothing


@pytest.mark.parametrize("model", WITH_DENSITY.values())
def test_log_ratio_takes_any_number_of_points(model):
    problem = batch_of(model)
    posterior = problem.model.encode(problem.values, problem.visible)
    points = points_of(problem, posterior, 4, 3, len(problem.values))
    ratios = posterior.log_ratio(points)
    assert ratios.shape == (4, 3, len(problem.values))
    torch.testing.assert_close(ratios[2, 1], posterior.log_ratio(points[2, 1]))


def test_posterior_stays_finite_for_absurd_weights(problem):
    with torch.no_grad():
        problem.model.posterior.weight *= 1e4
    posterior = problem.model.encode(problem.values, problem.observed)
    points = points_of(problem, posterior)
    assert points.isfinite().all()
    assert posterior.kl(points).isfinite().all()


def test_posterior_is_never_a_single_point(problem, mode):
    """For absurd weights the scale of z still is a positive number."""
    model, latent = problem.model.double().train(mode), problem.model.latent_dim
    with torch.no_grad():
        model.posterior.weight *= 1e4
    posterior = model.encode(problem.values.double(), problem.observed)
    noise = torch.zeros(2, len(problem.values), model.noise_dim, dtype=torch.float64)
    noise[1, :, :latent] = 1
    centre, away = posterior.at(noise)[..., :latent]
    assert (away > centre).all()


def test_a_detached_posterior_gives_the_same_as_constants(problem, mode):
    posterior = problem.model.train(mode).encode(problem.values, problem.observed)
    constant = posterior.detach()
    assert type(constant) is type(posterior)
    points = points_of(problem, constant)
    assert torch.equal(points, points_of(problem, posterior))
    assert torch.equal(constant.kl(points), posterior.kl(points))
    assert not any(x.requires_grad for x in (points, *tensors(constant).values()))
    assert posterior.mean.requires_grad


# The decoder


def test_decoder_takes_any_number_of_points(problem, mode):
    model = problem.model.train(mode)
    posterior = model.encode(problem.values, problem.observed)
    points = points_of(problem, posterior, 4, len(problem.values))
    whole, one = (model.params(z, posterior) for z in (points, points[2]))
    for family, params, alone in zip(model.heads.families, whole, one, strict=True):
        assert params.shape[:2] == (4, len(problem.values))
        assert params.shape[3] == family.n_parameters
        torch.testing.assert_close(params[2], alone)


SEES_STATE = {"cvae": True, "vae": False, "hivae": False}


@pytest.mark.parametrize("name", MODELS)
def test_only_the_conditional_decoder_sees_the_encoders_state(name):
    problem = small_problem(MODELS[name])
    posterior = problem.model.encode(problem.values, problem.observed)
    z = posterior.mean
    here, there = (problem.model.decode(z, s) for s in (posterior.state, posterior.state.flip(0)))
    assert torch.equal(here, there) != SEES_STATE[name]


def test_impartiality_changes_no_parameter_of_a_distribution(problem, mode):
    posterior = problem.model.train(mode).encode(problem.values, problem.observed)
    points = points_of(problem, posterior)
    plain, ours = (
        problem.model.params(points, posterior, blocks)
        for blocks in (None, Impartiality(as_strategy("mgda")))
    )
    for expected, params in zip(plain, ours, strict=True):
        assert torch.equal(params, expected)


def test_parameters_held_constant_pass_gradients_through(problem):
    model = problem.model
    posterior = model.encode(problem.values, problem.observed)
    points = points_of(problem, posterior).detach().requires_grad_()
    with model.held_constant():
        params = model.params(points, posterior.detach())
    sum(p.sum() for p in params).backward()
    assert points.grad.any()
    assert all(p.grad is None for p in model.parameters())


def test_parameters_are_held_constant_for_a_while(problem):
    """Afterwards they are as before, whatever happened in between."""
    model = problem.model
    model.embedding.levels.requires_grad_(False)
    before = [p.requires_grad for p in model.parameters()]
    with suppress(KeyboardInterrupt), model.held_constant():
        assert not any(p.requires_grad for p in model.parameters())
        raise KeyboardInterrupt
    assert [p.requires_grad for p in model.parameters()] == before
    assert set(before) == {True, False}


def test_what_was_computed_before_parameters_were_held_constant_still_reaches_them(problem):
    model = problem.model
    posterior = model.encode(problem.values, problem.observed)
    params = model.params(points_of(problem, posterior), posterior)
    with model.held_constant():
        pass
    sum(p.square().sum() for p in params).backward()
    for part in (model.encoder, model.trunk, model.heads):
        assert all(p.grad.any() for p in part.parameters())


def test_visible_cells_count_at_most_as_much_as_hidden_ones(problem):
    weights = [problem.model.visible_weight(progress) for progress in np.linspace(0, 1, 21)]
    assert all(0 <= weight <= 1 for weight in weights)


def test_annealing_acts_in_training_alone(problem):
    model = problem.model.eval()
    expected = output(model, problem)
    for progress in (0.0, 0.3, 1.0):
        model.anneal(progress)
        assert torch.equal(output(model, problem), expected)


# The heads


def entering_heads(problem):
    """What the heads get to see of the rows: h, and for HI-VAE the component."""
    seen = []
    hook = problem.model.heads.register_forward_pre_hook(
        lambda heads, args: seen.extend(x for x in args if torch.is_tensor(x))
    )
    output(problem.model, problem)
    hook.remove()
    return seen


def test_heads_start_at_the_marginal_distributions(problem):
    """Where a row says nothing, h = 0, a cell's distribution is that of its column."""
    heads = problem.model.heads
    params = heads(*(torch.zeros_like(x[:1]) for x in entering_heads(problem)))
    start = 0
    for family, eta in zip(heads.families, params, strict=True):
        for own in range(eta.shape[-2]):
            column = problem.values[problem.observed[:, start + own], start + own]
            if family.finite:
                shares = torch.bincount(column.long()) / len(column)
                probs = family.probs(eta)[0, own, : len(shares)]
                torch.testing.assert_close(probs, shares, atol=0.03, rtol=0)
            else:
                mean = family.mean(eta)[0, own]
                torch.testing.assert_close(mean, column.mean(), atol=0.1 * column.std(), rtol=0)
        start += eta.shape[-2]
    assert start == len(problem.names)


def test_marginals_are_the_families_in_packed_order(problem):
    heads = problem.model.heads
    parts = heads.layout.split(heads.marginals())
    for family, part in zip(heads.families, parts, strict=True):
        assert torch.equal(part, family.initial)


def test_untrained_heads_are_near_the_marginals(problem):
    """At a width at which what random weights add up to is not itself random."""
    problem = small_problem(type(problem.model), width=64)
    posterior = problem.model.encode(problem.values, problem.observed)
    params = problem.model.params(points_of(problem, posterior, 20, 50), posterior)
    packed = torch.cat([part.flatten(2) for part in params], dim=2)
    away = packed - problem.model.heads.marginals()
    assert away.square().mean((0, 1)).sqrt().max() < 0.5


def test_losses_are_negative_log_likelihoods_in_packed_order(problem):
    posterior = problem.model.encode(problem.values, problem.observed)
    heads = problem.model.heads
    params = problem.model.params(points_of(problem, posterior), posterior)
    log_prob = heads.log_prob(params, problem.values)
    assert log_prob.shape == problem.values.shape
    torch.testing.assert_close(heads.losses(params, problem.values), -log_prob)
    moved = exchanged(problem.values, torch.arange(len(problem.names)) == 2)
    changed = (heads.log_prob(params, moved) != log_prob).any(0).nonzero().squeeze(1)
    assert changed.tolist() == [2]


# Randomness and copies


def test_dropout_acts_in_training_alone(problem):
    without, model = problem.model, small_problem(type(problem.model), dropout=0.5).model
    expected = output(without.eval(), problem)
    model.lend(seeded())
    model.train()
    first, second = output(model, problem), output(model, problem)
    model.lend(seeded())
    again = output(model, problem)
    model.eval()
    assert torch.equal(output(model, problem), expected)
    assert not torch.equal(first, expected)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)  # the lent generator decides


def test_dropout_keeps_the_mean():
    block = ResidualBlock(4, 0.25, seeded())
    block.dropout.generator = seeded()
    kept = block.dropout(torch.ones(20_000))
    torch.testing.assert_close(kept.unique(), torch.tensor([0, 4 / 3]))
    assert kept.mean().item() == pytest.approx(1, abs=0.02)


def output(model, problem):
    """Raw parameters in the middle of the posterior."""
    posterior = model.encode(problem.values, problem.observed)
    centre = posterior.at(torch.zeros(len(problem.values), model.noise_dim))
    return torch.cat([p.flatten() for p in model.params(centre, posterior)])


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: copy.deepcopy(model).double().float(),
    ],
)
def test_copies_give_the_same(problem, copied):
    twin = copied(problem.model)
    expected = output(problem.model, problem)
    assert torch.equal(output(twin, problem), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter += 1
    assert torch.equal(output(problem.model, problem), expected)


def test_state_dict_round_trip(problem):
    """A model of the same table takes over all that was learned."""
    other = small_problem(type(problem.model)).model
    with torch.no_grad():
        for parameter in problem.model.parameters():
            parameter += 0.1
    assert not torch.equal(output(other, problem), output(problem.model, problem))
    other.load_state_dict(problem.model.state_dict())
    assert torch.equal(output(other, problem), output(problem.model, problem))


def test_weights_come_from_the_generator_alone(problem):
    before = torch.get_rng_state()
    model = type(problem.model)
    twin, other = small_problem(model).model, small_problem(model, weights_seed=1).model
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(output(twin, problem), output(problem.model, problem))
    assert not torch.equal(output(other, problem), output(problem.model, problem))


def test_layouts_follow_the_parameters_device(problem):
    model = copy.deepcopy(problem.model).to("meta")
    for heads, device in ((model.heads, "meta"), (problem.model.heads, "cpu")):
        layouts = [part for part in vars(heads).values() if isinstance(part, HeadLayout)]
        assert heads.layout in layouts
        assert all(layout.owner.device.type == device for layout in layouts)


# Tables of other shapes


@pytest.mark.parametrize("kinds", [["real_1"], ["nominal_1"], ["real_1", "count_1"], ["binary_1"]])
@pytest.mark.parametrize("model", MODELS.values())
def test_tables_of_few_kinds(kinds, model):
    table = small_problem().complete[kinds]
    encoder, values, observed = encode(table)
    network = build(encoder, values, observed, model)
    blocks = Impartiality(as_strategy("equal-norm"))
    loss = ELBO(1.0)(network, values, observed, observed, blocks, seeded())
    loss.total.backward()
    assert loss.features.shape == (len(kinds),)
    assert loss.total.isfinite()


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that any operation makes, forwards and backwards."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize("strategy", ["equal-norm", "mgda"])
@pytest.mark.parametrize("model", MODELS.values())
def test_thousands_of_levels_cost_no_tensor_of_rows_levels_and_features(model, strategy):
    n_levels, n_rows, n_others = 5000, 64, 12
    rng = np.random.default_rng(0)
    columns = {f"level {i}": rng.choice(list("abc"), n_levels) for i in range(n_others)}
    table = pd.DataFrame({"town": np.arange(n_levels).astype(str), **columns})
    encoder, values, observed = encode(table, feature_types={"town": "nominal"})
    network = build(encoder, values, observed, model, width=16)
    batch, seen = values[:n_rows], observed[:n_rows]
    blocks = Impartiality(as_strategy(strategy))
    with LargestTensor() as made:
        loss = ELBO(1.0)(network, batch, seen, seen, blocks, seeded())
        loss.total.backward()
    n_parameters = network.heads.layout.n_parameters
    assert n_parameters >= n_levels
    # One raw parameter for each row and level; neither one more axis of features nor a Gramian of
    # all levels.
    assert n_rows * n_levels <= made.largest <= 1.5 * n_rows * n_parameters


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_a_twin_is_equal_and_shares_no_number(problem, dtype):
    model, twins = problem.model.eval(), twin(problem.model, dtype)
    state, copied = model.state_dict(), twins.state_dict()
    assert [*copied] == [*state]
    for name, tensor in state.items():
        assert torch.equal(copied[name], tensor.to(copied[name].dtype))
        assert copied[name].dtype == (
            dtype or tensor.dtype if tensor.is_floating_point() else tensor.dtype
        )
    assert [p.requires_grad for p in twins.parameters()] == [True] * len([*model.parameters()])
    values, observed = problem.values.to(dtype), problem.observed
    expected = copy.deepcopy(model).to(dtype).encode(values, observed)
    assert torch.equal(twins.encode(values, observed).mean, expected.mean)
    before = [tensor.clone() for tensor in model.state_dict().values()]
    with torch.no_grad():
        for tensor in (*twins.parameters(), *twins.buffers()):
            tensor.zero_()
    twins.train()
    assert all(map(torch.equal, model.state_dict().values(), before))
    assert not model.training
    assert not any(module.training for module in model.modules())
