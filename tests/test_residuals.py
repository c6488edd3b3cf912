"""Regressions of what a network leaves unexplained."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from light import light
from mixed_table import mixed_table
from scipy import special
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge
from small_problem import encode

from skhvae import residuals
from skhvae.calibration import TEMPERATURES, Calibration
from skhvae.explanatory import Columns
from skhvae.likelihoods import Bernoulli, Categorical, Normal
from skhvae.residuals import ResidualRegression, regress_residuals

N = 600


# Regressions of one feature.


def explained(rng, n=N, p=4):
    x = rng.standard_normal((n, p)) + 0.5
    others = np.arange(1, p)  # the first column is the feature's own
    slopes = np.array([0.0, 0.4, -0.3, 0.2])
    return x, others, slopes


def test_numbers_are_regressed_as_by_ridge_regression():
    rng = np.random.default_rng(0)
    x, others, slopes = explained(rng)
    u = 0.1 + x @ slopes + 0.6 * rng.standard_normal(N)
    levels = norm.cdf(u)
    chosen, mean, factor, spread = residuals._of_numbers(
        x, np.column_stack([levels, levels]), others, rng
    )
    assert chosen.tolist() == others.tolist()
    scale = np.sqrt((1 + u.var()) / 2) / u.std()
    oracle = Ridge(alpha=3.0).fit(x[:, 1:], u)
    np.testing.assert_allclose(mean[0, :-1], scale * oracle.coef_, rtol=1e-6)
    # The mean of what is predicted is that of the cells.
    at_mean = mean[0, :-1] @ x[:, 1:].mean(0) + mean[0, -1]
    assert at_mean == pytest.approx(u.mean())
    left = u - oracle.predict(x[:, 1:])
    assert spread == pytest.approx(scale * left.std(), rel=0.01)
    covariance = (factor @ factor.T)[:-1, :-1]
    centred = x[:, 1:] - x[:, 1:].mean(0)
    expected = spread**2 * np.linalg.inv(centred.T @ centred + 3 * np.eye(3))
    np.testing.assert_allclose(covariance, expected, rtol=1e-6)


def test_what_is_explained_is_taken_from_the_spread():
    """So that cells as a whole are as spread as those of calibrated distributions."""
    rng = np.random.default_rng(0)
    x, others, slopes = explained(rng)
    u = x @ slopes
    u = (u - u.mean()) / u.std() * 0.8 + 0.6 * rng.standard_normal(N)
    levels = norm.cdf((u - u.mean()) / u.std())
    _, mean, _, spread = residuals._of_numbers(x, np.column_stack([levels, levels]), others, rng)
    shifts = x[:, 1:] @ mean[0, :-1]
    assert shifts.var() + spread**2 == pytest.approx(1.0)
    assert spread == pytest.approx(0.6, abs=0.05)


def test_learned_cells_lie_too_close_by_half_of_what_they_seem_to():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 2))
    levels = norm.cdf(0.5 * rng.standard_normal(5000))
    *_, spread = residuals._of_numbers(x, np.column_stack([levels, levels]), np.array([1]), rng)
    assert spread == pytest.approx(np.sqrt((1 + 0.5**2) / 2), rel=0.02)


def test_a_mass_is_spread_over_its_levels():
    """Nine of ten cells are 0, as predicted: there is nothing to mend."""
    rng = np.random.default_rng(0)
    n = 5000
    high = rng.random(n) < 0.1
    ends = np.where(high[:, None], 0.9 + 0.1 * rng.random((n, 1)), [[0.0, 0.9]])
    found = residuals._of_numbers(rng.standard_normal((n, 2)), ends, np.array([1]), rng)
    assert np.abs(found[1]).max() < 0.05
    assert found[-1] == pytest.approx(1.0, abs=0.03)


def test_two_levels_are_regressed_as_by_logistic_regression():
    rng = np.random.default_rng(0)
    x, others, slopes = explained(rng)
    truth = rng.random((N, 1)) < special.expit(3 * x @ slopes - 1)[:, None]
    even = np.full((N, 2), np.log(0.5))
    chosen, mean, factor, _ = residuals._of_levels(x, truth, even, others)
    oracle = LogisticRegression(C=np.pi**2 / 9, tol=1e-10).fit(x[:, 1:], truth[:, 0])
    assert chosen.tolist() == others.tolist()
    np.testing.assert_allclose(mean[0, :-1], oracle.coef_[0], rtol=0.01)
    np.testing.assert_allclose(mean[0, -1], oracle.intercept_[0], atol=0.01)
    # Laplace's approximation: the inverse of the curvature.
    design = np.column_stack([x[:, 1:], np.ones(N)])
    p = oracle.predict_proba(x[:, 1:])[:, 1]
    curvature = (design.T * (p * (1 - p))) @ design + np.diag([9 / np.pi**2] * 3 + [1e-3])
    np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(curvature), rtol=0.02)


def test_levels_are_predicted_by_the_network_and_what_it_left():
    """Of the true log odds, the network knows some: the rest is found."""
    rng = np.random.default_rng(0)
    n = 20_000
    x = rng.standard_normal((n, 4))
    known, left = rng.standard_normal((n, 3)), np.array([[0.5, -1.0], [0.3, -0.3]])
    logits = known.copy()
    logits[:, 1:] += x[:, 1:3] @ left + [1.0, -0.5]
    truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    chosen, mean, *_ = residuals._of_levels(
        x, truth[:, None] == [1, 2], special.log_softmax(known, axis=1), np.arange(1, 4)
    )
    assert chosen.tolist() == [1, 2, 3]
    expected = np.column_stack([left.T, np.zeros(2), [1.0, -0.5]])
    np.testing.assert_allclose(mean, expected, atol=0.1)


def test_common_levels():
    codes = np.repeat(np.arange(12.0), [3, 9, 1, 4, 5, 6, 7, 8, 10, 11, 12, 2])
    assert residuals._common(codes).tolist() == [9, 8, 1, 7, 6, 5, 4, 3, 0]
    assert len(residuals._common(np.zeros(5))) == 0


def test_there_are_cells_for_every_coefficient():
    rng = np.random.default_rng(0)
    x, levels = rng.standard_normal((N, 200)), rng.random(N)
    chosen, *_ = residuals._of_numbers(x, np.column_stack([levels, levels]), np.arange(200), rng)
    assert len(chosen) == residuals._MOST_COLUMNS
    few, *_ = residuals._of_numbers(
        x[:80], np.column_stack([levels, levels])[:80], np.arange(200), rng
    )
    assert len(few) == 80 // residuals._CELLS_A_COEFFICIENT
    truth = rng.integers(0, 5, (N, 1)) == [1, 2, 3, 4]
    of_levels, *_ = residuals._of_levels(x, truth, np.full((N, 5), -1.6), np.arange(200))
    assert len(of_levels) == N // residuals._CELLS_A_COEFFICIENT // 4


# Draws of coefficients.


def two_families():
    encoder, values, observed = encode(
        mixed_table(np.random.default_rng(0))[["real", "flag", "kind"]]
    )
    families = [group.likelihood for group in encoder.groups]
    assert [type(family) for family in families] == [Normal, Bernoulli, Categorical]
    columns = Columns(values, observed, encoder.features)
    long = torch.long
    regression = ResidualRegression(
        columns,
        [torch.tensor([1]), torch.tensor([0, 1]), torch.zeros(0, dtype=long)],
        [
            torch.tensor([[2.0, 1.0]]),
            torch.tensor([[0.5, -0.5, 0.1]]),
            torch.tensor([[0.3], [0.4]]),
        ],
        [0.1 * torch.eye(2), torch.zeros(3, 3), torch.zeros(2, 2)],
        [torch.zeros(1, dtype=long), torch.tensor([1]), torch.tensor([2, 1])],
        torch.tensor([0.5, 1.0, 1.0]),
    )
    vars(regression)["_means"] = [x.double() for x in regression._means]
    vars(regression)["_factors"] = [x.double() for x in regression._factors]
    vars(regression)["_spreads"] = regression._spreads.double()
    return families, values, columns, regression


def test_drawn_coefficients_shift_what_is_predicted():
    families, values, columns, regression = two_families()
    shifts = regression.drawn(families, np.random.default_rng(0)).of(values)
    x = columns.of(values)
    number, flag, kind = shifts.of_families
    noise = 0.1 * torch.from_numpy(np.random.default_rng(0).standard_normal(2))
    torch.testing.assert_close(number[:, 0, 0], (2 + noise[0]) * x[:, 1] + 1 + noise[1])
    torch.testing.assert_close(flag[:, 0, 1], 0.5 * x[:, 0] - 0.5 * x[:, 1] + 0.1)
    assert (flag[:, 0, 0] == 0).all()
    torch.testing.assert_close(kind[:, 0], torch.tensor([0.0, 0.4, 0.3]).double().expand(N, 3))
    assert shifts.spreads.tolist() == [0.5, 1.0, 1.0]


def test_coefficients_are_drawn_from_their_posterior():
    families, _, _, regression = two_families()
    generator = np.random.default_rng(0)
    drawn = torch.stack([regression.drawn(families, generator).weights[0] for _ in range(2000)])
    slopes = drawn[:, 1, 0, 0]
    assert slopes.mean().item() == pytest.approx(2.0, abs=0.01)
    assert slopes.std().item() == pytest.approx(0.1, rel=0.06)


# In a table.


class Marginals(torch.nn.Module):
    """A network that has learned nothing but what each feature is like."""

    n_members = 1

    def __init__(self, families):
        super().__init__()
        layout = SimpleNamespace(n_parameters=sum(len(f.initial.flatten()) for f in families))
        self.heads = SimpleNamespace(families=families, layout=layout)
        self.some = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))


def uncalibrated(features):
    nothing = [np.zeros(0)] * len(features)
    logs = [np.zeros((0, len(TEMPERATURES)))] * len(features)
    return Calibration(nothing, nothing, logs, np.random.default_rng(0))


def test_relations_that_a_network_has_not_learned_are_found(monkeypatch):
    """Draws of a network that knows none: of all pairs of columns they have those of the table."""
    from skhvae import draws

    def predictions(model, values, visible, points):
        return [f.initial.expand(1, len(values), *f.initial.shape) for f in model.heads.families]

    for module in (draws, residuals):
        monkeypatch.setattr(module, "predictions_at", predictions)
        monkeypatch.setattr(module, "steady", lambda model: model)
    rng = np.random.default_rng(0)
    complete = mixed_table(rng, 3000)[["real", "flag"]].assign(
        other=lambda x: 0.8 * x["real"] + 0.6 * rng.standard_normal(3000)
    )
    hidden = rng.random(complete.shape) < 0.3
    encoder, values, observed = encode(complete.mask(hidden))
    model = Marginals([group.likelihood for group in encoder.groups])
    calibration = uncalibrated(encoder.features)
    options = dict(points=torch.zeros(1, 1), grid=draws.Grid(*encoder.ranges()))
    half_steps = encoder.ranges()[2] / 2
    found = regress_residuals(
        model, values, observed, encoder.features, half_steps, 0, calibration=calibration, **options
    )
    assert len(found) == 1
    shifts = found[0].drawn(model.heads.families, rng).of
    numbers = iter(torch.from_numpy(rng.random((10, 2, *values.shape))))

    def drawn(values, visible, **more):
        order, levels = next(numbers)
        turn = draws.turns(~observed, order)
        return draws.draw_cells(model, values, visible, turn, levels, member=0, **options, **more)

    first = drawn(values, observed)
    last = first
    for _ in range(4):
        last = drawn(last, torch.ones_like(observed), shifts=shifts)
    truth, _ = encoder.encode(complete)
    names = [feature.name for feature in encoder.features]
    expected = np.corrcoef(truth.T.numpy())
    real, other, flag = (names.index(name) for name in ("real", "other", "flag"))
    for i, j in [(real, other), (real, flag), (other, flag)]:
        cells = (~observed[:, i]).numpy()
        of_first, of_last = (np.corrcoef(x[cells].T.numpy())[i, j] for x in (first, last))
        assert abs(of_first) < 0.1 < expected[i, j]
        assert of_last == pytest.approx(expected[i, j], abs=0.08)


def test_draws_of_an_imputer_keep_relations():
    """One that was hardly trained."""
    rng = np.random.default_rng(0)
    complete = mixed_table(rng, 500)[["real", "kind"]].assign(
        other=lambda x: x["real"] + 0.5 * rng.standard_normal(500)
    )
    hidden = rng.random(500) < 0.4
    table = complete.assign(other=complete["other"].mask(hidden))
    imputer = light(max_iter=1).fit(table)

    def correlation(calibrate):
        draws = imputer.sample_imputations(table, 10, random_state=0, calibrate=calibrate)
        found = [np.corrcoef(x["real"][hidden], x["other"][hidden].astype(float)) for x in draws]
        return np.mean(found, axis=0)[0, 1]

    assert correlation(calibrate=False) < 0.4
    expected = np.corrcoef(complete["real"], complete["other"])[0, 1]
    assert correlation(calibrate=True) == pytest.approx(expected, abs=0.12)


def test_features_with_few_cells_are_left_as_they_are():
    table = mixed_table(np.random.default_rng(0), 200)
    table.loc[residuals._FEWEST_CELLS - 1 :, ["real", "kind"]] = None
    engine = light(max_iter=1).fit(table)._engine
    (found,) = engine.regressions
    for feature, mean, factor in zip(
        engine.encoder.features, found._means, found._factors, strict=True
    ):
        if feature.name in ("real", "kind"):
            assert not mean.any()
            assert not factor.any()
        else:
            assert mean.any()
            assert factor.any()


def test_of_many_levels_the_common_ones_are_shifted():
    rng = np.random.default_rng(0)
    first = rng.standard_normal(300)
    names = np.where(rng.random(300) < special.expit(3 * first), "one", "two").astype(object)
    names[::4] = [f"level {i}" for i in range(75)]
    imputer = light(max_iter=1).fit(pd.DataFrame({"first": first, "names": names}))
    (found,) = imputer._engine.regressions
    (place,) = [i for i, f in enumerate(imputer._engine.encoder.features) if f.name == "names"]
    assert found._means[place].shape == (9, 2)
    levels = imputer.schema_["names"].levels[found._codes[place].numpy()]
    assert levels[0] in ("one", "two")


def test_every_member_has_its_own():
    table = mixed_table(np.random.default_rng(0), 200)
    engine = light(max_iter=1, n_members=2).fit(table)._engine
    one, other = engine.regressions
    assert not torch.equal(one._means[0], other._means[0])


def test_nothing_is_regressed_without_calibration_or_with_few_cells():
    table = mixed_table(np.random.default_rng(0), 200)
    assert light(max_iter=1).fit(table[: residuals._FEWEST_CELLS - 1])._engine.regressions == []
    assert light(max_iter=1, early_stopping=False).fit(table)._engine.regressions == []
