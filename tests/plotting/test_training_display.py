"""Curves of a history."""

import numpy as np
import pandas as pd
import pytest
from light import light
from matplotlib.colors import to_hex

from skhvae.plotting import TrainingDisplay
from skhvae.plotting._theme import LIGHT


def coloured(display, what="loss"):
    return [
        name[len(what) + 1 : -1]
        for name, line in display.lines_.items()
        if name.startswith(f"{what}[") and to_hex(line.get_color()).upper() != LIGHT
    ]


def titles(display):
    return [ax.get_title().split(",")[0] for ax in display.axes_]


def test_lines_are_the_history(mixed):
    history = mixed.imputer.history_
    curves = ("loss", "error", "weight")
    display = TrainingDisplay.from_estimator(mixed.imputer, curves=curves)
    by_feature = [name for name in history if name.split("[")[0] in curves and "[" in name]
    assert len(by_feature) == 3 * mixed.table.shape[1]
    assert set(display.lines_) == {"loss", "kl", "held_out_error", *by_feature}
    for name, line in display.lines_.items():
        assert line.get_xdata().tolist() == history.index.tolist()
        np.testing.assert_array_equal(line.get_ydata(), history[name])


def test_the_lowest_held_out_error_is_named():
    history = pd.DataFrame(
        {"loss": [3.0, 2.0, 1.0], "held_out_error": [0.4, 0.2, np.nan]}, [1, 2, 3]
    )
    history["loss[a]"] = history["loss"]
    display = TrainingDisplay(history).plot()
    assert display.axes_[1].get_title() == "held-out error, lowest in epoch 2"


def test_without_held_out_cells_there_are_no_errors(mixed):
    imputer = light(early_stopping=False).fit(mixed.table)
    display = TrainingDisplay.from_estimator(imputer)
    assert titles(display) == ["loss", "KL term", "loss by feature"]


def test_after_partial_fit(mixed):
    imputer = light().partial_fit(mixed.table)
    assert titles(TrainingDisplay.from_estimator(imputer)) == ["loss", "KL term", "loss by feature"]
    display = TrainingDisplay.from_estimator(imputer.partial_fit(mixed.table))
    assert titles(display) == ["loss", "KL term", "held-out error", "loss by feature"]
    assert display.lines_["loss"].get_xdata().tolist() == [1, 2]


def test_features_to_colour(wide):
    display = TrainingDisplay.from_estimator(wide.imputer, features=9)
    names = wide.table.columns.tolist()
    assert len(coloured(display)) == len(coloured(display, "error")) == 9
    display = TrainingDisplay.from_estimator(wide.imputer, features=[names[40], names[3]])
    assert set(coloured(display)) == {names[40], names[3]}
    assert len(display.lines_) == 3 + 2 * 60
    with pytest.raises(ValueError, match="'none', which there is not"):
        TrainingDisplay.from_estimator(wide.imputer, features=["none"])


def test_those_whose_error_fell_least_are_coloured():
    history = pd.DataFrame({"loss": [1.0, 1.0]}, [1, 2])
    for name, fall in {"a": 0.9, "b": 0.1, "c": 0.5}.items():
        history[f"loss[{name}]"] = [1.0, 1.0]
        history[f"error[{name}]"] = [1.0, 1.0 - fall]
    assert coloured(TrainingDisplay(history).plot(features=1), "error") == ["b"]
    assert set(coloured(TrainingDisplay(history).plot(features=2), "error")) == {"b", "c"}


def test_names_that_are_no_strings(odd):
    display = TrainingDisplay.from_estimator(odd.imputer, features=[3, ("x", "y")])
    assert set(coloured(display)) == {"3", "('x', 'y')"}


def test_without_a_history():
    imputer = light().fit(pd.DataFrame({"a": [1.0, 1.0, None], "b": ["x", "x", "x"]}))
    with pytest.raises(ValueError, match="There is no history"):
        TrainingDisplay.from_estimator(imputer)


def test_unknown_curves_are_refused(mixed):
    with pytest.raises(ValueError, match=r"curves are some of .*found 'kl'"):
        TrainingDisplay.from_estimator(mixed.imputer, curves=["kl"])
