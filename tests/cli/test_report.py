"""The page: self-contained, escaped, and about the table it was made of."""

import base64
import html
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from light import light

from skhvae.cli._report import report
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells


class Page(HTMLParser):
    """Tags with their attributes, and the text of every table's cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag in ("td", "th")
        if self._inside:
            self.cells.append("")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def table():
    table = hide_cells(make_heterogeneous(80, random_state=0).data, 0.2, random_state=0)[0]
    names = ["<script>alert(1)</script>", "a & b", '"quoted"', "$x_1$"]
    return table.rename(columns=dict(zip(table, names, strict=False)))


@pytest.fixture(scope="module")
def page(table):
    return report(light().fit(table), table, "<data>.csv", random_state=0)


def test_what_comes_from_the_table_is_text(page, table):
    found = Page(page)
    assert "script" not in {tag for tag, _ in found.tags}
    assert "<script>" not in page
    assert set(map(str, table)) <= set(found.cells)
    assert "&lt;data&gt;.csv" in page


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in Page(page).tags:
        assert tag not in ("link", "script", "iframe")
        assert "href" not in attributes
        if tag == "img":
            kind, data = attributes["src"].split(",")
            assert kind == "data:image/png;base64"
            assert base64.b64decode(data).startswith(b"\x89PNG")
            assert attributes["alt"]
    assert "url(" not in page
    assert "http" not in page


def test_what_it_says(page, table):
    found = Page(page)
    assert sum(tag == "img" for tag, _ in found.tags) == 5
    assert f"{table.isna().to_numpy().mean():.1%} of the cells were missing" in page
    places = [found.cells.index(name) for name in map(str, table)]
    missing = [int(found.cells[i + 3]) for i in places]
    assert missing == table.isna().sum().tolist()
    errors = light().fit(table).feature_errors_
    assert f"Mean over columns: {errors['error'].mean():.4f}" in page


def test_columns_that_are_missing_for_their_own_value_are_named(table):
    imputer = light(mechanism="mnar").fit(table)
    named = re.search(
        r"population of their own that they are: (.*)\.</p>", report(imputer, table, "x")
    )[1]
    mechanisms = imputer.missingness_["mechanism"]
    own = mechanisms.index[mechanisms == "mnar"]
    assert html.unescape(named) == ", ".join(own)
    assert len(own) > 0
    assert "missing for their own value" not in report(
        light(mechanism="mar").fit(table), table, "x"
    )


@pytest.mark.parametrize("case", ["nothing held out", "nothing missing", "nothing to learn"])
def test_tables_of_which_there_is_less_to_say(table, case):
    if case == "nothing to learn":
        table = pd.DataFrame({"a": [1.0, 1.0, None], "b": ["x", None, "x"]})
    if case == "nothing missing":
        table = make_heterogeneous(60, random_state=0).data
    page = report(light(early_stopping=case != "nothing held out").fit(table), table, "x")
    assert page.endswith("</html>\n")
    assert ("How good" in page) == (case == "nothing missing")
    assert ("How training went" in page) == (case != "nothing to learn")
