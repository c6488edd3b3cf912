"""The normalising constant of Student's t, where its gamma functions cancel."""

import pytest
import torch
from scipy import stats

from skhvae.likelihoods import StudentT


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_any_degrees_of_freedom(dtype, tolerance):
    df = torch.logspace(0.4, 8, 200, dtype=torch.float64)
    params = StudentT().raw(df, torch.zeros_like(df), torch.ones_like(df)).to(dtype)
    found = StudentT().log_prob(params, torch.tensor(0.7, dtype=dtype))
    expected = torch.as_tensor(stats.t(df.numpy()).logpdf(0.7))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
