"""What the families share: picking levels, and statistics of the observed values."""

import numpy as np
import pytest
import torch

from skhvae.likelihoods import Bernoulli, Normal
from skhvae.likelihoods._base import (
    first_level_reaching,
    level_frequencies,
    observed_moments,
    observed_quantiles,
    pick,
)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values, observed = rng.normal(size=(200, 3)), rng.random((200, 3)) < (0.9, 0.3, 0.0)
    return torch.as_tensor(values), torch.as_tensor(observed)


def test_first_level_reaching_has_the_precision_of_the_probabilities():
    probs = torch.tensor([0.9 - 1e-9, 0.1 + 1e-9], dtype=torch.float64)
    assert first_level_reaching(probs, 0.9) == 1


@pytest.mark.parametrize("q", [0.7, 1.0])
def test_first_level_reaching_stops_at_the_last_possible_level(q):
    # In float32 these levels do not quite add up to 1.
    probs = torch.tensor([*[0.1] * 6, 0.3999998, 0.0])
    assert first_level_reaching(probs, q) == 6


def test_sample_never_takes_an_impossible_level(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **options: torch.zeros(shape))
    assert Bernoulli().sample(torch.full((1, 1), 1e4)) == 1


def test_pick_broadcasts():
    levels = torch.arange(24.0).view(2, 3, 4)
    torch.testing.assert_close(
        pick(levels, torch.tensor([0, 1, 3])), levels[:, [0, 1, 2], [0, 1, 3]]
    )
    index = torch.zeros(5, 2, 3, dtype=torch.long)
    torch.testing.assert_close(pick(levels, index), levels[..., 0].expand(5, 2, 3))


def test_observed_statistics(table):
    values, observed = table
    levels = torch.tensor([0.1, 0.5, 0.93], dtype=torch.float64)
    moments = torch.stack(observed_moments(values, observed))
    quantiles = observed_quantiles(values, observed, levels)
    for j in range(2):
        known = values[observed[:, j], j].numpy()
        np.testing.assert_allclose(moments[:, j], [known.mean(), known.std()])
        np.testing.assert_allclose(quantiles[j], np.quantile(known, levels))
    assert (moments[:, 2] == 0).all()
    assert (quantiles[2] == 0).all()


def test_level_frequencies_count_observed_cells():
    codes = torch.tensor([[0.0, 2.0], [1.0, 2.0], [1.0, 0.0]])
    observed = torch.tensor([[True, True], [True, True], [False, True]])
    counts = torch.tensor([[1.5, 1.5, 0.0], [1.5, 0.5, 2.5]])
    torch.testing.assert_close(
        level_frequencies(codes, observed, torch.tensor([2, 3])),
        counts / counts.sum(1, keepdim=True),
    )


def test_prepared_twice():
    values = torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    observed = torch.ones_like(values, dtype=torch.bool)
    once = Normal().prepared(values, observed)
    again = once.prepared(values + 1, observed)
    torch.testing.assert_close(again.mean(again.initial), once.mean(once.initial) + 1)
