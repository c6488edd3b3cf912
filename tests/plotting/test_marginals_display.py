"""Shares of cells at every level and in every bin."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import ConciseDateFormatter
from matplotlib.patches import Rectangle, StepPatch

from skhvae.plotting import MarginalsDisplay


def panel(display, name):
    """Its axes, shares and edges."""
    place = display.features_.index(name)
    return display.axes_[place], display.shares_[place], display.edges_[place]


def bars(ax):
    return [patch for patch in ax.patches if type(patch) is Rectangle]


def steps(ax):
    return [patch for patch in ax.patches if isinstance(patch, StepPatch)]


@pytest.fixture(scope="module")
def of_mixed(mixed):
    return MarginalsDisplay.from_estimator(mixed.imputer, mixed.table, n_samples=50, random_state=0)


@pytest.fixture(scope="module")
def groups(mixed):
    """The cells that are compared: observed ones, imputed ones and synthetic ones."""
    (drawn,) = mixed.imputer.sample_imputations(mixed.table, 1, random_state=0)
    synthetic = mixed.imputer.sample(50, random_state=0)
    return {
        name: {
            "observed": mixed.table[name].dropna(),
            "imputed": drawn[name][mixed.table[name].isna()],
            "generated": synthetic[name],
        }
        for name in mixed.table
    }


@pytest.mark.parametrize("name", ["nominal_1", "nominal_2", "ordinal_1", "binary_1"])
def test_bars_of_levels(mixed, of_mixed, groups, name):
    ax, shares, _ = panel(of_mixed, name)
    levels = mixed.imputer.schema_[name].levels
    assert [label.get_text() for label in ax.get_xticklabels()] == [str(x) for x in levels]
    assert list(shares) == ["observed", "imputed", "generated"]
    heights = np.array([bar.get_height() for bar in bars(ax)]).reshape(3, len(levels))
    for (label, share), drawn in zip(shares.items(), heights, strict=True):
        cells = groups[name][label]
        expected = [float((cells == level).mean()) for level in levels]
        np.testing.assert_allclose(share, expected)
        np.testing.assert_array_equal(drawn, share)


@pytest.mark.parametrize("name", ["real_1", "positive_2", "datetime_1"])
def test_histograms_on_common_bins(of_mixed, groups, name):
    ax, shares, edges = panel(of_mixed, name)
    drawn = steps(ax)
    assert len(drawn) == 3
    for patch, (label, share) in zip(drawn, shares.items(), strict=True):
        values = groups[name][label]
        if name == "datetime_1":
            values = (values - pd.Timestamp(0)) / pd.Timedelta(days=1)
        expected = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
        np.testing.assert_allclose(share, expected, atol=1e-12)
        np.testing.assert_array_equal(patch.get_data().values, share)
        np.testing.assert_array_equal(patch.get_data().edges, edges)
        assert share.sum() == pytest.approx(1)


def test_dates_are_dates(of_mixed, mixed):
    ax = panel(of_mixed, "datetime_1")[0]
    assert isinstance(ax.xaxis.get_major_formatter(), ConciseDateFormatter)
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    years = mixed.table["datetime_1"].dt.year
    assert [x for x in labels if x.isdigit() and years.min() <= int(x) <= years.max()]


def test_small_counts_are_shown_one_by_one():
    display = MarginalsDisplay.from_tables(
        {"a": pd.DataFrame({"n": [2, 2, 3, 5], "m": [0, 50, 100, 75]})}, bins=5
    )
    ax, shares, places = panel(display, "n")
    assert places.tolist() == [2, 3, 4, 5]
    assert shares["a"].tolist() == [0.5, 0.25, 0, 0.25]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars(ax)] == [2, 3, 4, 5]
    assert steps(panel(display, "m")[0])


def test_every_bin_holds_as_many_whole_numbers():
    table = pd.DataFrame({"n": np.arange(100)})
    for bins in (7, 20, 30):
        display = MarginalsDisplay.from_tables({"a": table}, bins=bins)
        _, shares, edges = panel(display, "n")
        assert len(edges) - 1 <= bins
        assert (edges % 1 == 0.5).all()
        assert len(set(np.diff(edges))) == 1
        assert len(set(shares["a"][:-1].round(12))) == 1


def test_long_tails_are_gathered_at_the_ends():
    values = np.concatenate([np.linspace(0, 1, 2000), [1000.0]])
    display = MarginalsDisplay.from_tables({"a": pd.DataFrame({"x": values})})
    ax, shares, edges = panel(display, "x")
    assert edges[-1] < 2
    assert shares["a"].sum() == pytest.approx(1)
    assert ax.get_xlabel() == "x, ends: and beyond"
    display = MarginalsDisplay.from_tables({"a": pd.DataFrame({"x": values[:-1]})})
    assert display.axes_[0].get_xlabel() == "x"


def test_rare_levels_share_a_bar():
    cells = [f"level {i:02}" for i in range(30) for _ in range(i + 1)]
    display = MarginalsDisplay.from_tables({"a": pd.DataFrame({"x": cells})}, max_levels=5)
    ax, shares, _ = panel(display, "x")
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["level 26", "level 27", "level 28", "level 29", "26 others"]
    n = len(cells)
    np.testing.assert_allclose(shares["a"], [27 / n, 28 / n, 29 / n, 30 / n, 1 - 114 / n])


def test_levels_that_were_not_seen_in_fit(odd):
    table = odd.table.assign(_c=pd.Categorical(["new"] * 45 + ["_p"] * 45))
    display = MarginalsDisplay.from_estimator(
        odd.imputer, table, n_samples=None, features=["_c"], ax=plt.subplots()[1]
    )
    ax, shares, _ = panel(display, "_c")
    assert [x.get_text() for x in ax.get_xticklabels()] == [r"\$q\$", "_p", "r", "(unseen)"]
    assert shares["observed"].tolist() == [0, 0.5, 0, 0.5]


def test_best_guesses_instead_of_draws(mixed):
    display = MarginalsDisplay.from_estimator(
        mixed.imputer, mixed.table, n_samples=None, response_method="transform"
    )
    guesses = mixed.imputer.transform(mixed.table)["nominal_1"][mixed.table["nominal_1"].isna()]
    shares = panel(display, "nominal_1")[1]
    assert list(shares) == ["observed", "imputed"]
    expected = [(guesses == x).mean() for x in mixed.imputer.schema_["nominal_1"].levels]
    np.testing.assert_allclose(shares["imputed"], expected)
    with pytest.raises(ValueError, match=r"response_method is one of .*found 'predict'"):
        MarginalsDisplay.from_estimator(mixed.imputer, mixed.table, response_method="predict")


def test_a_complete_table_has_nothing_imputed(mixed):
    display = MarginalsDisplay.from_estimator(mixed.imputer, mixed.truth, n_samples=20)
    assert {label for shares in display.shares_ for label in shares} == {"observed", "generated"}


def test_columns_without_a_cell(odd):
    display = MarginalsDisplay.from_estimator(odd.imputer, odd.table, n_samples=20)
    assert display.features_ == [x for x in odd.table.columns if x != "empty"]
    with pytest.raises(ValueError, match=r"no observed cell to show, in columns \['empty'\]"):
        MarginalsDisplay.from_estimator(odd.imputer, odd.table, features=["empty"])


def test_durations_have_a_unit(odd):
    display = MarginalsDisplay.from_estimator(
        odd.imputer, odd.table, n_samples=20, features=["wait"]
    )
    ax, _, edges = panel(display, "wait")
    longest = odd.table["wait"].max() / pd.Timedelta(hours=1)
    assert ax.get_xlabel() == "wait (hours)"
    assert longest <= edges[-1] < 1.2 * longest


def test_how_many_features(wide):
    display = MarginalsDisplay.from_estimator(wide.imputer, wide.table, n_samples=20)
    assert display.features_ == wide.table.columns[:12].tolist()
    names = wide.table.columns[[50, 3]].tolist()
    assert display.plot(features=names).features_ == names


def test_rows_are_not_mixed_up_where_an_index_repeats_itself(mixed):
    table = mixed.table.set_axis([0] * len(mixed.table))
    display = MarginalsDisplay.from_estimator(mixed.imputer, table, n_samples=None, random_state=0)
    original = MarginalsDisplay.from_estimator(
        mixed.imputer, mixed.table, n_samples=None, random_state=0
    )
    for one, other in zip(display.shares_, original.shares_, strict=True):
        assert list(one) == list(other)
        for label in one:
            np.testing.assert_array_equal(one[label], other[label])


def test_tables_must_have_the_columns_of_the_first(mixed):
    with pytest.raises(ValueError, match=r"Table 'b' lacks columns of the first one: \['y'\]"):
        MarginalsDisplay.from_tables(
            {"a": pd.DataFrame({"x": [1, 2], "y": [1, 2]}), "b": pd.DataFrame({"x": [1, 2]})}
        )
    with pytest.raises(ValueError, match="at least one table"):
        MarginalsDisplay.from_tables({})


@pytest.mark.parametrize("option", ["bins", "max_levels"])
def test_counts_are_checked(mixed, option):
    with pytest.raises(ValueError, match=rf"{option} must be an integer of at least 1, found 0"):
        MarginalsDisplay.from_tables({"a": mixed.truth}, **{option: 0})
