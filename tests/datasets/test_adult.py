"""The bundled Adult table is the published one."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from skhvae.datasets import load_adult
from skhvae.schema import infer_schema

DTYPES = {
    "age": "int64",
    "workclass": "category",
    "fnlwgt": "float64",
    "education": "category",
    "marital-status": "category",
    "occupation": "category",
    "relationship": "category",
    "race": "category",
    "sex": "category",
    "capital-gain": "float64",
    "capital-loss": "float64",
    "hours-per-week": "int64",
}


@pytest.fixture(scope="module")
def adult():
    return load_adult()


def test_shape_and_dtypes(adult):
    assert adult.shape == (32561, 12)
    assert {name: str(dtype) for name, dtype in adult.dtypes.items()} == DTYPES
    assert adult.index.equals(pd.RangeIndex(32561))
    assert [name for name in adult if getattr(adult[name].dtype, "ordered", False)] == ["education"]


def test_missing_cells(adult):
    missing = adult.isna().sum()
    assert missing[missing > 0].to_dict() == {"workclass": 1843, "occupation": 1843}
    assert (adult["workclass"].isna() == adult["occupation"].isna()).all()


def test_levels_and_their_order(adult):
    assert adult["education"].cat.categories.tolist() == [
        "Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad",
        "Some-college", "Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school",
        "Doctorate",
    ]  # fmt: skip
    assert adult["workclass"].cat.categories.tolist() == [
        "Private", "Self-emp-not-inc", "Self-emp-inc", "Federal-gov", "Local-gov", "State-gov",
        "Without-pay",
    ]  # fmt: skip
    assert adult["sex"].cat.categories.tolist() == ["Male", "Female"]
    numbers = {"marital-status": 7, "occupation": 14, "relationship": 6, "race": 5}
    assert {name: len(adult[name].cat.categories) for name in numbers} == numbers
    for name in adult.select_dtypes("category"):
        assert set(adult[name].dropna()) == set(adult[name].cat.categories)


def test_published_counts(adult):
    """Counts that the documentation of UCI Adult and many papers give for the training part."""
    assert adult["sex"].value_counts().to_dict() == {"Male": 21790, "Female": 10771}
    assert adult["race"].value_counts()["White"] == 27816
    assert adult["education"].value_counts()["HS-grad"] == 10501
    assert adult["workclass"].value_counts()["Private"] == 22696
    assert adult["marital-status"].value_counts()["Married-civ-spouse"] == 14976
    assert (adult["age"].min(), adult["age"].max()) == (17, 90)
    assert (adult["hours-per-week"].min(), adult["hours-per-week"].max()) == (1, 99)
    assert adult["age"].mean() == pytest.approx(38.5816, abs=1e-4)
    assert (adult["capital-gain"] == 0).sum() == 29849
    assert (adult["capital-loss"] == 0).sum() == 31042
    assert adult["capital-gain"].max() == 99999


def test_checksum(adult):
    numbers = adult.select_dtypes("number").to_numpy(dtype="<f8")
    codes = np.column_stack([adult[name].cat.codes for name in adult.select_dtypes("category")])
    digest = hashlib.sha256(np.ascontiguousarray(numbers).tobytes())
    digest.update(np.ascontiguousarray(codes, dtype="i1").tobytes())
    assert digest.hexdigest() == (
        "e5047f9d99721e8d47fb56af7b35e0a39d8847054f2d32585798c80f222d1400"
    )


def test_every_call_gives_a_new_table(adult):
    first = load_adult()
    first.loc[0, "age"] = 0
    pd.testing.assert_frame_equal(load_adult(), adult)


def test_feature_types(adult):
    types = infer_schema(adult).types
    assert types["education"] == "ordinal"
    assert types["sex"] == "binary"
    assert {types[name] for name in ("workclass", "occupation", "race")} == {"nominal"}
    assert {types[name] for name in adult.select_dtypes("number")} <= {"count", "positive"}
