"""What every strategy promises: one row a strategy in `CASES`, generic tests over all rows.

`JACOBIANS` holds features' gradients, one a row, from easy ones to linearly dependent ones and ones
of very different sizes. To test a new strategy, add its row to `CASES`.
"""

import copy
import itertools
import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy import optimize

import skhvae.moo
from skhvae.moo import (
    STRATEGIES,
    CAGrad,
    Chain,
    FromCallable,
    GradNorm,
    GradVac,
    NashMTL,
    StackedGradients,
    StatefulWeighting,
    Strategy,
    Weighting,
    as_strategy,
    strategy_names,
)


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
    "scaled": sized(np.logspace(-1, 1, 15), gradients(15)),
    "tiny": 1e-12 * gradients(5),
    "huge": 1e12 * gradients(5),
}
CONFLICTING = JACOBIANS["conflicting"]
PINNED = torch.tensor([[2.0, 0.0, 0.0], [-1.0, 3.0, 0.0], [2.0, 1.0, 1.0]], dtype=torch.float64)


def torchjd(name, needs=(), **parameters):
    """An oracle: what an Aggregator of TorchJD makes of a Jacobian."""

    def direction(jacobian):
        for module in needs:
            pytest.importorskip(module)
        aggregation = pytest.importorskip("torchjd.aggregation")
        options = {k: v(jacobian) if callable(v) else v for k, v in parameters.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its solvers
            return getattr(aggregation, name)(**options)(jacobian)

    return direction


def unit(jacobian):
    return jacobian / jacobian.norm(dim=1, keepdim=True)


ORDINARY = ["two", "two in conflict", "15", "conflicting", "agreeing"]
DEPENDENT = ["duplicates", "rank 1", "200 of rank 40"]


@dataclass(frozen=True)
class Case:
    """How to test one strategy.

    pinned: weights on `PINNED`, up to a common factor, None where they are drawn; oracle: the direction
    by other means, and on which Jacobians it is one; cosine: how well the two agree; draws: calls to
    average where the outcome is random; by_order: it is random only through the order of more than two
    features; size_blind: whether the direction stays the same when the gradients change their sizes;
    harmless: whether no feature loses along it; tells: down to which share of the largest gradient's size
    a feature's weight is more than what is left of larger numbers.
    """

    pinned: tuple[float, ...] | None
    oracle: Callable[[torch.Tensor], torch.Tensor]
    on: list[str] = field(default_factory=lambda: [*ORDINARY, *DEPENDENT, "scaled"])
    cosine: float = 1 - 1e-9
    draws: int = 1
    by_order: bool = False
    size_blind: bool = False
    harmless: bool = False
    tells: float = 0.0

    def settled(self, n_features):
        """Whether the outcome is the same in every call."""
        return self.draws == 1 or (self.by_order and n_features <= 2)


CASES = {
    "sum": Case(pinned=(1, 1, 1), oracle=torchjd("Sum")),
    "equal-norm": Case(
        pinned=(1 / 2, 1 / 10**0.5, 1 / 6**0.5),
        oracle=lambda jacobian: unit(jacobian).sum(0),
        size_blind=True,
    ),
    "gradnorm": Case(  # the first step of its optimiser, by the same step of torch's
        pinned=(np.exp(0.025), np.exp(-0.025), np.exp(0.025)),
        oracle=lambda jacobian: gradnorm_by_torch(jacobian, 1) @ jacobian,
    ),
    "nsgd": Case(
        pinned=(1 / 2, 1 / 10**0.5, 1 / 6**0.5),
        oracle=lambda jacobian: unit(jacobian).sum(0),
        size_blind=True,
    ),
    "pcgrad": Case(
        pinned=(1 + 1 / 2, 1 + 1 / 5, 1),
        oracle=torchjd("PCGrad"),
        on=[*ORDINARY, "duplicates", "rank 1", "scaled"],
        cosine=0.995,
        draws=300,
        by_order=True,
    ),
    "gradvac": Case(
        pinned=(1 + 1 / 2, 1 + 1 / 5, 1),
        oracle=torchjd("GradVac", beta=0.01),
        on=[*ORDINARY, "duplicates", "rank 1", "scaled"],
        cosine=0.995,
        draws=300,
        by_order=True,
    ),
    "mgda": Case(
        pinned=(2 / 3, 1 / 3, 0),
        oracle=torchjd("MGDA", epsilon=1e-9, max_iters=2000),
        on=[*ORDINARY, "duplicates", "rank 1"],  # of rank 40: the hull contains 0
        cosine=0.999,  # Frank-Wolfe steps come near; the certificate below is exact
        harmless=True,
    ),
    "imtl-g": Case(
        pinned=(1.82545, 0.77510, -0.93790),
        oracle=torchjd("IMTLG"),
        on=[*ORDINARY, "duplicates", "rank 1", "scaled"],  # of rank 40: theirs inverts raw sizes
        size_blind=True,
    ),
    "cagrad": Case(
        pinned=(0.80196, 0.48735, 0.34547),
        oracle=torchjd("CAGrad", needs=["cvxpy"], c=0.5),
        on=[*ORDINARY, "duplicates", "rank 1", "scaled"],
        cosine=1 - 1e-6,  # a conic solver's tolerance
    ),
    "graddrop": Case(
        pinned=None, oracle=torchjd("GradDrop"), on=ORDINARY[:3], cosine=0.99, draws=2000
    ),
    "upgrad": Case(
        pinned=(1 + 1 / 2, 1 + 1 / 5, 1),
        oracle=torchjd("UPGrad", needs=["quadprog", "qpsolvers"]),
        on=[*ORDINARY, "duplicates", "rank 1"],  # of rank 40: no direction is harmless
        cosine=0.9999,  # theirs adds 1e-4 of the largest eigenvalue to all
        harmless=True,
        tells=1e-12,
    ),
    "aligned-mtl": Case(
        pinned=(0.86231, 0.50569, 0.02637),
        oracle=torchjd("AlignedMTL"),
        cosine=1 - 1e-7,
        tells=1e-3,
    ),
    "nash-mtl": Case(
        pinned=(0.72081, 0.55258, 0.41842),
        oracle=torchjd("NashMTL", needs=["cvxpy", "ecos"], n_tasks=len, max_norm=0, optim_niter=99),
        on=ORDINARY[:3],  # slow; the definition itself is tested below
        cosine=1 - 1e-6,
        size_blind=True,
        harmless=True,
    ),
    "random": Case(
        pinned=None, oracle=torchjd("Random"), on=["two", "15"], cosine=0.99, draws=2000
    ),
}


def test_every_strategy_has_a_case():
    assert set(CASES) == set(STRATEGIES), "strategies and rows of CASES differ"


@pytest.fixture(params=STRATEGIES)
def name(request):
    if request.param not in CASES:
        pytest.fail(f"Strategy {request.param!r} has no case: add its row to CASES.")
    return request.param


WEIGHTINGS = [name for name, strategy in STRATEGIES.items() if issubclass(strategy, Weighting)]


@pytest.fixture(params=WEIGHTINGS)
def weighting(request):
    return request.param


@pytest.fixture(params=JACOBIANS)
def jacobian(request):
    return JACOBIANS[request.param]


def settled(matrices, which=lambda strategy: True):
    """Strategies and gradients where the outcome is the same in every call."""
    rows = [
        (name, matrix)
        for name, matrix in itertools.product(STRATEGIES, matrices)
        if which(STRATEGIES[name]) and name in CASES and CASES[name].settled(len(JACOBIANS[matrix]))
    ]
    return pytest.mark.parametrize(("name", "of"), rows)


def is_weighting(strategy):
    return issubclass(strategy, Weighting)


def ready(moo, seed=0):
    strategy = as_strategy(moo)
    strategy.lend(torch.Generator().manual_seed(seed))
    return strategy


def combined(strategy, jacobian):
    """The gradient that a strategy makes of the features'."""
    return strategy.reconcile(StackedGradients(jacobian))[0]


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
    strategies = {c for c in exported if isinstance(c, type) and issubclass(c, Strategy)}
    abstract = {c for c in strategies if c.__abstractmethods__}
    composed = {FromCallable, Chain, skhvae.moo.Place}
    assert strategies - abstract - composed == set(STRATEGIES.values())
    assert strategy_names() == list(STRATEGIES)


# Every strategy


def test_finite_and_as_long_as_the_plain_sum(name, jacobian):
    shared, weights = ready(name).reconcile(StackedGradients(jacobian))
    assert shared.isfinite().all()
    assert weights.isfinite().all()
    assert weights.dtype == torch.float64
    plain, sizes = jacobian.sum(0).norm(), jacobian.norm(dim=1)
    # Weighted gradients that cancel make no direction; every other one has the length of the sum.
    if shared.any() and getattr(STRATEGIES[name], "rescaled", True):
        assert shared.norm() == pytest.approx(plain.item(), rel=1e-6)
    elif shared.any():
        assert 0 < shared.norm() <= len(sizes) * sizes.max()


def test_gives_up_only_where_gradients_cancel(weighting, jacobian):
    gramian = jacobian @ jacobian.T
    if not ready(weighting)(gramian).any():
        raw = ready(weighting).weights(gramian)
        assert (raw @ jacobian).norm() ** 2 <= 1e-5 * (raw.abs() @ gramian.abs() @ raw.abs())


def test_weights_are_those_of_the_shared_gradient(name, jacobian):
    """For aggregators, the weights that come nearest to it."""
    shared, weights = ready(name).reconcile(StackedGradients(jacobian))
    difference = weights @ jacobian - shared
    if is_weighting(STRATEGIES[name]):
        assert difference.norm() <= 1e-9 * shared.norm()
    elif jacobian.norm(dim=1).max() < 1e3 * jacobian.norm(dim=1).min():
        away = (jacobian @ difference) / jacobian.norm(dim=1)
        assert away.abs().max() <= 1e-3 * shared.norm()


@pytest.mark.parametrize("factors", [(1, -2), (1, -3), (3, 7, -2)], ids=str)
@pytest.mark.parametrize("weighting", [name for name in WEIGHTINGS if name != "random"])
def test_gradients_on_one_line_in_both_directions_give_no_noise(weighting, factors):
    """Either the line's direction of the sum or nothing; rounding in float32 is not blown up. Only
    random weights may turn the sum around: that is what they do."""
    for seed in range(20):
        jacobian = sized(factors, gradients(1, seed=seed)).float()
        weights = ready(weighting)(jacobian @ jacobian.T)
        assert weights.abs().max() < 10
        direction = weights @ jacobian.double()
        assert not direction.any() or cosine(direction, jacobian.double().sum(0)) > 0.99


def test_a_gramian_that_rounding_made_asymmetric_gives_no_noise():
    """As the products of some processors in float32 are."""
    jacobian = sized((3, 7, -2), gradients(1))
    noise = 1e-7 * torch.randn(
        3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    gramian = (jacobian @ jacobian.T) * (1 + noise)
    for name in WEIGHTINGS:
        if name != "random":
            weights = ready(name)(gramian)
            assert weights.abs().max() < 10, name
            direction = weights @ jacobian
            assert not direction.any() or cosine(direction, jacobian.sum(0)) > 0.99, name


@pytest.mark.parametrize("of", JACOBIANS)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.harmless])
def test_no_feature_loses(name, of):
    """Relative to its own size, however much sizes differ."""
    jacobian = JACOBIANS[of]
    shared = combined(ready(name), jacobian)
    if shared.any():
        assert (unit(jacobian) @ shared).min() > -1e-6 * shared.norm()


def test_same_generator_same_gradient(name, jacobian):
    assert torch.equal(combined(ready(name), jacobian), combined(ready(name), jacobian))


def test_global_random_state_is_untouched(name):
    before = torch.get_rng_state()
    combined(ready(name), CONFLICTING)
    assert torch.equal(torch.get_rng_state(), before)


@settled(JACOBIANS)
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
    expected = factor * combined(ready(name), CONFLICTING)
    torch.testing.assert_close(
        combined(ready(name), factor * CONFLICTING),
        expected,
        rtol=0,
        atol=1e-7 * expected.norm(),
    )


@settled(["one", "two", "two in conflict", "15", "scaled", "sizes 1e-8 to 1e8"])
@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_feature_without_gradient_has_no_influence(name, of, where):
    """Not on the others' direction, and not on what a strategy remembers for its next steps."""
    jacobian = JACOBIANS[of]
    n_features = len(jacobian)
    at = {
        "first": torch.arange(n_features) + 2,
        "between": 2 * torch.arange(n_features) + 1,
        "last": torch.arange(n_features),
    }[where]
    alone, among = ready(name), ready(name)
    for factor in (1.0, 3.0, 0.2):
        padded = jacobian.new_zeros(2 * n_features + 2, jacobian.shape[1])
        padded[at] = factor * jacobian
        expected, own = alone.reconcile(StackedGradients(factor * jacobian))
        shared, weights = among.reconcile(StackedGradients(padded))
        torch.testing.assert_close(shared, expected, rtol=0, atol=1e-9 * expected.norm())
        sizes = factor * jacobian.norm(dim=1)
        torch.testing.assert_close(
            weights[at] * sizes, own * sizes, rtol=0, atol=1e-9 * expected.norm()
        )
        told = sizes > CASES[name].tells * sizes.max()
        torch.testing.assert_close(weights[at][told], own[told], rtol=1e-9, atol=1e-12)
        assert weights.count_nonzero() <= n_features


@pytest.mark.parametrize("n_features", [1, 4])
def test_no_gradient_at_all(name, n_features):
    shared, weights = ready(name).reconcile(StackedGradients(torch.zeros(n_features, 3)))
    assert not shared.any()
    assert not weights.any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_gradients_that_are_not_finite_give_nan(name, bad):
    """By which training skips the step, instead of an error or of a direction from nowhere."""
    jacobian = torch.eye(3)
    jacobian[1, 1] = bad
    shared, weights = ready(name).reconcile(StackedGradients(jacobian))
    assert not shared.isfinite().all()
    assert weights.isnan().all()


@settled(
    ["one", "two", "two in conflict", "15", "conflicting", "duplicates"],
    lambda strategy: is_weighting(strategy) and strategy.separable,
)
def test_separable_is_true(name, of):
    """A further orthogonal gradient of any size changes no ratio among the others."""
    jacobian = JACOBIANS[of]
    before = ready(name).weights(jacobian @ jacobian.T)
    for size in (0.01, 1.0, 100.0):
        apart = torch.block_diag(jacobian, torch.tensor([[size]]).double())
        after = ready(name).weights(apart @ apart.T)[:-1]
        assert cosine(after, before) == pytest.approx(1, abs=1e-9)


@settled(["two in conflict", "15", "conflicting"])
def test_size_blindness(name, of):
    """Sizes do not matter to the strategies of which the case says so, and to no other."""
    jacobian = JACOBIANS[of]
    other_sizes = sized(np.logspace(-3, 3, len(jacobian)), jacobian)
    agreement = cosine(combined(ready(name), jacobian), combined(ready(name), other_sizes))
    assert (agreement > 1 - 1e-6) == CASES[name].size_blind


def test_pinned_values(weighting):
    weights = ready(weighting).weights(PINNED @ PINNED.T)
    if CASES[weighting].pinned is None:
        assert weights.sum() == pytest.approx(1)
        return
    expected = torch.tensor(CASES[weighting].pinned, dtype=torch.float64)
    torch.testing.assert_close(
        weights / weights.norm(), expected / expected.norm(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("name", "of"), [(n, of) for n, case in CASES.items() for of in case.on])
def test_direction_is_the_oracles(name, of):
    case, jacobian = CASES[name], JACOBIANS[of]
    strategy = ready(name)
    ours = []
    for _ in range(case.draws):
        strategy.reset()
        ours.append(combined(strategy, jacobian))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.stack([case.oracle(jacobian) for _ in range(case.draws)])
    assert cosine(_mean_direction(ours), _mean_direction(theirs)) > case.cosine


def _mean_direction(directions):
    return torch.stack([d / d.norm() for d in directions]).mean(0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_give_the_same(name, copied):
    of = JACOBIANS["two in conflict"]
    twin = copied(as_strategy(name))
    twin.lend(torch.Generator().manual_seed(0))
    assert torch.equal(combined(twin, of), combined(ready(name), of))


# Strategies that remember

STATEFUL = [name for name, s in STRATEGIES.items() if issubclass(s, StatefulWeighting)]
# Something to remember: gradients whose sizes and angles change from step to step.
STEPS = [sized([1, 2 + i, 1 / (1 + i)], gradients(3, 5, seed=i)) for i in range(6)]


def remembering(name):
    """With few steps before the first gradients that later ones are compared with."""
    strategy = STRATEGIES[name]
    strategy = strategy(after=1) if name in ("gradnorm", "nsgd") else strategy()
    if name == "gradnorm":
        strategy.alpha = 1.0
    strategy.lend(torch.Generator().manual_seed(0))
    return strategy


def walk(strategy, steps):
    return torch.stack([strategy(step @ step.T) for step in steps])


@pytest.mark.parametrize("name", STATEFUL)
def test_memory_matters_and_reset_forgets(name):
    strategy = remembering(name)
    if name == "nash-mtl":  # it remembers where to start from, and the weights between two bargains
        strategy.update_every = 2
    first = walk(strategy, STEPS)
    strategy.lend(torch.Generator().manual_seed(0))
    later = walk(strategy, STEPS[::-1])
    strategy.reset()
    strategy.lend(torch.Generator().manual_seed(0))
    again = walk(strategy, STEPS)
    assert torch.equal(first, again)
    assert not torch.allclose(later.flip(0), first)


@pytest.mark.parametrize("name", STATEFUL)
def test_memory_is_pickled(name):
    strategy = remembering(name)
    walk(strategy, STEPS[:3])
    strategy.lend(None)
    twin = pickle.loads(pickle.dumps(strategy))
    for each in (strategy, twin):
        each.lend(torch.Generator().manual_seed(1))
    assert torch.equal(walk(twin, STEPS[3:]), walk(strategy, STEPS[3:]))


@pytest.mark.parametrize("name", STATEFUL)
def test_a_moved_copy_has_a_memory_of_its_own(name):
    strategy = remembering(name)
    walk(strategy, STEPS[:3])
    before = [tensor.clone() for tensor in tensors_in(strategy)]
    walk(strategy.to("cpu"), STEPS[3:])
    for tensor, expected in zip(tensors_in(strategy), before, strict=True):
        assert torch.equal(tensor, expected)
    state = tensors_in(strategy.to("meta"))
    assert state
    assert all(tensor.is_meta for tensor in state)


def tensors_in(thing):
    if isinstance(thing, torch.Tensor):
        return [thing]
    return [t for part in getattr(thing, "__dict__", {}).values() for t in tensors_in(part)]


@pytest.mark.parametrize("name", STATEFUL)
def test_nothing_is_learned_of_a_feature_without_a_gradient(name):
    """After steps without it, a feature is remembered as it was."""
    with_gap, without = remembering(name), remembering(name)
    step = STEPS[0]
    for strategy in (with_gap, without):
        walk(strategy, [step])
    state = {k: v.clone() for k, v in vars(with_gap).items() if isinstance(v, torch.Tensor)}
    gone = step.clone()
    gone[1] = 0
    with_gap(gone @ gone.T)
    for key, before in state.items():
        torch.testing.assert_close(vars(with_gap)[key][1], before[1], msg=key)


def gradnorm_by_torch(jacobian, n_steps):
    """GradNorm's weights for constant gradients, by torch's Adam and autograd."""
    norms = jacobian.norm(dim=1)
    log_weights = torch.zeros_like(norms).requires_grad_()
    adam = torch.optim.Adam([log_weights], lr=0.025)
    for _ in range(n_steps):
        sizes = log_weights + norms.log()
        loss = (sizes - sizes.mean().detach()).abs().sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return log_weights.detach().softmax(0) * len(norms)


def test_gradnorm_is_torchs_adam():
    strategy, jacobian = GradNorm(), JACOBIANS["scaled"]
    for _ in range(30):
        weights = strategy.weights(jacobian @ jacobian.T)
    torch.testing.assert_close(weights, gradnorm_by_torch(jacobian, 30), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("of", ["15", "scaled", "two in conflict"])
def test_gradnorm_ends_at_equal_norms(of):
    strategy, jacobian = GradNorm(), JACOBIANS[of]
    for _ in range(600):
        weights = strategy.weights(jacobian @ jacobian.T)
    sizes = weights * jacobian.norm(dim=1)
    assert (sizes / sizes.mean() - 1).abs().max() < 0.1
    assert weights.sum() == pytest.approx(len(jacobian))


def test_gradnorm_gives_more_to_what_has_come_less_far():
    """With alpha, a gradient that fell less than the others is made larger than theirs."""
    strategy = GradNorm(alpha=1.0, after=0)
    for t in range(600):
        norms = torch.tensor([0.5 ** (t > 10), 1.0]).double()  # the first fell by half
        weights = strategy.weights(torch.diag(norms**2))
    first, second = weights * norms
    assert second / first == pytest.approx(2, rel=0.1)


def test_nsgd_is_longer_while_large_gradients_are_far_from_done():
    def length(small_norm, large_norm):
        strategy = STRATEGIES["nsgd"](after=0)
        strategy(torch.diag(torch.tensor([1.0, 100.0]).double()))
        now = torch.tensor([small_norm, large_norm]).double()
        weights = strategy(torch.diag(now**2))
        return (weights * now)[0].item()

    # By hand: shares 1/2 and 1/2 of 1 and 10; shares 1/11 and 10/11 (it fell to a tenth) of 0.1 and 10.
    assert length(1.0, 10.0) == pytest.approx(5.5)
    assert length(0.1, 10.0) == pytest.approx((0.1 * 0.1 + 1.0 * 10.0) / 1.1)


def test_gradvac_is_the_papers_algorithm():
    """Two features, so that no order is drawn: eq. 3 on the vectors themselves, step by step."""
    strategy, usual, decay = ready(GradVac(decay=0.3)), np.zeros((2, 2)), 0.3
    turned = 0
    for seed in range(8):
        jacobian = (gradients(2, 3, seed) + (-1) ** seed * gradients(1, 3, seed + 50)).numpy()
        total = np.zeros(3)
        for i, j in ((0, 1), (1, 0)):
            own, other = jacobian[i], jacobian[j]
            norms = np.linalg.norm(own), np.linalg.norm(other)
            phi, target = own @ other / norms[0] / norms[1], usual[i, j]
            if phi < target:
                sines = np.sqrt(1 - phi**2), np.sqrt(1 - target**2)
                step = norms[0] * (target * sines[0] - phi * sines[1]) / (norms[1] * sines[1])
                own, turned = own + step * other, turned + 1
                reached = own @ other / np.linalg.norm(own) / norms[1]
                assert reached == pytest.approx(target)
            usual[i, j] = (1 - decay) * target + decay * phi
            total += own
        shared = combined(strategy, torch.from_numpy(jacobian))
        assert cosine(shared, torch.from_numpy(total)) == pytest.approx(1, abs=1e-9)
    assert turned > 3


@pytest.mark.parametrize("of", [*ORDINARY, "scaled", "sizes 1e-8 to 1e8", "duplicates", "200"])
def test_nash_mtl_is_the_bargain(of):
    """Everybody's gain times his weight is the same, which is its definition."""
    gramian = JACOBIANS[of] @ JACOBIANS[of].T
    alpha = NashMTL().weights(gramian)
    assert (alpha > 0).all()
    torch.testing.assert_close(alpha * (gramian @ alpha), torch.ones_like(alpha), rtol=0, atol=1e-4)


def test_nash_mtl_bargains_every_so_often():
    strategy = NashMTL(update_every=3)
    bargains = []
    for step in STEPS:
        strategy.weights(step @ step.T)
        bargains.append(strategy._bargain)  # the weights are this, divided by the norms
    same = [torch.equal(a, b) for a, b in itertools.pairwise(bargains)]
    assert same == [True, True, False, True, True]


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


@pytest.mark.parametrize("of", [*ORDINARY, "scaled", "duplicates", "200 of rank 40"])
@pytest.mark.parametrize("c", [0.1, 0.5, 0.9])
def test_cagrad_leaves_the_worst_off_best(of, c):
    """Against a general solver on the dual (eq. 3), whose minimum is what the worst off gains."""
    jacobian = JACOBIANS[of]
    gramian = (jacobian @ jacobian.T).numpy()
    mean = jacobian.mean(0)
    direction = CAGrad(c).weights(jacobian @ jacobian.T) @ jacobian
    assert (direction - mean).norm() <= c * mean.norm() * (1 + 1e-6)

    radius = c * mean.norm().item()

    def dual(w):
        return w @ gramian.mean(1) + radius * np.sqrt(max(w @ gramian @ w, 0))

    n = len(gramian)
    bound = optimize.minimize(
        dual,
        np.full(n, 1 / n),
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"maxiter": 60 if n > 50 else 500},
    ).fun
    worst = (jacobian @ direction).min().item()
    scale = np.sqrt(np.diag(gramian)).min() * mean.norm().item()
    assert worst <= bound + 1e-3 * scale  # no direction in the ball can do better than the dual
    if n <= 50:
        assert worst >= bound - 1e-3 * scale


@pytest.mark.parametrize("of", [*ORDINARY, "scaled", "duplicates"])
def test_upgrad_projects_every_gradient_onto_the_dual_cone(of):
    """By Moreau: the projection of g onto {v: Jv >= 0} is g minus that onto the cone of the -g_d."""
    jacobian = JACOBIANS[of]
    expected = torch.zeros_like(jacobian[0])
    for gradient in jacobian:
        coefficients, _ = optimize.nnls(-jacobian.T.numpy(), gradient.numpy())
        expected += gradient + torch.from_numpy(coefficients) @ jacobian
    assert cosine(combined(ready("upgrad"), jacobian), expected) > 1 - 1e-9


@pytest.mark.parametrize("of", [*ORDINARY, "200"])
def test_aligned_mtl_weighs_all_principal_components_alike(of):
    jacobian = JACOBIANS[of]
    left, _, right = torch.linalg.svd(jacobian, full_matrices=False)
    expected = left.sum(0) @ right
    assert cosine(combined(ready("aligned-mtl"), jacobian), expected) > 1 - 1e-9


def test_graddrop_keeps_one_sign_in_each_coordinate():
    jacobian = gradients(5, 1000)
    kept = ready("graddrop").aggregate(jacobian)
    positive, negative = jacobian.clamp(min=0).sum(0), jacobian.clamp(max=0).sum(0)
    up = kept == positive
    assert (up | (kept == negative)).all()
    # As often as its share of the sizes says, in each tenth of the shares.
    share = positive / (positive - negative)
    for low in np.arange(0, 1, 0.25):
        some = (share >= low) & (share < low + 0.25)
        standard_error = (0.25 / some.sum()).sqrt()
        assert (up[some].double().mean() - share[some].mean()).abs() < 4 * standard_error


def test_graddrop_leaks():
    jacobian = gradients(4)
    everything = STRATEGIES["graddrop"](leak=1.0)
    torch.testing.assert_close(combined(everything, jacobian), jacobian.sum(0))


def test_random_weights_are_a_softmax_of_normals():
    strategy = ready("random")
    logs = torch.stack([strategy.weights(torch.eye(3)).log() for _ in range(4000)])
    differences = (logs[:, 0] - logs[:, 1]) / 2**0.5
    assert differences.mean().abs() < 4 / 4000**0.5
    assert differences.std() == pytest.approx(1, abs=0.05)


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
    mine = GradVac()
    own = as_strategy(mine)
    assert isinstance(own, GradVac)
    combined(own, CONFLICTING)
    assert pickle.dumps(vars(mine)) == pickle.dumps(vars(GradVac()))


def test_names_give_fresh_instances(name):
    assert as_strategy(name) is not as_strategy(name)
    assert type(as_strategy(name)) is STRATEGIES[name]
