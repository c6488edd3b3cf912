"""Quantile functions of mixtures: calibrated, tilted, matched, and with what repetitions know."""

import numpy as np
import pytest
import torch
from scipy import stats

from skhvae.calibration import TEMPERATURES, Calibration
from skhvae.likelihoods import LIKELIHOODS, Categorical, Normal
from skhvae.matching import Matching
from skhvae.predictive import Predictive
from skhvae.selection import SelectionModel

LEVELS = torch.tensor([0.01, 0.2, 0.5, 0.8, 0.99], dtype=torch.float64)


def normals(loc, scale):
    """Two features of a family, and the mixture over S parts of them for B rows, from (S, B)."""
    family = Normal().prepared(torch.randn(50, 2), torch.ones(50, 2, dtype=torch.bool))
    loc, scale = (torch.as_tensor(x, dtype=torch.float64) for x in (loc, scale))
    params = family.raw(loc.unsqueeze(-1).expand(-1, -1, 2), scale.unsqueeze(-1).expand(-1, -1, 2))
    return [family], [params]


def at(predictive, levels=LEVELS):
    """(n_levels, B) of the first feature; the second one is the same."""
    found = predictive.at(levels[:, None, None].expand(-1, len(predictive), 2))
    torch.testing.assert_close(found[..., 0], found[..., 1])
    return found[..., 0].numpy()


def quantiles_of_mixture(loc, scale):
    grid = np.linspace(-30, 30, 600_001)
    cdf = np.mean([stats.norm.cdf(grid, a, b) for a, b in zip(loc, scale, strict=True)], axis=0)
    return np.interp(LEVELS.numpy(), cdf, grid)


def test_one_part_has_the_quantiles_of_its_family():
    found = at(Predictive(*normals([[0.0, 3.0]], [[1.0, 2.0]])))
    expected = stats.norm.ppf(LEVELS[:, None], [0.0, 3.0], [1.0, 2.0])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_quantiles_of_mixtures():
    loc, scale = [[0.0, -4.0], [1.0, 4.0], [2.0, 4.5]], [[1.0, 1.0], [2.0, 0.5], [0.3, 0.1]]
    found = at(Predictive(*normals(loc, scale)))
    for row in range(2):
        expected = quantiles_of_mixture([x[row] for x in loc], [x[row] for x in scale])
        np.testing.assert_allclose(found[:, row], expected, atol=1e-3)


def twice_as_wide():
    rng = np.random.default_rng(0)
    levels = stats.norm.cdf(2 * rng.standard_normal(50_000))
    unknown = np.full((50_000, len(TEMPERATURES)), np.nan)
    return Calibration([levels] * 2, [levels] * 2, [unknown] * 2, rng)


@pytest.mark.parametrize("n_parts", [1, 4])
def test_calibrated_quantiles(n_parts):
    parts = normals([[1.0]] * n_parts, [[1.0]] * n_parts)
    found = at(Predictive(*parts, twice_as_wide()))[:, 0]
    np.testing.assert_allclose(found, stats.norm.ppf(LEVELS, 1.0, 2.0), rtol=0.06, atol=0.05)


def growing(features):
    """Odds of exp(x): an exponentially tilted normal distribution is shifted by its variance."""
    knots = torch.linspace(-20, 20, 401)
    return SelectionModel([(knots, knots)] * features)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_tilted_quantiles(n_parts):
    parts = normals([[1.0]] * n_parts, [[0.5]] * n_parts)
    found = at(Predictive(*parts, selection=growing(2)))[:, 0]
    np.testing.assert_allclose(found, stats.norm.ppf(LEVELS, 1.25, 0.5), atol=0.01)


def test_levels_are_calibrated_before_they_are_tilted():
    predictive = Predictive(*normals([[0.0]], [[0.5]]), twice_as_wide(), selection=growing(2))
    found = at(predictive)[:4, 0]  # the last one is beyond what the cells tell apart
    np.testing.assert_allclose(found, stats.norm.ppf(LEVELS[:4], 1.0, 1.0), atol=0.05)


def test_what_a_repetition_knows_is_a_mass():
    known = torch.tensor([[3.0, 3.0], [torch.nan] * 2])
    predictive = Predictive(*normals([[0.0, 0.0]], [[1.0, 1.0]]), known=known, trust=0.75)
    levels = torch.linspace(0.001, 0.999, 2000, dtype=torch.float64)
    found = at(predictive, levels)
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found[:, 0] == 3.0).mean() == pytest.approx(0.75, abs=0.01)
    others = found[found[:, 0] != 3.0, 0]
    assert stats.kstest(others, "norm").statistic < 0.01
    np.testing.assert_allclose(found[:, 1], stats.norm.ppf(levels), atol=1e-6)


def test_matched_features_have_their_donors_values():
    means = torch.linspace(-3, 3, 600, dtype=torch.float64)
    matching = Matching([means] * 2, [(means > 0).double()] * 2)
    families, params = normals([[-2.0, 2.0, 0.0]], [[1.0] * 3])
    smooth = at(Predictive(families, params, matching=matching))
    np.testing.assert_allclose(smooth[2], [-2.0, 2.0, 0.0], atol=1e-6)
    matching.applies[:] = True
    found = at(Predictive(families, params, matching=matching))
    assert found[:, 0].tolist() == [0.0] * 5
    assert found[:, 1].tolist() == [1.0] * 5
    assert found[:, 2].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    knots = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 9.0]).log()
    tilted = at(
        Predictive(families, params, matching=matching, selection=SelectionModel([knots] * 2))
    )
    assert tilted[:, 2].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_levels_of_finite_features():
    family = Categorical().prepared(
        torch.tensor([[0.0], [1.0], [2.0]]), torch.ones(3, 1, dtype=torch.bool), torch.tensor([3])
    )
    probs = torch.tensor([[[0.2, 0.5, 0.3]], [[0.4, 0.1, 0.5]]], dtype=torch.float64)
    params = probs.log().unsqueeze(1)  # two parts, one row
    predictive = Predictive([family], [params])
    torch.testing.assert_close(predictive.probs()[0][0, 0], probs.mean(0)[0])
    found = predictive.at(torch.tensor([0.29, 0.31, 0.59, 0.61])[:, None, None].double())
    assert found.flatten().tolist() == [0, 1, 1, 2]
    known = Predictive([family], [params], known=torch.tensor([[2.0]]), trust=0.9)
    torch.testing.assert_close(
        known.probs()[0][0, 0], torch.tensor([0.03, 0.03, 0.94]).double(), atol=1e-7, rtol=0
    )


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_family_has_quantiles_in_its_support(name):
    family = LIKELIHOODS[name]()
    values = torch.randint(1, 3, (40, 2)).float() - (1 if family.finite else 0)
    observed = torch.ones(40, 2, dtype=torch.bool)
    prepared = family.prepared(values, observed, torch.tensor([2, 2]) if family.finite else None)
    params = prepared.initial + 0.5 * torch.randn(4, 5, *prepared.initial.shape)
    for parts in (params, params[:1]):
        predictive = Predictive([prepared], [parts])
        found = predictive.at(LEVELS[:, None, None].expand(-1, 5, 2))
        assert prepared.support.check(found).all()
        assert (found.diff(dim=0) >= -1e-6).all()
