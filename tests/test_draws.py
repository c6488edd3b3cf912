"""Draws of a row's cells one after the other, and their joint density by the chain rule."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from small_problem import build, encode, sharpen, small_problem

from skhvae.draws import Grid, draw_cells, log_density, turns
from skhvae.models import MODELS
from skhvae.rows import RowStreams


def ready(model="cvae", **options):
    """A problem, and what draws need beside it."""
    problem = small_problem(MODELS[model], **options)
    sharpen(problem.model)
    n_points, size = problem.model.n_points, problem.model.noise_dim
    points = torch.randn(n_points, size, generator=torch.Generator().manual_seed(0))
    return problem, dict(points=points, member=0, grid=Grid(*problem.encoder.ranges()))


def random_numbers(values, observed, seed=0):
    numbers = RowStreams(values, observed, seed).uniform(0, 2 * values.shape[1])
    return torch.from_numpy(numbers).split(values.shape[1], dim=1)


def test_turns_follow_the_order():
    wanted = torch.tensor([[True, True, False, True], [False] * 4])
    order = torch.tensor([[0.5, 0.9, 0.0, 0.1], [0.1, 0.2, 0.3, 0.4]])
    assert turns(wanted, order).tolist() == [[1, 2, -1, 0], [-1] * 4]


def test_many_cells_share_turns():
    order = torch.rand(3, 100, generator=torch.Generator().manual_seed(0))
    wanted = order > 0.2
    wanted[2] = order[2] < 0.1
    found = turns(wanted, order)
    assert found.max() == 31
    for row, cells, numbers in zip(found, wanted, order, strict=True):
        sizes = row[cells].bincount()
        assert sizes.max() - sizes.min() <= 1
        in_turn = row[cells][numbers[cells].argsort()]
        assert (in_turn.diff() >= 0).all()
    assert len(found[2][wanted[2]].unique()) == wanted[2].sum()  # less than there are turns


def test_grid():
    grid = Grid(*torch.tensor([[-1.5, 0.0, -torch.inf], [2.0, 1.0, torch.inf], [0.5, 0.0, 0.0]]))
    found = grid.nearest(torch.tensor([[0.2, 0.3, 7.0], [-9.0, -9.0, -9.0], [9.0, 9.0, 9.0]]))
    expected = torch.tensor([[0.0, 0.3, 7.0], [-1.5, 0.0, -9.0], [2.0, 1.0, 9.0]])
    torch.testing.assert_close(found, expected)


def test_steps_too_fine_to_be_told_round_nothing():
    """Whole numbers of 300 digits, say: the quotient would overflow."""
    grid = Grid(*torch.tensor([[-1.5], [2.0], [5e-309]], dtype=torch.float64))
    values = torch.tensor([[0.3], [2.0], [9.0]], dtype=torch.float64)
    torch.testing.assert_close(grid.nearest(values), values.clamp(max=2.0))


@pytest.mark.parametrize("model", MODELS)
def test_only_cells_with_a_turn_are_drawn_and_within_their_range(model):
    problem, options = ready(model)
    order, levels = random_numbers(problem.values, problem.observed)
    turn = turns(~problem.observed, order)
    drawn = draw_cells(problem.model, problem.values, problem.observed, turn, levels, **options)
    assert torch.equal(drawn[problem.observed], problem.values[problem.observed])
    assert not torch.equal(drawn, problem.values)
    assert drawn.isfinite().all()
    low, high, _ = problem.encoder.ranges()
    assert ((drawn >= low - 1e-5) & (drawn <= high + 1e-5)).all()
    n_levels = problem.encoder.n_levels()
    finite = n_levels > 0
    assert (drawn[:, finite] < n_levels[finite]).all()
    assert torch.equal(drawn[:, finite], drawn[:, finite].round())


@pytest.mark.parametrize("model", MODELS)
def test_a_rows_draws_do_not_depend_on_others(model):
    problem, options = ready(model)
    order, levels = random_numbers(problem.values, problem.observed)
    turn = turns(~problem.observed, order)

    def draws(rows, **more):
        tensors = (x[rows] for x in (problem.values, problem.observed, turn, levels))
        return draw_cells(problem.model, *tensors, **options, **more)

    everything = draws(slice(None))
    some = torch.tensor([7, 3, 41])
    assert torch.equal(draws(some), everything[some])
    # In chunks of another shape sums are rounded otherwise, which decides hardly any draw.
    assert (
        torch.isclose(draws(slice(None), rows_at_once=32), everything, atol=1e-4).float().mean()
        > 0.99
    )


def finite_problem():
    """Three features with levels, and a model of them."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "a": pd.Categorical(rng.choice(list("xyz"), 60)),
            "b": pd.Categorical(rng.choice(list("uv"), 60)),
            "c": pd.Categorical(rng.choice(list("pqrs"), 60)),
        }
    )
    encoder, values, observed = encode(table)
    model = build(encoder, values, observed)
    sharpen(model, 20.0)
    return encoder, model


def all_rows(n_levels):
    return torch.tensor(list(itertools.product(*map(range, n_levels))), dtype=torch.float32)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_density_is_one_in_all(order):
    encoder, model = finite_problem()
    rows = all_rows(encoder.n_levels().tolist())
    turn = torch.tensor(order).expand(len(rows), -1)
    densities = log_density(model, rows, turn, torch.zeros(1, model.noise_dim)).exp()
    assert densities.sum().item() == pytest.approx(1.0)
    assert densities.max() > 2 * densities.min()


def test_draws_have_the_joint_density():
    """Frequencies of all combinations of levels against their probabilities, by a chi-squared test."""
    encoder, model = finite_problem()
    points = torch.zeros(1, model.noise_dim)
    rows, n = all_rows(encoder.n_levels().tolist()), 20_000
    turn = torch.tensor([2, 0, 1])
    expected = n * log_density(model, rows, turn.expand(len(rows), -1), points).exp()
    nothing = torch.zeros(n, 3, dtype=torch.bool)
    levels = torch.rand(n, 3, generator=torch.Generator().manual_seed(0))
    drawn = draw_cells(
        model,
        torch.zeros(n, 3),
        nothing,
        turn.expand(n, -1),
        levels,
        points=points,
        member=0,
        grid=Grid(*encoder.ranges()),
    )
    counts = torch.tensor([(drawn == row).all(1).sum() for row in rows])
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < len(rows) + 4 * (2 * len(rows)) ** 0.5


def test_density_of_a_row_is_that_of_its_visible_cells_alone():
    problem, options = ready()
    turn = turns(problem.observed, torch.rand(problem.values.shape))
    first = log_density(problem.model, problem.values, turn, options["points"])
    values = torch.where(problem.observed, problem.values, 1.0)
    assert not torch.equal(values, problem.values)
    assert torch.equal(log_density(problem.model, values, turn, options["points"]), first)
