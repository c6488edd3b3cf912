"""The functions that torch lacks."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from skhvae.likelihoods._special import bounded_exp, discrete_quantile, on_cpu, poisson


@pytest.mark.parametrize("q", [1e-6, 0.05, 0.5, 0.95, 1 - 1e-6])
def test_discrete_quantile_is_the_smallest_integer_that_reaches_q(q):
    mean = np.geomspace(1e-9, 1e6, 100)
    found = discrete_quantile(lambda k: special.pdtr(k, mean), q, mean, mean**0.5)
    np.testing.assert_array_equal(found, stats.poisson(mean).ppf(q))


def test_discrete_quantile_ends_where_floats_are_farther_apart_than_integers():
    mean = np.array([1e20])
    found = discrete_quantile(lambda k: special.pdtr(k, mean), 0.5, mean, mean**0.5)
    np.testing.assert_allclose(found, mean, rtol=1e-6)


def test_bounded_exp_is_positive_and_finite():
    bounded = bounded_exp(torch.tensor([-torch.inf, -1e4, 0.0, 1e4, torch.inf]))
    assert (bounded > 0).all()
    assert bounded.isfinite().all()
    assert bounded[2] == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_cpu_returns_the_dtype_of_its_argument(dtype):
    found = on_cpu(np.sqrt, torch.tensor([4.0, 9.0], dtype=dtype, requires_grad=True))
    torch.testing.assert_close(found, torch.tensor([2.0, 3.0], dtype=dtype))


def test_poisson_of_a_huge_rate_does_not_overflow():
    draws = poisson(torch.tensor([1e10, 1e30, torch.inf]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws, torch.full((3,), 2.0**30), rtol=1e-3, atol=0)
