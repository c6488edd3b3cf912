"""One link per constraint: a bijection into the constraint, or a clear refusal."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import constraints

from skhvae.likelihoods._links import constrain, unconstrain

LINKED = {
    "real": constraints.real,
    "unit_interval": constraints.unit_interval,
    "positive": constraints.positive,
    "nonnegative": constraints.nonnegative,
    "greater_than(2)": constraints.greater_than(2.0),
    "greater_than(-3)": constraints.greater_than(-3.0),
}
linked = pytest.mark.parametrize("constraint", LINKED.values(), ids=LINKED.keys())
no_files = settings(database=None, deadline=None, max_examples=50)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


@linked
@no_files
@given(raw=st.floats(-12, 12))
def test_round_trip_and_range(constraint, raw):
    value = constrain(double(raw), constraint)
    assert constraint.check(value)
    torch.testing.assert_close(unconstrain(value, constraint), double(raw), atol=1e-6, rtol=0)


@no_files
@given(bound=st.floats(-100, 100), excess=st.floats(1e-4, 1e6))
def test_lower_bound_is_honoured(bound, excess):
    # torch's `positive` is itself a greater_than: a link for the class would forget the bound.
    constraint = constraints.greater_than(bound)
    value = double(bound + excess)
    assert constrain(double(-5.0), constraint) > bound
    torch.testing.assert_close(constrain(unconstrain(value, constraint), constraint), value)


@linked
@pytest.mark.parametrize("raw", [-1e4, -200.0, 200.0, 1e4])
def test_extreme_inputs_stay_finite(constraint, raw):
    raw = torch.tensor(raw, requires_grad=True)
    value = constrain(raw, constraint)
    value.backward()
    assert value.isfinite()
    assert raw.grad.isfinite()


@pytest.mark.parametrize("name", ["positive", "nonnegative", "unit_interval"])
def test_the_boundary_has_a_finite_inverse(name):
    assert unconstrain(double(0.0), LINKED[name]).isfinite()


@pytest.mark.parametrize("link", [constrain, unconstrain])
@pytest.mark.parametrize(
    "constraint",
    [constraints.interval(0, 2), constraints.nonnegative_integer, constraints.simplex],
    ids=str,
)
def test_unsupported_constraint(link, constraint):
    with pytest.raises(TypeError, match=r"No link for constraint .*greater_than\(bound\)"):
        link(torch.zeros(1), constraint)
