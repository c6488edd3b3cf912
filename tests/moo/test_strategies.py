"""What every strategy promises: one row a strategy in `CASES`, generic tests over all rows.

`JACOBIANS` holds features' gradients, one a row, from easy ones to linearly dependent ones and ones
of very different sizes. To test a new strategy, add its row to `CASES`.
"""

import copy
import itertools
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import skhvae.moo
from skhvae.moo import STRATEGIES, FromCallable, PCGrad, Weighting, as_strategy, strategy_names


def gradients(n_features, n_coordinates=40, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n_features, n_coordinates)))


def sized(factors, of):
    return torch.tensor(factors, dtype=torch.float64)[:, None] * of


JACOBIANS = {
    "one": gradients(1),
    "two": gradients(2),
    "two in conflict": gradients(2) - 0.8 * gradients(2).mean(0),
    "15": gradients(15),
    "200": gradients(200, 400),
    "200 of rank 40": gradients(200, 40),
    "conflicting": gradients(10) - 0.9 * gradients(10).mean(0),
    "agreeing": gradients(10).abs(),
    "duplicates": gradients(8).repeat_interleave(2, 0),
    "rank 1": sized([1, 2, 0.5, 3], gradients(1)),
    "opposite": sized([1, -2], gradients(1)),
    "rank 1, both signs": sized([1, -2, 3, -0.5], gradients(1)),
    "sizes 1e-8 to 1e8": sized(np.logspace(-8, 8, 15), gradients(15)),
    "two sizes": sized([1e-8, 1e8], gradients(2)),
    "tiny": 1e-12 * gradients(5),
    "huge": 1e12 * gradients(5),
}
CONFLICTING = JACOBIANS["conflicting"]
PINNED = torch.tensor([[2.0, 0.0, 0.0], [-1.0, 3.0, 0.0], [2.0, 1.0, 1.0]], dtype=torch.float64)


def torchjd(name, **parameters):
    """An oracle: a Weighting of TorchJD."""

    def weights(gramian):
        return getattr(pytest.importorskip("torchjd.aggregation"), name)(**parameters)(gramian)

    return weights


@dataclass(frozen=True)
class Case:
    """How to test one strategy.

    pinned: weights on `PINNED`, up to a common factor; oracle: the same method by other means;
    cosine: how well their directions agree; draws: calls to average where the outcome is random,
    which for two features it never is; size_blind: whether the direction stays the same when the
    gradients change their sizes.
    """

    pinned: tuple[float, ...]
    oracle: Callable[[torch.Tensor], torch.Tensor]
    cosine: float = 1 - 1e-9
    draws: int = 1
    size_blind: bool = False


CASES = {
    "sum": Case(pinned=(1, 1, 1), oracle=torchjd("SumWeighting")),
    "equal-norm": Case(
        pinned=(1 / 2, 1 / 10**0.5, 1 / 6**0.5),
        oracle=lambda gramian: torch.from_numpy(np.diag(gramian.numpy()) ** -0.5),
        size_blind=True,
    ),
    "imtl-g": Case(
        pinned=(1.82545, 0.77510, -0.93790), oracle=torchjd("IMTLGWeighting"), size_blind=True
    ),
    "mgda": Case(
        pinned=(2 / 3, 1 / 3, 0),
        oracle=torchjd("MGDAWeighting", epsilon=1e-9, max_iters=2000),
        cosine=0.999,  # Frank-Wolfe steps come near; the certificate below is exact
    ),
    "pcgrad": Case(
        pinned=(1 + 1 / 2, 1 + 1 / 5, 1),
        oracle=torchjd("PCGradWeighting"),
        cosine=0.995,
        draws=300,
    ),
}


def test_every_strategy_has_a_case():
    assert set(CASES) == set(STRATEGIES), "strategies and rows of CASES differ"


@pytest.fixture(params=STRATEGIES)
def name(request):
    if request.param not in CASES:
        pytest.fail(f"Strategy {request.param!r} has no case: add its row to CASES.")
    return request.param


@pytest.fixture(params=JACOBIANS)
def jacobian(request):
    return JACOBIANS[request.param]


def with_settled_outcome(names, matrices):
    """Strategies and gradients; random strategies only with two features, where no order is drawn."""
    rows = [
        (name, matrix)
        for name in names
        for matrix in matrices
        if len(JACOBIANS[matrix]) <= 2 or (name in CASES and CASES[name].draws == 1)
    ]
    return pytest.mark.parametrize(("name", "of"), rows)


def ready(name, seed=0):
    strategy = as_strategy(name)
    strategy.reset(torch.Generator().manual_seed(seed))
    return strategy


def combined(strategy, jacobian):
    """The gradient that a strategy makes of the features'."""
    return strategy(jacobian @ jacobian.T) @ jacobian


def cosine(first, second):
    return torch.nn.functional.cosine_similarity(first, second, dim=-1).item()


# The registry


@pytest.mark.parametrize("name", STRATEGIES)
def test_docstring_cites_the_method_and_shows_it(name):
    strategy = STRATEGIES[name]
    assert re.search(r"[A-Z]\w+.* (19|20)\d\d", strategy.__doc__), f"{name}: no reference"
    assert ">>> " in strategy.__doc__, f"{name}: no example"
    assert strategy.__name__ in skhvae.moo.__all__


def test_every_exported_strategy_is_registered():
    exported = [getattr(skhvae.moo, public) for public in skhvae.moo.__all__]
    strategies = {c for c in exported if isinstance(c, type) and issubclass(c, Weighting)}
    assert strategies - {Weighting, FromCallable} == set(STRATEGIES.values())
    assert strategy_names() == list(STRATEGIES)


# Every strategy


def test_finite_and_as_long_as_the_plain_sum(name, jacobian):
    gramian = jacobian @ jacobian.T
    weights = ready(name)(gramian)
    assert weights.dtype == torch.float64
    assert weights.isfinite().all()
    terms = weights.abs() @ gramian.abs() @ weights.abs()
    length, plain = combined(ready(name), jacobian).norm(), jacobian.sum(0).norm()
    # Weighted gradients that cancel make no direction; every other one has the length of the sum.
    if weights.any():
        assert length == pytest.approx(plain.item(), rel=1e-6)
        assert length**2 > 1e-7 * terms
    else:
        raw = ready(name).weights(gramian)
        assert (raw @ jacobian).norm() ** 2 <= 1e-5 * (raw.abs() @ gramian.abs() @ raw.abs())


@pytest.mark.parametrize("factors", [(1, -2), (1, -3), (3, 7, -2)], ids=str)
def test_gradients_on_one_line_in_both_directions_give_no_noise(name, factors):
    """Either the line's direction of the sum or nothing; rounding in float32 is not blown up."""
    for seed in range(20):
        jacobian = sized(factors, gradients(1, seed=seed)).float()
        weights = ready(name)(jacobian @ jacobian.T)
        assert weights.abs().max() < 10
        direction = weights @ jacobian.double()
        assert not direction.any() or cosine(direction, jacobian.double().sum(0)) > 0.99


def test_same_generator_same_weights(name, jacobian):
    gramian = jacobian @ jacobian.T
    torch.testing.assert_close(ready(name)(gramian), ready(name)(gramian), rtol=0, atol=0)


def test_global_random_state_is_untouched(name):
    before = torch.get_rng_state()
    ready(name)(CONFLICTING @ CONFLICTING.T)
    assert torch.equal(torch.get_rng_state(), before)


@with_settled_outcome(STRATEGIES, JACOBIANS)
def test_order_of_features_does_not_matter(name, of):
    jacobian = JACOBIANS[of]
    order = torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(3))
    shuffled = jacobian[order]
    expected = combined(ready(name), jacobian)
    torch.testing.assert_close(
        combined(ready(name), shuffled), expected, rtol=0, atol=1e-5 * jacobian.sum(0).norm()
    )


@pytest.mark.parametrize("factor", [1e-9, 0.1, 1e9])
def test_unit_of_the_loss_does_not_matter(name, factor):
    gramian = CONFLICTING @ CONFLICTING.T
    torch.testing.assert_close(ready(name)(factor * gramian), ready(name)(gramian))


@with_settled_outcome(STRATEGIES, ["one", "two", "two in conflict", "15", "sizes 1e-8 to 1e8"])
@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_feature_without_gradient_is_left_out(name, of, where):
    jacobian = JACOBIANS[of]
    n_features = len(jacobian)
    at = {
        "first": torch.arange(n_features) + 2,
        "between": 2 * torch.arange(n_features) + 1,
        "last": torch.arange(n_features),
    }[where]
    padded = jacobian.new_zeros(2 * n_features + 2, jacobian.shape[1])
    padded[at] = jacobian
    weights = ready(name)(padded @ padded.T)
    torch.testing.assert_close(
        weights[at], ready(name)(jacobian @ jacobian.T), rtol=1e-9, atol=1e-12
    )
    assert weights.count_nonzero() <= n_features


@pytest.mark.parametrize("n_features", [1, 4])
def test_no_gradient_at_all(name, n_features):
    assert not ready(name)(torch.zeros(n_features, n_features)).any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_gramian_that_is_not_finite_gives_nan(name, bad):
    """By which training skips the step, instead of an error or of a direction from nowhere."""
    gramian = torch.eye(3)
    gramian[1, 1] = bad
    assert ready(name)(gramian).isnan().all()


@with_settled_outcome(
    [name for name, strategy in STRATEGIES.items() if strategy.separable],
    ["one", "two", "two in conflict", "15", "conflicting", "duplicates"],
)
def test_separable_is_true(name, of):
    """A further orthogonal gradient of any size changes no ratio among the others."""
    jacobian = JACOBIANS[of]
    before = ready(name).weights(jacobian @ jacobian.T)
    for size in (0.01, 1.0, 100.0):
        apart = torch.block_diag(jacobian, torch.tensor([[size]]).double())
        after = ready(name).weights(apart @ apart.T)[:-1]
        assert cosine(after, before) == pytest.approx(1, abs=1e-9)


@with_settled_outcome(STRATEGIES, ["two in conflict", "15", "conflicting"])
def test_size_blindness(name, of):
    """Sizes do not matter to the strategies of which the case says so, and to no other."""
    jacobian = JACOBIANS[of]
    other_sizes = sized(np.logspace(-3, 3, len(jacobian)), jacobian)
    agreement = cosine(combined(ready(name), jacobian), combined(ready(name), other_sizes))
    assert (agreement > 1 - 1e-6) == CASES[name].size_blind


def test_pinned_values(name):
    weights = ready(name).weights(PINNED @ PINNED.T)
    expected = torch.tensor(CASES[name].pinned, dtype=torch.float64)
    torch.testing.assert_close(
        weights / weights.norm(), expected / expected.norm(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("of", ["two", "two in conflict", "15", "conflicting", "agreeing"])
def test_direction_is_the_oracles(name, of):
    case, jacobian = CASES[name], JACOBIANS[of]
    gramian = jacobian @ jacobian.T
    strategy = ready(name)
    ours = torch.stack([strategy.weights(gramian) for _ in range(case.draws)]).mean(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([case.oracle(gramian) for _ in range(case.draws)]).mean(0)
    assert cosine(ours @ jacobian, theirs @ jacobian) > case.cosine


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_give_the_same(name, copied):
    gramian = JACOBIANS["two in conflict"] @ JACOBIANS["two in conflict"].T
    assert torch.equal(copied(as_strategy(name))(gramian), as_strategy(name)(gramian))


# Single strategies


def test_mgda_is_the_shortest_convex_combination(jacobian):
    """No gradient loses along it, and its duality gap is zero: the certificate of the minimum."""
    weights = ready("mgda").weights(jacobian @ jacobian.T)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    shortest, sizes = weights @ jacobian, jacobian.norm(dim=1)
    if shortest.norm() < 1e-6 * sizes.min():
        return  # the hull contains 0, which nothing is shorter than
    projections = jacobian @ shortest / (sizes * shortest.norm())
    assert (projections > shortest.norm() / sizes - 1e-6).all()


def test_imtl_g_projects_equally_on_all_unit_gradients(jacobian):
    weights = ready("imtl-g").weights(jacobian @ jacobian.T)
    units = jacobian / jacobian.norm(dim=1, keepdim=True)
    projections = units @ (weights @ jacobian)
    if torch.linalg.matrix_rank(units) == len(units):
        assert (projections > 0).all()
        torch.testing.assert_close(projections, projections.mean().expand_as(projections))
    assert projections.sum() >= 0  # never against the features' mean direction


def pcgrad_by_the_paper(jacobian, orders):
    """Algorithm 1 of arXiv 2001.06782 on the vectors themselves."""
    total = torch.zeros_like(jacobian[0])
    for own, order in zip(jacobian, orders, strict=True):
        projected = own.clone()
        for other in jacobian[list(order)]:
            if projected @ other < 0:
                projected -= (projected @ other) / (other @ other) * other
        total += projected
    return total


def test_pcgrad_is_the_papers_algorithm_in_some_order():
    """Three features in conflict meet the others in one of eight orders; all eight occur."""
    jacobian = gradients(3, 4, seed=1)
    jacobian = jacobian - jacobian.mean(0) * 0.9
    others = [[j for j in range(3) if j != i] for i in range(3)]
    outcomes = torch.stack(
        [
            pcgrad_by_the_paper(jacobian, orders)
            for orders in itertools.product(*(itertools.permutations(pair) for pair in others))
        ]
    )
    assert torch.pdist(outcomes).min() > 1e-3  # the order matters, or the test shows nothing
    strategy = ready("pcgrad")
    found = set()
    for _ in range(100):
        distances = (outcomes - strategy.weights(jacobian @ jacobian.T) @ jacobian).norm(dim=1)
        assert distances.min() < 1e-9
        found.add(distances.argmin().item())
    assert len(found) == 8


def test_pcgrad_draws_another_order_at_every_call():
    strategy, gramian = ready("pcgrad"), CONFLICTING @ CONFLICTING.T
    assert not torch.equal(strategy(gramian), strategy(gramian))


# as_strategy


def test_callable_as_strategy():
    seen = []

    def inverse_square(gramian):
        seen.append(gramian)
        return (1 / gramian.diagonal()).tolist()  # anything that torch reads as numbers

    jacobian = torch.block_diag(gradients(3), torch.zeros(1, 1))
    weights = as_strategy(inverse_square)(jacobian @ jacobian.T)
    assert weights[3] == 0
    squared_norms = (jacobian[:3] ** 2).sum(1)
    assert cosine(weights[:3], 1 / squared_norms) == pytest.approx(1)
    assert seen[0].shape == (3, 3)  # features without a gradient are left out before the call
    assert seen[0].dtype == torch.float64


@pytest.mark.parametrize("shape", [(), (2,), (1, 3), (3, 3)])
def test_callable_of_wrong_shape(shape):
    strategy = as_strategy(lambda gramian: torch.ones(shape))
    message = rf"one weight for each of 3 features, found shape {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        strategy(torch.eye(3))


def test_callable_whose_weights_are_not_finite():
    assert as_strategy(lambda g: torch.full(g.shape[:1], torch.nan))(torch.eye(2)).isnan().all()


def test_instances_are_copied():
    """A fit's state must not reach the object that the user passed."""
    mine = PCGrad()
    own = as_strategy(mine)
    assert isinstance(own, PCGrad)
    own.reset(torch.Generator())
    assert vars(mine) == vars(PCGrad())


def test_names_give_fresh_instances(name):
    assert as_strategy(name) is not as_strategy(name)
    assert type(as_strategy(name)) is STRATEGIES[name]
