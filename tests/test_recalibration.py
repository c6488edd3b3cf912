"""Calibration from held-out cells that stand for missing ones."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from light import light

from skhvae import recalibration
from skhvae.calibration import TEMPERATURES, Calibration
from skhvae.likelihoods import Bernoulli, Normal
from skhvae.matching import Matching
from skhvae.recalibration import _FEWEST_CELLS, _weights, carry_over, recalibrate


def test_intervals_cover_cells_that_are_missing_elsewhere():
    """The larger x, the wider y is spread, and the more often it is missing; three epochs learn nothing of it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(4000)
    table = pd.DataFrame({"x": x, "y": 0.3 * x + np.exp(x) * rng.standard_normal(4000)})
    missing = rng.random(4000) < 1 / (1 + np.exp(1 - 2 * x))
    imputer = light(mechanism="mar").fit(table.assign(y=table["y"].mask(missing)))
    low, high = imputer.predict_interval(table.assign(y=table["y"].mask(missing)), coverage=0.9)
    covered = (low["y"] <= table["y"]) & (table["y"] <= high["y"])
    assert 0.78 < covered[missing].mean() < 0.97  # 0.55 if all held-out cells count the same


def test_weights_go_with_their_cells_where_features_are_matched(monkeypatch):
    """Of two kinds of cells with the same predictions, those that count are spread more widely."""
    rng = np.random.default_rng(0)
    n_cells = 4000
    means, wide = rng.standard_normal(n_cells), rng.random(n_cells) < 0.5
    truth = means + np.where(wide, 3.0, 0.3) * rng.standard_normal(n_cells)
    predicted = np.full((n_cells, recalibration._QUANTILES.stop), np.nan)
    predicted[:, [recalibration._BELOW, recalibration._REACHED]] = 0.5
    predicted[:, recalibration._MEAN] = means
    predicted[:, recalibration._QUANTILES] = 100.0  # so that donors are better
    monkeypatch.setattr(recalibration, "_held_out", lambda *args: [predicted.copy()])
    model = SimpleNamespace(heads=SimpleNamespace(is_finite=lambda feature: False))
    all_cells = torch.ones(n_cells, 1, dtype=torch.bool)
    calibration, matching = recalibrate(
        model,
        torch.from_numpy(truth)[:, None],
        ~all_cells,
        all_cells,
        torch.zeros(1, 1),
        torch.zeros(1),
        rng,
        np.where(wide, 5.0, 0.0)[:, None],
    )
    assert matching.applies.tolist() == [True]
    donors = matching.donors(torch.from_numpy(means), 0)
    nominal = calibration.coverage(0.8).item()
    ends = np.quantile(donors.numpy(), [(1 - nominal) / 2, (1 + nominal) / 2], axis=1)
    covered = (ends[0] <= truth) & (truth <= ends[1])
    assert covered[wide].mean() == pytest.approx(0.8, abs=0.06)
    assert covered[~wide].mean() > 0.95


def test_weights_are_drawn_together_where_few_would_be_left():
    log_odds = np.random.default_rng(0).standard_normal(300)
    np.testing.assert_allclose(_weights(log_odds), np.exp(log_odds - log_odds.max()))
    weights = _weights(8 * log_odds)
    assert weights.sum() ** 2 / (weights**2).sum() > _FEWEST_CELLS
    assert (np.argsort(weights) == np.argsort(log_odds)).all()
    assert len(_weights(np.zeros(0))) == 0
    assert np.isfinite(_weights(np.array([0.0, 1e4]))).all()


class Fixed(torch.nn.Module):
    """Predicts for each cell of two numbers and a level the same distribution as for all others."""

    n_members = 1

    def __init__(self, loc, scale):
        super().__init__()
        normal, levels = Normal(), Bernoulli()
        raw = normal.raw(*(torch.tensor(x, dtype=torch.float64) for x in (loc, scale)))
        self.raw = torch.nn.ParameterList([raw, torch.zeros(1, 1, dtype=torch.float64)])
        layout = SimpleNamespace(n_parameters=5)
        self.heads = SimpleNamespace(families=[normal, levels], layout=layout)


def carried_over(monkeypatch, before, after, n_missing=100):
    """A calibration of two numbers and a level, carried over; and one that is not."""
    monkeypatch.setattr(
        recalibration,
        "predictions_at",
        lambda model, values, visible, points: [
            raw.expand(1, len(values), *raw.shape) for raw in model.raw
        ],
    )
    levels = [np.random.default_rng(i).random(50) ** 2 for i in range(2)] + [np.zeros(0)]
    logs = [np.full((len(x), len(TEMPERATURES)), np.nan) for x in levels[:2]]
    logs.append(np.zeros((0, len(TEMPERATURES))))
    pair = [Calibration(levels, levels, logs, np.random.default_rng(0)) for _ in range(2)]
    observed = torch.ones(300, 3, dtype=torch.bool)
    observed[:n_missing] = False
    matching = Matching([torch.zeros(0)] * 3, [torch.zeros(0)] * 3)
    data = torch.zeros(300, 3), observed, torch.zeros(1, 1)
    carry_over(pair[0], matching, (before, after), *data)
    return pair


def values_at(calibration, loc, scale, wanted):
    levels = torch.tensor(wanted)[:, None].expand(-1, 2)
    found = calibration.levels(levels, slice(0, 2))
    return torch.tensor(loc) + torch.tensor(scale) * torch.special.ndtri(found)


def test_a_model_that_has_learned_on_is_not_trusted_more(monkeypatch):
    """It has become twice as sure of one number, and says another mean of the other one."""
    was, has_become = ([0.0, 1.0], [1.0, 2.0]), ([0.0, 3.0], [0.5, 2.0])
    found, plain = carried_over(monkeypatch, Fixed(*was), Fixed(*has_become))
    wanted = [0.2, 0.5, 0.8]
    torch.testing.assert_close(
        values_at(found, *has_become, wanted), values_at(plain, *was, wanted), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("n_missing", [0, 19])
def test_nothing_is_carried_over_by_few_missing_cells(n_missing, monkeypatch):
    models = Fixed([0.0, 1.0], [1.0, 2.0]), Fixed([0.0, 3.0], [0.5, 2.0])
    found, plain = carried_over(monkeypatch, *models, n_missing)
    levels = torch.full((1, 2), 0.3)
    assert torch.equal(found.levels(levels, slice(0, 2)), plain.levels(levels, slice(0, 2)))
