"""Positions of rows, and their colours."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from light import light
from sklearn.decomposition import PCA

from skhvae.plotting import LatentDisplay


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def n_points(display):
    return [len(points.get_offsets()) for points in display.points_]


def test_rows_stand_where_their_principal_components_are(mixed):
    display = LatentDisplay.from_estimator(mixed.imputer, mixed.table)
    pca = PCA(2, svd_solver="full")
    expected = pca.fit_transform(mixed.imputer.encode(mixed.table))
    np.testing.assert_allclose(np.abs(display.positions), np.abs(expected), atol=1e-5)
    (points,) = display.points_
    np.testing.assert_allclose(points.get_offsets(), display.positions)
    np.testing.assert_allclose(display.explained, pca.explained_variance_ratio_, rtol=1e-5)
    share = pca.explained_variance_ratio_[0]
    assert display.ax_.get_xlabel() == f"principal component 1 ({share:.0%} of the variance)"


def test_colours_of_levels(mixed):
    cells = mixed.table["nominal_1"]
    display = LatentDisplay.from_estimator(mixed.imputer, mixed.table, "nominal_1")
    levels = list(cells.cat.categories)
    assert legend(display) == [*levels, "missing"]
    assert n_points(display) == [cells.isna().sum(), *(int((cells == x).sum()) for x in levels)]
    colours = {tuple(points.get_facecolor()[0]) for points in display.points_}
    assert len(colours) == 1 + len(levels)
    assert display.colorbar_ is None
    of_first = np.asarray(display.points_[1].get_offsets())
    np.testing.assert_allclose(of_first, display.positions[(cells == levels[0]).to_numpy()])


@pytest.mark.parametrize("name", ["real_1", "count_1"])
def test_colours_of_numbers(mixed, name):
    cells = mixed.table[name]
    display = LatentDisplay.from_estimator(mixed.imputer, mixed.table, name)
    assert legend(display) == ["missing"]
    assert n_points(display) == [cells.isna().sum(), cells.notna().sum()]
    np.testing.assert_array_equal(display.points_[1].get_array(), cells.dropna())
    low, high = cells.quantile([0.02, 0.98])
    assert display.points_[1].norm.vmin == pytest.approx(low)
    assert display.points_[1].norm.vmax == pytest.approx(high)
    assert display.colorbar_.ax.get_ylabel() == name


def test_ordered_levels_have_a_scale(mixed):
    display = LatentDisplay.from_estimator(mixed.imputer, mixed.table, "ordinal_1")
    codes = mixed.table["ordinal_1"].cat.codes
    np.testing.assert_array_equal(display.points_[1].get_array(), codes[codes >= 0])
    labels = [label.get_text() for label in display.colorbar_.ax.get_yticklabels()]
    assert labels == [str(x) for x in mixed.table["ordinal_1"].cat.categories]


def test_dates_are_dates(odd):
    display = LatentDisplay.from_estimator(odd.imputer, odd.table, "day")
    display.figure_.canvas.draw()
    labels = [label.get_text() for label in display.colorbar_.ax.get_yticklabels()]
    assert {"Feb", "Mar"} <= set(labels)


def test_names_of_levels_are_literal(odd):
    display = LatentDisplay.from_estimator(odd.imputer, odd.table, "_c")
    assert legend(display) == [r"\$q\$", "_p", "r", "missing"]
    assert display.ax_.get_legend().get_title().get_text() == "_c"


def test_rare_levels_share_a_colour():
    table = pd.DataFrame({"x": [f"level {i:02}" for i in range(12) for _ in range(i + 4)]})
    table["y"] = np.arange(len(table), dtype=float)
    display = LatentDisplay.from_estimator(light().fit(table), table, "x")
    assert legend(display) == [*(f"level {i:02}" for i in range(5, 12)), "5 others"]
    assert sum(n_points(display)) == len(table)
    assert n_points(display)[0] == 4 + 5 + 6 + 7 + 8


def test_a_sample_of_many_rows(mixed):
    display = LatentDisplay.from_estimator(mixed.imputer, mixed.table, "real_1", max_rows=40)
    assert len(display.positions) == len(display.values) == 40
    again = LatentDisplay.from_estimator(mixed.imputer, mixed.table, "real_1", max_rows=40)
    np.testing.assert_array_equal(again.positions, display.positions)
    other = LatentDisplay.from_estimator(
        mixed.imputer, mixed.table, "real_1", max_rows=40, random_state=1
    )
    assert not other.values.index.equals(display.values.index)
    all_rows = LatentDisplay.from_estimator(mixed.imputer, mixed.table, max_rows=None)
    assert len(all_rows.positions) == 200


def test_spaces_of_too_few_dimensions(mixed):
    one_row = LatentDisplay.from_estimator(mixed.imputer, mixed.table.iloc[:1], "real_1")
    assert one_row.positions.tolist() == [[0, 0]]
    assert one_row.ax_.get_xlabel() == "principal component 1"
    one_dimension = LatentDisplay.from_estimator(light(latent_dim=1).fit(mixed.table), mixed.table)
    assert np.ptp(one_dimension.positions[:, 0]) > 0
    assert not one_dimension.positions[:, 1].any()


def test_another_marker_of_missing_cells():
    random = np.random.default_rng(0)
    array = random.integers(0, 50, (80, 2)).astype(float)
    array[random.random(array.shape) < 0.2] = -1
    display = LatentDisplay.from_estimator(light(missing_values=-1).fit(array), array, 0)
    assert n_points(display) == [(array[:, 0] == -1).sum(), (array[:, 0] != -1).sum()]


def test_columns_that_give_no_colours(odd):
    with pytest.raises(ValueError, match="'there', which there is not"):
        LatentDisplay.from_estimator(odd.imputer, odd.table, "there")
    with pytest.raises(ValueError, match="Column 'empty' has no observed cell"):
        LatentDisplay.from_estimator(odd.imputer, odd.table, "empty")


def test_only_missing_cells_of_a_column(mixed):
    _, ax = plt.subplots()
    table = mixed.table.assign(real_1=np.nan)
    display = LatentDisplay.from_estimator(mixed.imputer, table, "real_1", ax=ax)
    assert n_points(display) == [200]
    assert legend(display) == ["missing"]
