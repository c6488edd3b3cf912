"""The Adult table: census records of mixed types, bundled with the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import pandas as pd

_LEVELS = {
    "workclass": "Private Self-emp-not-inc Self-emp-inc Federal-gov Local-gov State-gov Without-pay",
    "education": "Preschool 1st-4th 5th-6th 7th-8th 9th 10th 11th 12th HS-grad Some-college "
    "Assoc-voc Assoc-acdm Bachelors Masters Prof-school Doctorate",
    "marital-status": "Married-civ-spouse Divorced Never-married Separated Widowed "
    "Married-spouse-absent Married-AF-spouse",
    "occupation": "Tech-support Craft-repair Other-service Sales Exec-managerial Prof-specialty "
    "Handlers-cleaners Machine-op-inspct Adm-clerical Farming-fishing Transport-moving "
    "Priv-house-serv Protective-serv Armed-Forces",
    "relationship": "Wife Own-child Husband Not-in-family Other-relative Unmarried",
    "race": "White Asian-Pac-Islander Amer-Indian-Eskimo Other Black",
    "sex": "Male Female",
}
_NUMBERS = {
    "age": "int64",
    "fnlwgt": "float64",
    "capital-gain": "float64",
    "capital-loss": "float64",
    "hours-per-week": "int64",
}


def load_adult() -> pd.DataFrame:
    """Load the Adult table (census income), the classic table of mixed types.

    The 32561 training rows of UCI's Adult with the 12 columns of HI-VAE's experiments. Nothing is
    downloaded.

    ================  ===================  =====================================================
    column            dtype                content
    ================  ===================  =====================================================
    age               int64                years
    workclass         category, 7 levels   employer; 1843 cells missing
    fnlwgt            float64              census weight, five significant digits
    education         ordered, 16 levels   from "Preschool" to "Doctorate"
    marital-status    category, 7 levels
    occupation        category, 14 levels  missing in the same 1843 rows
    relationship      category, 6 levels   role in the household
    race              category, 5 levels
    sex               category, 2 levels
    capital-gain      float64              dollars; zero in 92 % of the rows
    capital-loss      float64              dollars; zero in 95 % of the rows
    hours-per-week    int64
    ================  ===================  =====================================================

    Returns
    -------
    DataFrame of shape (32561, 12)
        A new one at every call.

    Notes
    -----
    Licence of the data: Creative Commons Attribution 4.0 International (CC BY 4.0).

    References
    ----------
    .. [1] B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996,
       https://doi.org/10.24432/C5XW20.
    .. [2] A. Nazábal, P. M. Olmos, Z. Ghahramani and I. Valera, "Handling incomplete heterogeneous
       data using VAEs", Pattern Recognition 107, 2020, https://arxiv.org/abs/1807.03653.

    Examples
    --------
    >>> from skhvae.datasets import load_adult
    >>> adult = load_adult()
    >>> adult.shape
    (32561, 12)
    >>> adult.loc[:2, ["age", "workclass", "education"]]
       age         workclass  education
    0   39         State-gov  Bachelors
    1   50  Self-emp-not-inc  Bachelors
    2   38           Private    HS-grad
    """
    dtypes: dict[str, Any] = _NUMBERS | {
        name: pd.CategoricalDtype(levels.split(), ordered=name == "education")
        for name, levels in _LEVELS.items()
    }
    with as_file(files("skhvae.datasets") / "data" / "adult.csv.gz") as path:
        return pd.read_csv(path, dtype=dtypes, keep_default_na=False, na_values=[""])
