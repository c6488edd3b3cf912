"""Networks from visible cells to raw parameters: what every model of `MODELS` promises."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from small_problem import build, encode, small_problem
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

import skhvae.models
from skhvae.likelihoods import Normal as NormalLikelihood
from skhvae.models import CVAE, MODELS, VAE, Posterior
from skhvae.models._blocks import ResidualBlock
from skhvae.moo import as_strategy
from skhvae.objectives import ELBO


@pytest.fixture(params=MODELS)
def problem(request):
    plain = NormalLikelihood(beta_nll=0.0)  # without the default's reweighting of gradients
    kinds = ("real", "positive", "count", "datetime")
    return small_problem(MODELS[request.param], likelihoods=dict.fromkeys(kinds, plain))


def exchanged(values, cells):
    """Other values of the same features in the chosen cells."""
    return torch.where(cells, values.flip(0), values)


def seeded():
    return torch.Generator().manual_seed(0)


def test_registered_models_are_public():
    for model in MODELS.values():
        assert issubclass(model, VAE)
        assert model.__name__ in skhvae.models.__all__


def test_cells_that_are_not_visible_have_no_influence(problem):
    visible = problem.observed & (torch.rand(problem.observed.shape, generator=seeded()) < 0.5)
    other = exchanged(problem.values, ~visible)
    assert not torch.equal(other, problem.values)
    before, after = (problem.model.encode(v, visible) for v in (problem.values, other))
    for part in ("mean", "log_scale", "state"):
        assert torch.equal(getattr(before, part), getattr(after, part))


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


def test_a_row_does_not_depend_on_the_rows_beside_it(problem):
    model = problem.model.double()
    values = problem.values.double()
    whole = model.encode(values, problem.observed).mean
    order = torch.randperm(len(values), generator=seeded())[:20]
    torch.testing.assert_close(
        model.encode(values[order], problem.observed[order]).mean, whole[order]
    )


def test_posterior_points_have_the_posteriors_moments():
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -1.0]]), None)
    noise = torch.randn(20_000, 1, 2, generator=seeded())
    points = posterior.at(noise)
    torch.testing.assert_close(points.mean(0), posterior.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(points.std(0), posterior.log_scale.exp(), atol=0.02, rtol=0)


def test_kl_is_torchs():
    mean, log_scale = torch.randn(2, 7, 4, generator=seeded())
    expected = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(Posterior(mean, log_scale, None).kl(), expected)


def test_posterior_stays_finite_for_absurd_weights(problem):
    with torch.no_grad():
        problem.model.posterior.weight *= 1e4
    posterior = problem.model.encode(problem.values, problem.observed)
    assert posterior.kl().isfinite().all()
    assert (posterior.log_scale.exp() > 0).all()


def test_decoder_takes_any_number_of_points(problem):
    posterior = problem.model.encode(problem.values, problem.observed)
    noise = torch.randn(4, 1, problem.model.latent_dim, generator=seeded())
    points = posterior.at(noise)
    h = problem.model.decode(points, posterior.state)
    assert h.shape[:-1] == (4, len(problem.values))
    torch.testing.assert_close(h[2], problem.model.decode(points[2], posterior.state))


@pytest.mark.parametrize(("model", "conditional"), [(VAE, False), (CVAE, True)])
def test_only_the_conditional_decoder_sees_the_encoders_state(model, conditional):
    problem = small_problem(model)
    posterior = problem.model.encode(problem.values, problem.observed)
    z = posterior.mean
    here, there = (problem.model.decode(z, s) for s in (posterior.state, posterior.state.flip(0)))
    assert torch.equal(here, there) != conditional


def test_visible_cells_count_at_most_as_much_as_hidden_ones(problem):
    weights = [problem.model.visible_weight(progress) for progress in np.linspace(0, 1, 21)]
    assert all(0 <= weight <= 1 for weight in weights)


def test_heads_start_at_the_marginal_distributions(problem):
    """Where a row says nothing, h = 0, a cell's distribution is that of its column."""
    heads = problem.model.heads
    params = heads(torch.zeros(1, heads.linear.in_features))
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


def test_untrained_heads_are_near_the_marginals(problem):
    heads = problem.model.heads
    typical = torch.randn(200, heads.linear.in_features, generator=seeded())
    packed = torch.cat([part.flatten(1) for part in heads(typical)], dim=1)
    assert (packed - heads.linear.bias).std(0).max() < 0.3


def test_losses_are_negative_log_likelihoods_in_packed_order(problem):
    posterior = problem.model.encode(problem.values, problem.observed)
    heads = problem.model.heads
    params = heads(problem.model.decode(posterior.mean, posterior.state))
    log_prob = heads.log_prob(params, problem.values)
    assert log_prob.shape == problem.values.shape
    torch.testing.assert_close(heads.losses(params, problem.values), -log_prob)
    moved = exchanged(problem.values, torch.arange(len(problem.names)) == 2)
    changed = (heads.log_prob(params, moved) != log_prob).any(0).nonzero().squeeze(1)
    assert changed.tolist() == [2]


def test_dropout_acts_in_training_alone(problem):
    without, model = problem.model, small_problem(type(problem.model), dropout=0.5).model
    expected = output(without, problem)
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
    posterior = model.encode(problem.values, problem.observed)
    return torch.cat(
        [p.flatten() for p in model.heads(model.decode(posterior.mean, posterior.state))]
    )


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
        twin.heads.linear.bias += 1
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


def test_packed_layout_follows_the_parameters_device(problem):
    model = copy.deepcopy(problem.model)
    assert model.to("meta").heads.layout.owner.device.type == "meta"
    assert problem.model.heads.layout.owner.device.type == "cpu"


@pytest.mark.parametrize("kinds", [["real_1"], ["nominal_1"], ["real_1", "count_1"], ["binary_1"]])
@pytest.mark.parametrize("model", MODELS.values())
def test_tables_of_few_kinds(kinds, model):
    table = small_problem().complete[kinds]
    encoder, values, observed = encode(table)
    network = build(encoder, values, observed, model)
    loss = ELBO(1.0)(network, values, observed, observed, as_strategy("equal-norm"), seeded())
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
def test_thousands_of_levels_cost_no_tensor_of_rows_levels_and_features(strategy):
    n_levels, n_rows, n_others = 5000, 64, 12
    rng = np.random.default_rng(0)
    columns = {f"level {i}": rng.choice(list("abc"), n_levels) for i in range(n_others)}
    table = pd.DataFrame({"town": np.arange(n_levels).astype(str), **columns})
    encoder, values, observed = encode(table, feature_types={"town": "nominal"})
    model = build(encoder, values, observed, width=16)
    batch, seen = values[:n_rows], observed[:n_rows]
    with LargestTensor() as tensors:
        loss = ELBO(1.0)(model, batch, seen, seen, as_strategy(strategy), seeded())
        loss.total.backward()
    n_parameters = model.heads.layout.n_parameters
    assert n_parameters >= n_levels
    # One raw parameter for each row and level; neither one more axis of features nor a Gramian of
    # all levels.
    assert n_rows * n_levels <= tensors.largest <= 1.5 * n_rows * n_parameters
