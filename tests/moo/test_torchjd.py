"""TorchJD's instances as strategies."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.moo import Aggregator, StackedGradients, Weighting, as_strategy

aggregation = pytest.importorskip("torchjd.aggregation")

JACOBIAN = torch.tensor([[4.0, 0.0, 1.0], [-0.6, 0.8, 0.0], [0.0, -0.1, 0.1]], dtype=torch.float64)
# Of every kind: a weighting of any matrix or of a Gramian, an aggregator that only weighs, one that
# needs coordinates, random ones, one with a state.
INSTANCES = {
    "MeanWeighting": aggregation.MeanWeighting(),
    "IMTLGWeighting": aggregation.IMTLGWeighting(),
    "PCGradWeighting": aggregation.PCGradWeighting(),
    "MGDA": aggregation.MGDA(),
    "GradVac": aggregation.GradVac(),
    "Mean": aggregation.Mean(),
    "Random": aggregation.Random(),
    "ConFIG": aggregation.ConFIG(),
    "GradDrop": aggregation.GradDrop(),
}


@pytest.fixture(params=INSTANCES)
def instance(request):
    return copy.deepcopy(INSTANCES[request.param])


def ready(instance, seed=0):
    strategy = as_strategy(instance)
    strategy.lend(torch.Generator().manual_seed(seed))
    return strategy


def shared(strategy, jacobian=JACOBIAN):
    return strategy.reconcile(StackedGradients(jacobian))[0]


def test_direction_is_theirs(instance):
    strategy = ready(instance)  # a copy: some remember what they have seen
    seed = torch.empty((), dtype=torch.int64).random_(generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(seed.item())
        if isinstance(instance, aggregation.Weighting):
            expected = instance(JACOBIAN @ JACOBIAN.T) @ JACOBIAN
        else:
            expected = instance(JACOBIAN)
    ours = shared(strategy)
    torch.testing.assert_close(ours / ours.norm(), expected / expected.norm())
    assert ours.norm() == pytest.approx(JACOBIAN.sum(0).norm().item())


def test_randomness_comes_from_the_lent_generator(instance):
    before = torch.get_rng_state()
    first, again = shared(ready(instance)), shared(ready(instance))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_find_their_own_draws():
    def draws(seed):
        strategy = ready(aggregation.Random(), seed)
        return torch.stack([shared(strategy) for _ in range(200)])

    before = torch.get_rng_state()
    expected = [draws(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for found, own in zip(pool.map(draws, range(4)), expected, strict=True):
            assert torch.equal(found, own)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_only_weighs_never_sees_the_gradients():
    assert isinstance(as_strategy(aggregation.MGDA()), Weighting)
    assert isinstance(as_strategy(aggregation.IMTLGWeighting()), Weighting)
    assert isinstance(as_strategy(aggregation.ConFIG()), Aggregator)


def test_features_without_a_gradient_have_no_influence(instance):
    padded = torch.zeros(5, 3, dtype=torch.float64)
    padded[[0, 2, 3]] = JACOBIAN
    torch.testing.assert_close(shared(ready(instance), padded), shared(ready(instance)))


def test_reset_forgets_their_state():
    strategy = ready(aggregation.GradVac())
    first = shared(strategy)
    shared(strategy)
    strategy.reset()
    strategy.lend(torch.Generator().manual_seed(0))
    assert torch.equal(shared(strategy), first)


@pytest.mark.parametrize(
    "moo",
    [aggregation.IMTLGWeighting(), aggregation.ConFIG(), ("equal-norm", aggregation.GradDrop())],
    ids=["weighting", "aggregator", "last of a tuple"],
)
def test_imputer_trains_with_them(moo):
    table = make_heterogeneous(60, random_state=0).data
    table.iloc[::5, 0] = None
    results = []
    for _ in range(2):
        imputer = HeterogeneousVAEImputer(moo=moo, max_iter=2, random_state=0).fit(table)
        results.append(pickle.loads(pickle.dumps(imputer)).transform(table))
    assert not results[0].isna().any(axis=None)
    assert results[0].equals(results[1])
