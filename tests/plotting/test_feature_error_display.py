"""Bars of errors, and which features are marked."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from skhvae.plotting import FeatureErrorDisplay
from skhvae.plotting._theme import BLUE, VERMILLION

ERRORS = {"a": 0.10, "b": 0.30, "c": 0.20, "d": 0.05, "e": 0.0}
BASELINE = {"a": 0.20, "b": 0.30, "c": 0.15, "d": 0.06, "e": 0.0}


def labels(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def widths(display):
    return dict(zip(labels(display), [bar.get_width() for bar in display.bars_], strict=True))


@pytest.mark.parametrize("with_truth", [True, False])
def test_bars_are_the_errors_that_the_estimator_measures(mixed, with_truth):
    truth = mixed.truth if with_truth else None
    display = FeatureErrorDisplay.from_estimator(mixed.imputer, mixed.table, truth)
    errors = mixed.imputer.score_features(mixed.table, truth)
    pd.testing.assert_frame_equal(display.errors, errors)
    assert widths(display) == errors["error"].to_dict()
    at = dict(zip(labels(display), display.baselines_.get_xdata(), strict=True))
    assert at == errors["baseline"].to_dict()


def test_sample_weight_counts(mixed):
    weights = np.arange(len(mixed.table)) % 3
    weighed = FeatureErrorDisplay.from_estimator(
        mixed.imputer, mixed.table, mixed.truth, sample_weight=weights
    )
    expected = mixed.imputer.score_features(mixed.table, mixed.truth, weights)["error"]
    assert widths(weighed) == expected.to_dict()


def test_features_that_are_no_better_are_marked():
    display = FeatureErrorDisplay.from_errors(ERRORS, BASELINE)
    assert display.overlooked.to_dict() == dict(a=False, b=True, c=True, d=False, e=False)
    for name, bar in zip(labels(display), display.bars_, strict=True):
        marked = name in ("b", "c")
        assert to_hex(bar.get_facecolor()).upper() == (VERMILLION if marked else BLUE)
        assert bool(bar.get_hatch()) == marked
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["imputed", "imputed, overlooked", "mean or mode"]


def test_nothing_is_said_of_overlooking_where_there_is_none():
    display = FeatureErrorDisplay.from_errors({"a": 0.1}, {"a": 0.2})
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["imputed", "mean or mode"]


@pytest.mark.parametrize(
    ("options", "from_the_top"),
    [
        ({}, "cbdae"),
        ({"sort": False}, "abcde"),
        ({"features": 2}, "cb"),
        ({"features": 2, "sort": False}, "bc"),
        ({"features": ["a", "c"]}, "ca"),
        ({"features": "d"}, "d"),
    ],
)
def test_which_features_and_in_what_order(options, from_the_top):
    display = FeatureErrorDisplay.from_errors(ERRORS, BASELINE, **options)
    assert labels(display)[::-1] == list(from_the_top)
    assert widths(display) == {name: ERRORS[name] for name in from_the_top}


def test_features_without_hidden_cells_are_left_out():
    errors = pd.DataFrame({"error": [0.1, np.nan], "baseline": [0.2, np.nan]}, index=["a", "b"])
    assert labels(FeatureErrorDisplay.from_errors(errors)) == ["a"]
    with pytest.raises(ValueError, match="No feature has an error"):
        FeatureErrorDisplay.from_errors(errors.loc[["b"]])


def test_errors_of_a_table_name_their_units(mixed):
    display = FeatureErrorDisplay.from_estimator(
        mixed.imputer, mixed.table, features=["real_1", "ordinal_1"]
    )
    label = display.ax_.get_xlabel().replace("\n", " ")
    assert label == "error: RMSE / range, rank difference / levels"


def test_baselines_are_needed():
    with pytest.raises(ValueError, match="pass baseline"):
        FeatureErrorDisplay.from_errors(ERRORS)
    with pytest.raises(ValueError, match=r"no error of \['e'\]"):
        FeatureErrorDisplay.from_errors(ERRORS, {k: BASELINE[k] for k in "abcd"})


def test_the_figure_grows_with_the_features(wide):
    errors = wide.imputer.score_features(wide.table)
    heights = [
        FeatureErrorDisplay.from_errors(errors, features=n).figure_.get_figheight()
        for n in (5, 20, 60)
    ]
    assert heights == sorted(heights)
    assert heights[-1] > 60 * 0.2
