"""Calibration from held-out cells that stand for missing ones."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from light import light

from skhvae import recalibration
from skhvae.recalibration import _FEWEST_CELLS, _weights, recalibrate


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
