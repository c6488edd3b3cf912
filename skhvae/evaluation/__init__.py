"""Measure imputations: hide known cells, impute them, compare with the truth.

Examples
--------
>>> from sklearn.impute import SimpleImputer
>>> from skhvae.datasets import load_adult
>>> from skhvae.evaluation import hide_cells, imputation_errors, total_error
>>> adult = load_adult()[["age", "education", "hours-per-week"]]
>>> with_gaps, hidden = hide_cells(adult, fraction=0.2, random_state=0)
>>> imputer = SimpleImputer(strategy="most_frequent").set_output(transform="pandas")
>>> errors = imputation_errors(adult, imputer.fit_transform(with_gaps), hidden)
>>> errors.round(3)
                   type      metric  error  baseline  ratio  n_cells
feature
age               count       nrmse  0.191     0.188  1.017     6452
education       ordinal  rank error  0.124     0.124  1.000     6548
hours-per-week    count       nrmse  0.129     0.129  1.000     6623
>>> round(total_error(errors), 3)
0.148
"""

from skhvae.evaluation._errors import imputation_errors, total_error
from skhvae.evaluation._hiding import hide_cells
from skhvae.evaluation._proper import (
    brier_score,
    crps_of_draws,
    crps_of_quantiles,
    energy_score,
    interval_score,
    log_score,
)

__all__ = [
    "brier_score",
    "crps_of_draws",
    "crps_of_quantiles",
    "energy_score",
    "hide_cells",
    "imputation_errors",
    "interval_score",
    "log_score",
    "total_error",
]
