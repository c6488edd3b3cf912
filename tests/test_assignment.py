"""Which likelihood models which feature, and what is refused."""

import pandas as pd
import pytest

from skhvae.assignment import assign_likelihoods, family_name
from skhvae.likelihoods import LIKELIHOODS, Categorical, Normal, Poisson, StudentT
from skhvae.schema import FEATURE_TYPES, infer_schema

TABLE = pd.DataFrame(
    {
        "age": [31, 45, 28, 60],
        "height": [1.5, 1.75, 1.8, 1.6],
        "weight": [55.5, 60.5, 70.25, 61.5],
        "smokes": [True, None, False, True],
        "city": ["Bonn", "Ulm", "Kiel", "Ulm"],
        "nothing": [None] * 4,
        "constant": ["kg"] * 4,
        7: [3, 1, 2, 5],
    }
)
SCHEMA = infer_schema(TABLE)


def test_defaults_follow_from_the_type():
    families = assign_likelihoods(SCHEMA, None)
    assert list(families) == ["age", "height", "weight", "smokes", "city", 7]
    for name, family in families.items():
        assert type(family) is LIKELIHOODS[SCHEMA[name].type.likelihood]
    assert set(SCHEMA.types.values()) < set(FEATURE_TYPES)


def test_a_column_counts_more_than_its_type():
    families = assign_likelihoods(SCHEMA, {"count": "negative-binomial", "age": "poisson"})
    assert isinstance(families["age"], Poisson)
    assert isinstance(families[7], LIKELIHOODS["negative-binomial"])
    assert isinstance(families["height"], Normal)


def test_an_instance_is_taken_as_it_is():
    family = StudentT()
    assert assign_likelihoods(SCHEMA, {"height": family})["height"] is family
    assert assign_likelihoods(SCHEMA, {7: "poisson"})[7] is not family


def test_every_name_is_known():
    table = pd.DataFrame({"n": [1, 2, 5], "c": ["a", "b", "b"]})
    schema = infer_schema(table)
    for name, kind in LIKELIHOODS.items():
        column = "c" if kind.finite else "n"
        family = assign_likelihoods(schema, {column: name})[column]
        assert type(family) is kind
        assert family_name(family) == repr(name)


def test_a_family_of_ones_own_goes_by_its_class():
    class Own(Normal):
        pass

    assert family_name(Own()) == "'Own'"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"agee": "poisson"}, r"names 'agee', which is neither .* Did you mean 'age'\?"),
        ({"contu": "poisson"}, r"Did you mean 'count'\?"),
        ({8: "poisson"}, "names 8, which is neither a column nor a feature type"),
        ({"age": "poison"}, r"likelihoods\['age'\]: unknown likelihood 'poison'.*'poisson'\?"),
        ({"age": ["poisson"]}, r"likelihoods\['age'\]: unknown likelihood .* Known: bernoulli,"),
        ({"age": None}, r"likelihoods\['age'\]: unknown likelihood None"),
        ({"age": Poisson}, r"likelihoods\['age'\]: found a class. Pass an instance, Poisson\(\)"),
        (
            {"city": "normal"},
            r"Column 'city': likelihood 'normal' models numbers, but the feature type is 'nominal'",
        ),
        (
            {"age": Categorical()},
            r"Column 'age': likelihood 'categorical' models levels, but the feature type is 'count'."
            r".*feature_types=\{'age': 'nominal'\}",
        ),
        (
            {"city": "bernoulli"},
            r"Column 'city': likelihood 'bernoulli' models at most 2 levels, found 3. "
            r"Use likelihoods=\{'city': 'categorical'\}",
        ),
        ({"nominal": "bernoulli"}, "Column 'city': likelihood 'bernoulli' models at most 2 levels"),
        ({"real": "categorical"}, "Column 'height': likelihood 'categorical' models levels"),
    ],
)
def test_what_is_refused(declared, message):
    with pytest.raises(ValueError, match=message):
        assign_likelihoods(SCHEMA, declared)


def test_columns_with_nothing_to_learn_need_no_likelihood():
    families = assign_likelihoods(SCHEMA, {"nothing": "normal", "constant": "normal"})
    assert not {"nothing", "constant"} & set(families)
