"""The pattern of missing cells, intervals, draws and probabilities."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from light import light

from skhvae.plotting import ImputationDisplay
from skhvae.table import as_table

DAY = pd.Timedelta(days=1)


def as_numbers(column):
    """Dates in days since 1970, as matplotlib has them."""
    if column.dtype.kind != "M":
        return column.to_numpy(dtype=float)
    return ((column - pd.Timestamp(0)) / DAY).to_numpy()


def panel(display, name):
    return display.axes_[1 + list(display.cells).index(name)]


def line_of(ax, label):
    """What a legend's entry stands for."""
    legend = ax.get_legend()
    place = [text.get_text() for text in legend.get_texts()].index(label)
    colour = legend.legend_handles[place].get_color()
    (line,) = [line for line in ax.lines if line.get_color() == colour]
    return line


def test_the_pattern_is_where_cells_are_missing(mixed):
    display = ImputationDisplay.from_estimator(mixed.imputer, mixed.table)
    np.testing.assert_array_equal(display.image_.get_array(), mixed.missing)
    assert display.axes_[0].get_ylabel() == "200 rows"
    share = mixed.missing.mean()
    assert display.axes_[0].get_title() == f"missing: {share:.0%} of the cells"


def test_the_pattern_of_many_rows_is_a_sample(mixed):
    display = ImputationDisplay.from_estimator(mixed.imputer, mixed.table, max_rows=30)
    rows = display.missing.index
    assert len(rows) == 30
    assert rows.is_monotonic_increasing
    pd.testing.assert_frame_equal(display.missing, mixed.table.isna().loc[rows])
    assert display.axes_[0].get_ylabel() == "30 of 200 rows"


@pytest.mark.parametrize("name", ["real_1", "positive_1", "count_1", "datetime_1"])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_are_those_that_are_predicted(mixed, name, coverage):
    display = ImputationDisplay.from_estimator(
        mixed.imputer, mixed.table, features=[name], coverage=coverage, n_draws=3, random_state=0
    )
    rows = display.cells[name].index
    assert len(rows) == 12
    assert mixed.table[name][rows].isna().all()
    lower, upper = mixed.imputer.predict_interval(mixed.table, coverage)
    segments = np.array(display.intervals_[name].get_segments())
    np.testing.assert_allclose(segments[:, 0, 0], as_numbers(lower[name][rows]))
    np.testing.assert_allclose(segments[:, 1, 0], as_numbers(upper[name][rows]))
    np.testing.assert_array_equal(segments[:, 0, 1], np.arange(12))
    guesses = as_numbers(mixed.imputer.transform(mixed.table)[name][rows])
    ax = panel(display, name)
    np.testing.assert_allclose(line_of(ax, "best guess").get_xdata(), guesses)
    drawn = mixed.imputer.sample_imputations(mixed.table.loc[rows], 3, random_state=0)
    drawn = np.concatenate([as_numbers(draw[name]) for draw in drawn])
    np.testing.assert_allclose(line_of(ax, "draw").get_xdata(), drawn)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [f"{coverage:.0%} interval", "draw", "best guess"]


@pytest.mark.parametrize("name", ["nominal_1", "ordinal_1", "binary_1"])
def test_probabilities_are_those_that_are_predicted(mixed, name):
    display = ImputationDisplay.from_estimator(mixed.imputer, mixed.table, features=[name])
    rows = display.cells[name].index
    expected = mixed.imputer.predict_distributions(mixed.table)[name].loc[rows]
    image = display.probabilities_[name].get_array()
    np.testing.assert_allclose(image, expected, rtol=1e-5)
    levels = list(mixed.imputer.schema_[name].levels)
    assert [x.get_text() for x in panel(display, name).get_xticklabels()] == [*map(str, levels)]
    guesses = mixed.imputer.transform(mixed.table)[name][rows]
    (dots,) = panel(display, name).lines
    assert dots.get_xdata().tolist() == [levels.index(guess) for guess in guesses]


def test_the_least_probable_levels_share_a_column(mixed):
    display = ImputationDisplay.from_estimator(
        mixed.imputer, mixed.table, features=["nominal_1"], max_levels=3
    )
    whole = display.cells["nominal_1"].iloc[:, 1:]
    kept = sorted(np.argsort(-whole.max().to_numpy())[:2])
    image = display.probabilities_["nominal_1"].get_array()
    np.testing.assert_allclose(image[:, :2], whole.iloc[:, kept])
    np.testing.assert_allclose(image.sum(1), 1, rtol=1e-5)
    labels = [x.get_text() for x in panel(display, "nominal_1").get_xticklabels()]
    assert labels == [*map(str, whole.columns[kept]), "3 others"]
    (dots,) = panel(display, "nominal_1").lines
    guesses = whole.columns.get_indexer(display.cells["nominal_1"]["estimate"].astype(object))
    assert dots.get_xdata().tolist() == [kept.index(g) if g in kept else 2 for g in guesses]


def test_cells_are_named_by_the_index(odd):
    display = ImputationDisplay.from_estimator(odd.imputer, odd.table, features=["_c"], n_cells=4)
    cells = display.cells["_c"]
    labels = [
        label.get_text().replace(r"\$", "$") for label in panel(display, "_c").get_yticklabels()
    ]
    assert labels == cells.index.tolist()
    places = np.flatnonzero(odd.table["_c"].isna())
    assert set(cells.index) <= set(odd.table.index[places])
    expected = odd.imputer.predict_distributions(odd.table)["_c"].to_numpy()
    for row in cells.iloc[:, 1:].to_numpy(dtype=float):
        assert np.isclose(expected, row, rtol=1e-5).all(axis=1).any()


def test_which_columns_are_shown(mixed, odd):
    shown = ImputationDisplay.from_estimator(odd.imputer, odd.table, features=9, n_draws=0).cells
    assert list(shown) == [x for x in odd.table.columns if x not in ("empty", "constant")]
    names = ["nominal_2", "real_2"]
    assert (
        list(ImputationDisplay.from_estimator(mixed.imputer, mixed.table, features=names).cells)
        == names
    )
    with pytest.raises(ValueError, match=r"No cell of \['empty', 'constant'\] can be shown"):
        ImputationDisplay.from_estimator(odd.imputer, odd.table, features=["empty", "constant"])
    full = mixed.table.assign(real_1=0.0)
    with pytest.raises(ValueError, match=r"No cell of \['real_1'\] can be shown"):
        ImputationDisplay.from_estimator(mixed.imputer, full, features=["real_1"])


def test_a_complete_table_has_a_pattern_alone(mixed):
    display = ImputationDisplay.from_estimator(mixed.imputer, mixed.truth)
    assert len(display.axes_) == 1
    assert not display.image_.get_array().any()
    with pytest.raises(ValueError, match="nothing to draw"):
        display.plot(pattern=False)


def test_without_the_pattern(mixed):
    _, ax = plt.subplots()
    display = ImputationDisplay.from_estimator(
        mixed.imputer, mixed.table, features=["real_1"], pattern=False, ax=ax, n_draws=0
    )
    assert display.axes_.tolist() == [ax]
    assert display.image_ is None
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["90% interval", "best guess"]


def test_polars_and_arrays_show_what_pandas_shows(in_polars):
    display = ImputationDisplay.from_estimator(in_polars.imputer, in_polars.table, n_draws=0)
    table = as_table(in_polars.table)
    np.testing.assert_array_equal(display.image_.get_array(), table.isna())
    same = ImputationDisplay.from_estimator(in_polars.imputer, table, n_draws=0)
    assert list(display.cells) == list(same.cells) == ["size", "city", "rooms", "joined"]
    for name, cells in display.cells.items():
        pd.testing.assert_frame_equal(cells, same.cells[name])


def test_another_marker_of_missing_cells():
    random = np.random.default_rng(0)
    array = random.integers(0, 50, (80, 2)).astype(float)
    array[random.random(array.shape) < 0.2] = -1
    imputer = light(missing_values=-1).fit(array)
    display = ImputationDisplay.from_estimator(imputer, array, n_draws=0)
    np.testing.assert_array_equal(display.image_.get_array(), array == -1)
    assert list(display.cells) == [0, 1]
    assert (array[display.cells[0].index, 0] == -1).all()


def test_indicators_are_not_taken_for_columns(mixed):
    imputer = light(add_indicator=True, validation_fraction=0.2).fit(mixed.table)
    display = ImputationDisplay.from_estimator(imputer, mixed.table, features=["datetime_1"])
    assert isinstance(display.cells["datetime_1"]["estimate"].iloc[0], pd.Timestamp)


@pytest.mark.parametrize(("option", "value"), [("n_cells", 0), ("max_levels", 0), ("max_rows", 0)])
def test_counts_are_checked(mixed, option, value):
    with pytest.raises(ValueError, match=f"{option} must be an integer of at least 1, found 0"):
        ImputationDisplay.from_estimator(mixed.imputer, mixed.table, **{option: value})
