"""What all Displays have in common."""

import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from display_cases import DISPLAYS
from light import light
from matplotlib import cbook
from matplotlib.text import Text
from sklearn.exceptions import NotFittedError

from skhvae import plotting

every_display = pytest.mark.parametrize("name", DISPLAYS)


def axes_of(display):
    return np.ravel(np.asarray(getattr(display, "axes_", getattr(display, "ax_", None)), object))


def drawn_texts(figure):
    """Texts of a figure that has been drawn, as they are to be read, and the boxes that they take."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [(text, text.get_window_extent(renderer)) for text in found]


def shown_labels(axis, renderer):
    """Boxes of the tick labels of an axis that lie within its view."""
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        label = tick.label1
        if low <= tick.get_loc() <= high and label.get_visible() and label.get_text():
            yield label, label.get_window_extent(renderer)


def test_every_public_display_has_a_case():
    assert {recipe.display.__name__ for recipe in DISPLAYS.values()} == set(plotting.__all__)


@every_display
def test_draws_into_a_figure_of_its_own(name, mixed):
    recipe = DISPLAYS[name]
    display = recipe.from_estimator(mixed.imputer, mixed.table)
    assert isinstance(display, recipe.display)
    assert len(axes_of(display)) == recipe.n_axes
    assert plt.get_fignums() == [display.figure_.number]
    assert {ax.figure for ax in axes_of(display)} == {display.figure_}


@every_display
def test_draws_into_given_axes(name, mixed):
    recipe = DISPLAYS[name]
    figure, axes = plt.subplots(1, recipe.n_axes)
    display = recipe.from_estimator(mixed.imputer, mixed.table, axes)
    assert axes_of(display).tolist() == np.ravel(axes).tolist()
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert all(ax.has_data() for ax in axes_of(display))
    assert display.plot() is display
    assert display.figure_ is not figure


@pytest.mark.parametrize("name", [k for k, v in DISPLAYS.items() if v.n_axes > 1])
def test_too_few_axes_are_refused(name, mixed):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"panels to draw, found 1 axes\. Pass as many"):
        DISPLAYS[name].from_estimator(mixed.imputer, mixed.table, ax)


@every_display
def test_an_estimator_that_is_not_fitted_is_refused(name, mixed):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        DISPLAYS[name].from_estimator(light(), mixed.table)


@every_display
def test_without_matplotlib_the_error_says_what_to_install(name, mixed, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "skhvae\[plots\]"'):
        DISPLAYS[name].from_estimator(mixed.imputer, mixed.table)


@pytest.mark.parametrize("case", ["mixed", "wide", "odd"])
@every_display
def test_texts_lie_within_the_figure_and_do_not_overlap(name, case, request):
    case = request.getfixturevalue(case)
    display = DISPLAYS[name].from_estimator(case.imputer, case.table)
    figure = display.figure_
    width, height = figure.canvas.get_width_height()
    texts = drawn_texts(figure)
    assert len(texts) > 5
    renderer, checked = figure.canvas.get_renderer(), 0
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            boxes = list(shown_labels(axis, renderer)) if ax.axison else []
            checked += len(boxes)
            for (one, left), (other, right) in pairwise(boxes):
                assert not left.overlaps(right), (one, other)
            for label, box in boxes:
                assert box.x0 > -2, label
                assert box.y0 > -2, label
                assert box.x1 < width + 2, label
                assert box.y1 < height + 2, label
        for label in (ax.title, ax.xaxis.label, ax.yaxis.label):
            box = label.get_window_extent(renderer)
            assert not label.get_text() or (box.x0 > -2 and box.x1 < width + 2), label
    assert checked > 3


@pytest.mark.parametrize("name", sorted(DISPLAYS.keys() - {"latent"}))
def test_names_are_shown_literally(name, odd):
    display = DISPLAYS[name].from_estimator(odd.imputer, odd.table)
    texts = [text.get_text() for text, _ in drawn_texts(display.figure_)]
    assert not [text for text in texts if "$" in text and cbook.is_math_text(text)]
    literally = {text.replace(r"\$", "$") for text in texts}
    assert {"$a$_b", "3"} <= literally


@every_display
def test_tables_of_polars(name, in_polars):
    display = DISPLAYS[name].from_estimator(in_polars.imputer, in_polars.table)
    assert any(ax.has_data() for ax in axes_of(display))


@pytest.mark.parametrize("name", ["marginals", "imputation", "latent"])
def test_a_single_row(name, odd):
    row = odd.table.iloc[[int(odd.missing.sum(1).argmax())]]
    display = DISPLAYS[name].from_estimator(odd.imputer, row)
    display.figure_.canvas.draw()
    assert any(ax.has_data() for ax in axes_of(display))


@pytest.mark.parametrize("name", ["feature errors", "marginals", "imputation"])
def test_unknown_features_are_refused(name, mixed):
    display = DISPLAYS[name].display
    with pytest.raises(ValueError, match=r"'real_11', which there is not.*Did you mean 'real_1'\?"):
        display.from_estimator(mixed.imputer, mixed.table, features=["real_11"])
    with pytest.raises(ValueError, match="at least 1, found 0"):
        display.from_estimator(mixed.imputer, mixed.table, features=0)
    with pytest.raises(ValueError, match="at least one column, found none"):
        display.from_estimator(mixed.imputer, mixed.table, features=[])


@pytest.mark.parametrize("name", ["marginals", "imputation", "latent"])
def test_other_columns_than_those_of_fit_are_refused(name, mixed):
    with pytest.raises(ValueError, match="feature names"):
        DISPLAYS[name].from_estimator(mixed.imputer, mixed.table.iloc[:, ::-1])
