"""The heat map of cosines, and the curves beside it."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from light import light

from skhvae.plotting import GradientConflictDisplay


@pytest.mark.parametrize("case", ["mixed", "wide", "odd"])
def test_the_heat_map_is_the_conflict(case, request):
    imputer = request.getfixturevalue(case).imputer
    display = GradientConflictDisplay.from_estimator(imputer)
    expected = imputer.gradient_conflict_.to_numpy()
    assert len(expected) > 5
    np.testing.assert_array_equal(display.image_.get_array(), expected)


def test_colours_run_to_the_largest_cosine_of_two_features(mixed):
    image = GradientConflictDisplay.from_estimator(mixed.imputer).image_
    cosines = np.abs(mixed.imputer.gradient_conflict_.to_numpy() - np.eye(10))
    assert image.norm.vmax == -image.norm.vmin == pytest.approx(cosines.max(), abs=1e-6)
    assert image.norm.vmax < 0.9


def test_curves_are_those_of_the_history(mixed):
    history = mixed.imputer.history_
    lines = GradientConflictDisplay.from_estimator(mixed.imputer).lines_
    np.testing.assert_array_equal(
        lines["conflicting_pairs"].get_ydata(), history["conflicting_pairs"]
    )
    names = [name for name in history if name.startswith("weight[")]
    assert set(lines) == {"conflicting_pairs", *names}
    of_all = history[names].abs().sum(axis=1)
    for name in names:
        np.testing.assert_allclose(lines[name].get_ydata(), history[name] / of_all)


def test_the_heat_map_alone(mixed):
    _, ax = plt.subplots()
    display = GradientConflictDisplay.from_estimator(mixed.imputer, ax=ax, curves=False)
    assert display.axes_.tolist() == [ax]
    assert display.lines_ == {}


def test_of_plain_cosines():
    cosines = [[1.0, -0.4, np.nan], [-0.4, 1.0, 0.1], [np.nan, 0.1, 1.0]]
    display = GradientConflictDisplay.from_cosines(cosines)
    np.testing.assert_array_equal(display.image_.get_array().filled(np.nan), cosines)
    assert display.image_.norm.vmax == 0.4
    with pytest.raises(ValueError, match=r"square table, found shape \(1, 2\)"):
        GradientConflictDisplay.from_cosines([[1.0, 0.0]])


def test_one_feature():
    display = GradientConflictDisplay.from_cosines([[1.0]])
    display.figure_.canvas.draw()
    assert display.image_.get_array().tolist() == [[1.0]]


def test_labels_are_thinned_where_they_have_no_room(wide):
    _, ax = plt.subplots(figsize=(4, 4))
    GradientConflictDisplay.from_estimator(wide.imputer, ax=ax, curves=False)
    ticks = ax.get_yticks()
    assert 5 < len(ticks) < 30
    assert len(set(np.diff(ticks))) == 1


def test_without_gradients():
    imputer = light().fit(pd.DataFrame({"a": [1.0, 1.0, None]}))
    with pytest.raises(ValueError, match="There are no gradients"):
        GradientConflictDisplay.from_estimator(imputer)


def test_unknown_features_are_refused(mixed):
    with pytest.raises(ValueError, match="'none', which there is not"):
        GradientConflictDisplay.from_estimator(mixed.imputer, features=["none"])
