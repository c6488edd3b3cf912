"""Point estimates of a row, whoever stands beside it."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from small_problem import build, encode, sharpen, small_problem

from skhvae import inference
from skhvae.inference import (
    impute_rows,
    latent_means,
    log_predictive,
    point_estimates,
    predictive,
)
from skhvae.models import CVAE, MODELS
from skhvae.selection import SelectionModel


@pytest.fixture(params=[1, 3], ids=["alone", "three members"])
def n_members(request):
    return request.param


@pytest.fixture(params=MODELS)
def problem(request, n_members):
    """A model whose estimates differ from row to row, though it has learned nothing."""
    problem = small_problem(partial(MODELS[request.param], n_members=n_members))
    sharpen(problem.model)
    return problem


def points(model, n_points=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_points, model.noise_dim, generator=generator)


def params_at(problem, noise):
    """Raw parameters of all rows at one point, for each member."""
    model = problem.model
    with torch.no_grad():
        posterior = model.encode(problem.values, problem.observed)
        params = model.params(posterior.at(noise.expand(len(problem.values), -1)), posterior)
    if model.n_members == 1:
        return [params]
    return [[of_family[member] for of_family in params] for member in range(model.n_members)]


def impute(problem, rows=slice(None), **options):
    return impute_rows(
        problem.model,
        problem.values[rows],
        problem.observed[rows],
        points(problem.model),
        problem.by_median,
        **options,
    )


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(torch.arange(50).flip(0), id="reversed"),
        pytest.param(torch.arange(3, 50, 7), id="every seventh"),
        pytest.param(torch.tensor([11]), id="alone"),
        pytest.param(torch.tensor([4, 4, 9]), id="repeated"),
    ],
)
def test_a_row_does_not_depend_on_the_rows_beside_it(problem, rows):
    whole = impute(problem)
    assert (whole.std(0) > 0).sum() > 5  # rows differ, or the test shows nothing
    torch.testing.assert_close(impute(problem, rows), whole[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows_at_once", [1, 7, 49, 50, 1000])
def test_chunks_do_not_matter(problem, rows_at_once):
    chunked = impute(problem, rows_at_once=rows_at_once)
    torch.testing.assert_close(chunked, impute(problem), rtol=0, atol=1e-12)


@pytest.fixture(params=["cvae", "vae"])
def wide(request, n_members):
    """A model without narrow layers, which computes in float32."""
    model = partial(MODELS[request.param], n_members=n_members)
    problem = small_problem(model, n_rows=200, width=32, latent_dim=8)
    sharpen(problem.model)
    return problem


@pytest.mark.parametrize("rows_at_once", [None, 16, 64])
def test_a_row_is_the_same_to_the_last_bit(wide, rows_at_once):
    """In any order, among any rows, in any place of any chunk."""
    whole = impute(wide, rows_at_once=rows_at_once)
    assert (whole.std(0) > 0).sum() > 5
    generator = torch.Generator().manual_seed(0)
    for n_rows in (1, 2, 15, 16, 17, 63, 65, 199, 200):
        rows = torch.randperm(200, generator=generator)[:n_rows]
        assert torch.equal(impute(wide, rows, rows_at_once=rows_at_once), whole[rows])


def test_the_number_of_threads_does_not_matter(wide, n_threads):
    estimates = []
    for n in (1, 2, 3):
        n_threads(n)
        estimates.append(impute(wide, rows_at_once=16))
        assert torch.get_num_threads() == n
    assert torch.equal(estimates[0], estimates[1])
    assert torch.equal(estimates[0], estimates[2])


def test_an_error_leaves_the_number_of_threads_as_it_was(wide, n_threads, monkeypatch):
    def fail(*args):
        raise RuntimeError("of a likelihood")

    n_threads(2)
    monkeypatch.setattr(inference, "point_estimates", fail)
    with pytest.raises(RuntimeError, match="of a likelihood"):
        impute(wide, rows_at_once=16)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("width", "latent_dim", "dtype"),
    [(32, 8, torch.float32), (8, 8, torch.float64), (32, 3, torch.float64)],
)
def test_narrow_layers_are_computed_in_float64(width, latent_dim, dtype, n_members, monkeypatch):
    model = partial(CVAE, n_members=n_members)
    problem = small_problem(model, width=width, latent_dim=latent_dim)
    problem.model.eval()
    seen = []

    def spy(model, values, *args):
        seen.append(values.dtype)
        return point_estimates(model, values, *args)

    monkeypatch.setattr(inference, "point_estimates", spy)
    assert impute(problem, slice(16)).dtype == torch.float32
    assert seen == [dtype]


@pytest.mark.parametrize("n_points", [1, 8])
def test_chunks_hold_a_bounded_number_of_outputs(wide, n_points, monkeypatch):
    n_outputs = wide.model.heads.layout.n_parameters
    monkeypatch.setattr(inference, "_MOST_OUTPUTS", 300 * n_outputs)
    assert inference._chunk_size(wide.model, n_points) == {1: 256, 8: 32}[n_points]
    monkeypatch.setattr(inference, "_MOST_OUTPUTS", 1)
    assert inference._chunk_size(wide.model, n_points) == 16


def test_the_model_is_left_as_it_was(problem):
    before = {name: p.clone() for name, p in problem.model.state_dict().items()}
    state = torch.get_rng_state()
    impute(problem)
    for name, parameter in problem.model.state_dict().items():
        assert torch.equal(parameter, before[name])
        assert parameter.dtype == before[name].dtype
    assert torch.equal(torch.get_rng_state(), state)


def test_estimates_are_those_of_the_mixture_over_members_and_points(problem):
    """The mean of numeric features, the most probable or the median level of finite ones."""
    model, noise = problem.model, points(problem.model)
    actual = point_estimates(model, problem.values, problem.observed, noise, problem.by_median)
    params = [of_member for of_point in noise for of_member in params_at(problem, of_point)]
    feature = 0
    for family, *each in zip(model.heads.families, *params, strict=True):
        for own in range(each[0].shape[1]):
            if family.finite:
                mixture = sum(family.probs(eta)[:, own] for eta in each) / len(each)
                expected = mixture.argmax(1)
                if problem.by_median[feature]:
                    expected = torch.tensor(
                        [np.searchsorted(row.cumsum(0).numpy(), 0.5) for row in mixture]
                    )
            else:
                expected = sum(family.mean(eta)[:, own] for eta in each) / len(each)
            torch.testing.assert_close(
                actual[:, feature], expected.to(actual.dtype), rtol=1e-4, atol=1e-5
            )
            feature += 1
    assert feature == len(problem.names)


def test_mode_and_median_differ():
    table = pd.DataFrame({"grade": pd.Categorical(list("abc") * 10, ordered=True)})
    encoder, values, observed = encode(table)
    model = build(encoder, values, observed, CVAE)
    with torch.no_grad():
        model.heads.linear.weight.zero_()
        model.heads.linear.bias.copy_(torch.tensor([0.4, 0.25, 0.35]).log())
    for by_median, level in ((False, 0), (True, 1)):
        estimates = point_estimates(
            model, values, ~observed, points(model), torch.tensor([by_median])
        )
        assert (estimates == level).all()


def test_cells_that_are_not_visible_have_no_influence(problem):
    expected = impute(problem)
    problem.values = torch.where(problem.observed, problem.values, problem.values.flip(0))
    assert torch.equal(impute(problem), expected)


def test_density_is_that_of_the_mixture_over_members_and_points(problem):
    noise = points(problem.model).double()
    actual = log_predictive(problem.model, problem.values, problem.observed, noise)
    problem.model.double()
    problem.values = problem.values.double()
    params = [of_member for of_point in noise for of_member in params_at(problem, of_point)]
    each = [problem.model.heads.log_prob(own, problem.values) for own in params]
    mixture = np.mean([density.exp().numpy() for density in each], axis=0)
    np.testing.assert_allclose(actual, np.log(mixture), rtol=1e-9)


@pytest.mark.parametrize("rows_at_once", [1, 7, 50])
def test_density_does_not_depend_on_chunks(problem, rows_at_once):
    arguments = problem.model, problem.values, problem.observed, points(problem.model)
    whole = log_predictive(*arguments)
    chunked = log_predictive(*arguments, rows_at_once=rows_at_once)
    torch.testing.assert_close(chunked, whole, rtol=0, atol=1e-12)


def test_latent_means(problem):
    many = 100  # more rows than one chunk takes
    values, visible = problem.values.repeat(many, 1), problem.observed.repeat(many, 1)
    means = latent_means(problem.model, values, visible)
    assert means.shape == (50 * many, problem.model.n_members * problem.model.latent_dim)
    assert not means.requires_grad
    expected = problem.model.double().encode(problem.values.double(), problem.observed).mean
    if problem.model.n_members > 1:
        expected = torch.cat([*expected], dim=1)
    torch.testing.assert_close(means[-50:], expected, rtol=1e-9, atol=1e-9)


# Cells that are missing for their own value


def linear(slope):
    """A selection of the numeric features' own values, log odds of that slope."""
    far = 1e4
    return torch.tensor([-far, far]), torch.tensor([-far * slope, far * slope])


def test_estimates_of_selected_cells_are_of_the_tilted_mixture(problem):
    """exp(b x) moves a normal distribution by b times its variance, and weighs it."""
    locs, scales = [], []
    for at in points(problem.model):
        for params in params_at(problem, at):
            pairs = zip(problem.model.heads.families, params, strict=True)
            numeric = [family.constrained(raw) for family, raw in pairs if not family.finite]
            loc, scale = (torch.cat(parts, dim=-1).double() for parts in zip(*numeric, strict=True))
            locs.append(loc)
            scales.append(scale)
    locs, scales = torch.stack(locs), torch.stack(scales)
    slope = 1 / scales.max().item()  # what so few nodes can follow
    log_weights = slope * locs + (slope * scales) ** 2 / 2
    expected = (log_weights.softmax(0) * (locs + slope * scales**2)).sum(0)

    features = problem.encoder.features
    numeric = [not feature.type.finite for feature in features]
    chosen = [is_number and i % 2 == 0 for i, is_number in enumerate(numeric)]
    selection = SelectionModel([linear(slope) if c else None for c in chosen])
    plain, found = impute(problem), impute(problem, selection=selection)
    others = [not c for c in chosen]
    assert sum(chosen) > 1
    assert torch.equal(found[:, others], plain[:, others])
    expected = expected[:, [c for c, is_number in zip(chosen, numeric, strict=True) if is_number]]
    torch.testing.assert_close(found[:, chosen], expected.to(found), rtol=1e-3, atol=1e-3)


def test_a_selected_row_is_the_same_to_the_last_bit(wide):
    functions = [
        (torch.arange(9.0), torch.linspace(0, 3, 9)) if feature.type.finite else linear(0.5)
        for feature in wide.encoder.features
    ]
    selection = SelectionModel(functions)
    whole = impute(wide, selection=selection)
    assert (whole != impute(wide)).any(0).all()
    for rows in (torch.tensor([17]), torch.arange(199, -1, -3)):
        assert torch.equal(impute(wide, rows, selection=selection), whole[rows])


@pytest.mark.parametrize("together", [[0], [3, 1], list(range(10))])
def test_predictive_distributions(problem, together):
    """Their means, modes and medians are the point estimates."""
    whole, noise = impute(problem), points(problem.model)
    assert len(problem.encoder.features) == 10
    found = predictive(problem.model, problem.values, problem.observed, noise, together)
    for i, (values, probs) in zip(together, found, strict=True):
        kind = problem.encoder.features[i].type
        assert values.shape == probs.shape
        torch.testing.assert_close(probs.sum(1), torch.ones(50).to(probs))
        if kind.estimate == "mean":
            estimates = (values * probs).sum(1)
        elif kind.estimate == "mode":
            estimates = values.gather(1, probs.argmax(1, keepdim=True))[:, 0]
        else:
            estimates = (probs.cumsum(1) < 0.5).sum(1)
        torch.testing.assert_close(estimates.to(whole), whole[:, i], rtol=1e-4, atol=1e-4)
