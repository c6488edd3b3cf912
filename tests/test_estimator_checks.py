"""scikit-learn's own checks: those of `check_estimator`, and those that it leaves out."""

import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from skhvae import HeterogeneousVAEImputer

LIGHT = HeterogeneousVAEImputer(max_iter=3, latent_dim=4, hidden_layer_sizes=(8,), device="cpu")
OTHER = clone(LIGHT).set_params(
    model="vae",
    n_members=1,
    moo="mgda",
    early_stopping=False,
    add_indicator=True,
    keep_empty_features=True,
)
LEFT_OUT = [
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_dataframe_column_names_consistency",
    "check_inplace_ensure_writeable",
    "check_set_output_transform_polars",
    "check_global_set_output_transform_polars",
]


# What parametrize_with_checks does, which for older scikit-learn hands pytest a generator.
CHECKS = [case for estimator in (LIGHT, OTHER) for case in estimator_checks_generator(estimator)]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=lambda case: _name(case))
def test_check_estimator(estimator, check):
    check(clone(estimator))


def _name(case):
    return getattr(getattr(case, "func", case), "__name__", type(case).__name__)


def test_checks_were_collected():
    assert len(CHECKS) >= 2 * 40


# Two checks pass tables with other column names than in fit on purpose.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("estimator", [LIGHT, OTHER], ids=["light", "other"])
@pytest.mark.parametrize("check", LEFT_OUT)
def test_checks_left_out_by_check_estimator(estimator, check):
    getattr(estimator_checks, check)("HeterogeneousVAEImputer", clone(estimator))


@pytest.mark.slow
def test_check_estimator_with_defaults():
    results = check_estimator(HeterogeneousVAEImputer(), on_skip=None)
    skipped = {result["check_name"] for result in results if result["status"] != "passed"}
    assert skipped <= {"check_array_api_input"}
    assert len(results) >= 40
