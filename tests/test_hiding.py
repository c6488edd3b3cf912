"""Which cells a training step hides."""

import numpy as np
import pytest
import torch
from scipy import stats

from skhvae.hiding import hidden_share, hide_at_random, show_as_missing


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_rows_hide_shares_from_zero_to_the_given_one(share):
    observed = torch.rand(400, 3000, generator=torch.Generator().manual_seed(0)) < 0.7
    visible = hide_at_random(observed, share, torch.Generator().manual_seed(1))
    assert not (visible & ~observed).any()
    hidden = 1 - visible.sum(1) / observed.sum(1)
    uniform = stats.kstest(hidden.numpy(), stats.uniform(0, share).cdf)
    assert uniform.pvalue > 0.01
    columns = 1 - visible.sum(0) / observed.sum(0)
    assert np.abs(stats.zscore(columns.numpy())).max() < 5  # no column is preferred
    assert columns.mean() == pytest.approx(share / 2, abs=0.03)


def test_nothing_is_hidden_at_share_zero():
    observed = torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) < 0.7
    assert torch.equal(hide_at_random(observed, 0.0, torch.Generator()), observed)


def test_each_step_hides_other_cells():
    observed = torch.ones(20, 20, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    first, second = (hide_at_random(observed, 0.5, generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_more_is_hidden_where_more_is_missing():
    observed = torch.rand(1000, 10, generator=torch.Generator().manual_seed(0))
    shares = [hidden_share(observed < known) for known in (1.1, 0.8, 0.5, 0.1)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[1] < shares[2] == shares[3] < 1


def test_missing_cells_look_missing_and_so_do_a_few_hidden_ones():
    generator = torch.Generator().manual_seed(0)
    observed = torch.rand(400, 300, generator=generator) < 0.7
    visible = hide_at_random(observed, 0.5, generator)
    missing = show_as_missing(observed, visible, generator)
    assert missing[~observed].all()
    assert not missing[visible].any()
    assert missing[observed & ~visible].double().mean().item() == pytest.approx(0.1, abs=0.01)
