"""Names as text, and the choice of columns."""

import matplotlib.pyplot as plt
import pytest

from skhvae.plotting._columns import chosen
from skhvae.plotting._theme import legend_on_top, names_below, text, thinned


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("age", "age"),
        ("a_b", "a_b"),
        ("US$ and $x$", r"US\$ and \$x\$"),
        (3, "3"),
        (("x", 1), "('x', 1)"),
        ("two\nlines\tand more", "two lines and more"),
        ("abcdefghijklmnopqrstuvwxyz", "abcdefghijkl…pqrstuvwxyz"),
        ("x" * 24, "x" * 24),
    ],
)
def test_names_as_text(name, expected):
    assert text(name) == expected


@pytest.mark.parametrize("width", range(2, 12))
def test_long_names_are_as_short_as_asked_for(width):
    assert len(text("abcdefghijklmnop", width)) == width


def test_labels_that_begin_with_an_underscore_are_in_legends():
    _, ax = plt.subplots()
    legend = legend_on_top(ax, ax.plot([1, 2], [[1, 2], [3, 4]]), ["_a", "b"])
    assert [entry.get_text() for entry in legend.get_texts()] == ["_a", "b"]


def test_as_many_labels_as_have_room():
    _, (narrow, broad) = plt.subplots(1, 2, figsize=(14, 3), width_ratios=(1, 6))
    names = [f"name {i}" for i in range(40)]
    for ax in (narrow, broad):
        names_below(ax, range(40), names)
    assert len(narrow.get_xticks()) < len(broad.get_xticks()) <= 40
    thinned(broad.yaxis, range(40), names, most=10)
    assert [label.get_text() for label in broad.get_yticklabels()] == names[::4]
    names_below(broad, range(3), names[:3])
    assert [label.get_text() for label in broad.get_xticklabels()] == names[:3]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, ["b", "a"]),
        (1, ["b"]),
        (9, ["b", "a"]),
        ("c", ["c"]),
        (["c", "a", "c"], ["c", "a"]),
        ([3], [3]),
        ([("x", "y")], [("x", "y")]),
    ],
)
def test_chosen_columns(wanted, expected):
    assert chosen(wanted, ["a", "b", "c", 3, ("x", "y")], ["b", "a"]) == expected
