"""Why cells are missing."""

import numpy as np
import pandas as pd
import pytest
import torch

from skhvae import missingness
from skhvae.features import FEATURE_TYPES, Feature
from skhvae.missingness import explain_missingness

NORMAL, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
N_ROWS = 5000


def feature(name, kind, levels=None):
    return Feature(name, FEATURE_TYPES[kind], None, "", "", 0, 0, levels=levels)


def table(n_rows=N_ROWS, seed=0):
    """The third column is a curved function of the others: were all normal, together, the two
    explanations would be the same function of the others, and nothing could tell them apart."""
    rng = np.random.default_rng(seed)
    x, y, noise = rng.standard_normal((3, n_rows))
    return np.column_stack([x, y, x**2 + y + 0.5 * noise])


def logistic(x, share=0.3, slope=1.5):
    """Chances that grow with x and are `share` in the mean."""
    middles = np.linspace(-10, 10, 2001)
    chances = 1 / (1 + np.exp(-slope * x[:, None] - middles))
    return chances[:, np.abs(chances.mean(0) - share).argmin()]


def explain(values, gaps, monkeypatch, mechanism="auto"):
    observed = torch.tensor(~gaps)
    values = torch.tensor(np.where(gaps, 0.0, values), dtype=torch.float32)
    monkeypatch.setattr(missingness, "predictive", learned_from(values.double(), observed))
    features = [feature(name, "real") for name in "abc"]
    generator = torch.Generator().manual_seed(0)
    return explain_missingness(None, values, observed, None, features, mechanism, generator)


def learned_from(values, observed):
    """What a good model learns: a regression on the observed cells of the rows, of every pattern its own."""

    def squares(values, columns):
        x = values[:, columns]
        return torch.column_stack([torch.ones(len(x)), x, x**2])

    def predictive(model, some, visible, points, together):
        return [of_feature(some, visible, feature) for feature in together]

    def of_feature(some, visible, feature):
        assert not visible[:, feature].any()
        some, loc, scale = (
            some.double(),
            torch.zeros(len(some)).double(),
            torch.ones(len(some)).double(),
        )
        for pattern in visible.unique(dim=0):
            rows = (visible == pattern).all(1)
            known = observed[:, pattern].all(1) & observed[:, feature]
            x = squares(values[known], pattern)
            fit = torch.linalg.lstsq(x, values[known][:, [feature]]).solution[:, 0]
            loc[rows] = squares(some[rows], pattern) @ fit
            scale[rows] = (values[known, feature] - x @ fit).std()
        nodes = loc[:, None] + scale[:, None] * torch.tensor(NORMAL)
        return nodes, torch.tensor(WEIGHTS / WEIGHTS.sum()).expand_as(nodes)

    return predictive


def gaps_of(chances, seed=1):
    return np.random.default_rng(seed).random(chances.shape) < chances


def mcar(values):
    return gaps_of(np.full(values.shape, 0.3))


def mar(values):
    """The last column is missing for what the first one holds."""
    return np.column_stack([np.zeros((len(values), 2), bool), gaps_of(logistic(values[:, 0]))])


def mnar(values):
    return np.column_stack([gaps_of(logistic(x), seed) for seed, x in enumerate(values.T)])


@pytest.mark.parametrize("n_rows", [300, 3000, 20_000])
@pytest.mark.parametrize(("hide", "expected"), [(mcar, "mar"), (mar, "mar"), (mnar, "mnar")])
def test_the_mechanism_is_found(hide, expected, n_rows, monkeypatch):
    values = table(n_rows)
    gaps = hide(values)
    selection, report = explain(values, gaps, monkeypatch)
    assert report.loc["c", "mechanism"] == expected
    assert report["n_missing"].tolist() == gaps.sum(0).tolist()
    assert report.index.tolist() == ["a", "b", "c"]
    if expected == "mar":
        assert selection is None
        assert report["mechanism"].tolist() == ["mar"] * 3
    else:
        assert selection.applies.tolist() == (report["mechanism"] == "mnar").tolist()


def test_the_odds_are_found(monkeypatch):
    """Their slope, in the normal score of the value among the observed ones."""
    values = table(20_000)
    gaps = np.column_stack([np.zeros((20_000, 2), bool), gaps_of(logistic(values[:, 1]))])
    values = np.column_stack([values[:, 0], values[:, 2], values[:, 1]])  # c is normal now
    selection, _ = explain(values, gaps, monkeypatch, "mnar")
    known = values[~gaps[:, 2], 2]
    asked = torch.tensor(np.quantile(known, [0.1, 0.9]), dtype=torch.float32).view(2, 1)
    low, high = selection.log_odds(asked, slice(2, 3)).flatten().tolist()
    assert high - low == pytest.approx(1.5 * asked.diff(dim=0).item(), rel=0.1)


def test_a_column_of_its_own_kind(monkeypatch):
    """One column's cells may be missing for their own value, and others' by chance."""
    values = table()
    gaps = np.column_stack([mcar(values)[:, :2], gaps_of(logistic(values[:, 2]))])
    selection, report = explain(values, gaps, monkeypatch)
    assert report["mechanism"].tolist() == ["mar", "mar", "mnar"]
    assert selection.applies.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        pytest.param([9, 1, 1], [5, np.nan, np.nan], [True, False, False], id="clear"),
        pytest.param([9, 9, 6, 1], [5, 5, 7, np.nan], [True] * 4, id="a table of one kind"),
        pytest.param([9, 9, 6, 1], [9, 9, 9, np.nan], [False] * 4, id="a tie"),
        pytest.param([9, 1, 1, 1], [5, *[np.nan] * 3], [True, *[False] * 3], id="one of many"),
        pytest.param([9, 4], [5, 9], [True, False], id="of two kinds"),
        pytest.param([1, 1], [np.nan] * 2, [False] * 2, id="nothing is clear"),
        pytest.param([9, 1, 1, 1], [8, *[np.nan] * 3], [True, *[False] * 3], id="close, alone"),
        pytest.param(
            [9, 9, 1, 1, 1, 1], [8, 20, *[np.nan] * 4], [False] * 6, id="close, not alone"
        ),
        pytest.param([90, 4], [50, 9], [True, False], id="clear against the table"),
        pytest.param([4, 4], [-3, -3], [True] * 2, id="no other explanation"),
    ],
)
def test_how_explanations_are_weighed(own, others, expected):
    found = missingness._own_is_better(np.zeros(len(own)), np.array(own), np.array(others))
    assert found.tolist() == expected


def test_how_columns_that_are_missing_together_are_weighed():
    """Only if the table speaks for it are they missing for their own values too."""
    gaps, own = np.array([50.0, 50.0, 0.0, 0.0]), np.array([9.0, 9.0, 1.0, 1.0])
    alone = np.array([5.0, np.nan, np.nan, np.nan])
    assert not missingness._own_is_better(gaps, own, alone).any()
    many = np.array([5.0, 5.0, np.nan, np.nan])
    assert missingness._own_is_better(gaps, own, many).all()


@pytest.mark.parametrize(("mechanism", "expected"), [("mar", "mar"), ("mnar", "mnar")])
def test_a_mechanism_can_be_prescribed(mechanism, expected, monkeypatch):
    values = table(2000)
    for hide in (mcar, mnar):
        selection, report = explain(values, hide(values), monkeypatch, mechanism)
        assert report["mechanism"].tolist() == [expected] * 3
        assert (selection is None) == (mechanism == "mar")


def test_a_prescribed_mechanism_changes_little_where_it_is_wrong(monkeypatch):
    values = table(20_000)
    selection, _ = explain(values, mcar(values), monkeypatch, "mnar")
    odds = selection.log_odds(torch.tensor([[-1.0] * 3, [1.0] * 3]), slice(0, 3))
    assert odds.diff(dim=0).abs().max() < 0.3  # 3 with the slope of `mnar`


@pytest.mark.parametrize("n_gaps", [0, 5])
def test_few_gaps_are_not_asked(n_gaps, monkeypatch):
    values = table(500)
    gaps = np.zeros(values.shape, dtype=bool)
    gaps[np.argsort(-values[:, 2])[:n_gaps], 2] = True
    selection, report = explain(values, gaps, monkeypatch, "mnar")
    assert selection is None
    assert report["own_value"].isna().all()


def test_a_model_without_a_prediction_is_not_asked(monkeypatch):
    values = table(500)
    gaps = mnar(values)
    observed = torch.tensor(~gaps)
    nothing = torch.full((500, 3), torch.nan)
    monkeypatch.setattr(missingness, "predictive", lambda *args: [(nothing, nothing)])
    features = [feature(name, "real") for name in "abc"]
    data = torch.tensor(values, dtype=torch.float32), observed
    selection, report = explain_missingness(
        None, *data, None, features, "mnar", torch.Generator().manual_seed(0)
    )
    assert selection is None
    assert report["own_value"].isna().all()


def test_columns_that_are_missing_together(monkeypatch):
    """Blocks of rows without either column say nothing for or against a column's own value."""
    values = table()
    block = np.arange(N_ROWS) < N_ROWS // 4
    together = np.column_stack([block, block, block])
    _, report = explain(values, together, monkeypatch)
    assert (report["other_gaps"] > 1000).all()
    assert report["mechanism"].tolist() == ["mar"] * 3
    _, report = explain(values, together | mnar(values), monkeypatch)
    assert report.loc["c", "mechanism"] == "mnar"


def test_report_without_any_question(monkeypatch):
    selection, report = explain(table(100), np.zeros((100, 3), dtype=bool), monkeypatch)
    assert selection is None
    assert isinstance(report, pd.DataFrame)
    assert report["mechanism"].tolist() == ["mar"] * 3
