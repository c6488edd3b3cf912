"""Shapes that only the histogram can take, and training data that leave it few bins."""

import pytest
import torch

from skhvae.likelihoods import Histogram, Normal


def prepared(values, **options):
    values = torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1)
    return Histogram(**options).prepared(values, torch.ones_like(values, dtype=torch.bool))


def widths(family):
    widths = family.edges.diff(dim=1)
    return widths[widths > 0]


@pytest.fixture
def spiked():
    """Adult's capital-gain: 92 % zeros, then a long tail, standardised."""
    generator = torch.Generator().manual_seed(0)
    values = torch.zeros(5000, dtype=torch.float64)
    values[:400] = 8 + torch.randn(400, dtype=torch.float64, generator=generator)
    values[:400] = values[:400].exp()
    return (values - values.mean()) / values.std()


def test_a_spike_gets_a_narrow_bin_of_its_own(spiked):
    family = prepared(spiked)
    zero = spiked.min()
    samples = family.sample(family.initial.expand(20_000, 1, -1), torch.Generator().manual_seed(0))
    assert ((samples - zero).abs() < 1e-3).double().mean() == pytest.approx(0.92, abs=0.01)
    torch.testing.assert_close(family.mode(family.initial)[0], zero)
    torch.testing.assert_close(family.median(family.initial)[0], zero, atol=1e-3, rtol=0)
    assert family.mean(family.initial).item() == pytest.approx(0, abs=0.02)
    assert 2 <= len(widths(family)) < 6


@pytest.mark.parametrize("min_bin_width", [1e-3, 0.1])
def test_no_bin_is_narrower_than_the_smallest_width(spiked, min_bin_width):
    for values in (spiked, torch.linspace(-1.7, 1.7, 1000), spiked.clamp(max=0.1)):
        family = prepared(values, min_bin_width=min_bin_width)
        assert widths(family).min() >= min_bin_width * values.std() * 0.99


def test_parts_have_equal_shares_of_continuous_data():
    values = torch.randn(34 * 200, generator=torch.Generator().manual_seed(0))
    shares = prepared(values).initial.softmax(-1)
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / 34), atol=2e-3, rtol=0)


@pytest.mark.parametrize("outlier", [-50.0, 50.0])
def test_an_outlier_does_not_stretch_the_bins(outlier):
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    values[0] = outlier
    family = prepared(values)
    assert family.edges.abs().max() < 3
    assert family.log_prob(family.initial, torch.tensor([outlier])).item() > -200


def test_it_beats_the_normal_on_two_modes():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2000, 1, generator=generator) * 0.1
    values[::2] += 2
    observed = torch.ones_like(values, dtype=torch.bool)
    score = [
        family.log_prob(family.initial, values).mean()
        for family in (f().prepared(values, observed) for f in (Histogram, Normal))
    ]
    assert score[0] > score[1] + 1


@pytest.mark.parametrize("n_rows", [1, 2, 5, 33])
def test_fewer_rows_than_bins(n_rows):
    values = torch.linspace(-1, 1, n_rows)
    family = prepared(values)
    assert family.log_prob(family.initial, values.unsqueeze(1).double()).isfinite().all()
    assert family.mean(family.initial).item() == pytest.approx(values.mean().item(), abs=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 0}, "n_bins must be at least 1, found 0"),
        ({"min_bin_width": 0.0}, r"min_bin_width must be positive, found 0\.0"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(ValueError, match=message):
        Histogram(**options)
