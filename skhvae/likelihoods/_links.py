"""From raw head outputs to constrained parameters: one link per constraint."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

__all__ = ["constrain", "unconstrain"]

# exp(±30) is about 1e±13: far beyond any scaled parameter, far within float32's range when squared.
_LARGEST_EXPONENT = 30.0


def constrain(raw: Tensor, constraint: constraints.Constraint) -> Tensor:
    """Map unconstrained numbers into `constraint`: identity, lower bound + exp, or sigmoid.

    Raises
    ------
    TypeError
        If there is no link for the constraint.

    Examples
    --------
    >>> constrain(torch.zeros(1), constraints.greater_than(2.0))
    tensor([3.])
    """
    if constraint is constraints.real:
        return raw
    if constraint is constraints.unit_interval:
        return torch.sigmoid(raw)
    return _lower_bound(constraint) + raw.clamp(-_LARGEST_EXPONENT, _LARGEST_EXPONENT).exp()


def unconstrain(value: Tensor, constraint: constraints.Constraint) -> Tensor:
    """The inverse of :func:`constrain`, finite also on the boundary."""
    if constraint is constraints.real:
        return value
    if constraint is constraints.unit_interval:
        return torch.logit(value, eps=1e-6)
    return (value - _lower_bound(constraint)).clamp(min=1e-6).log()


def _lower_bound(constraint: constraints.Constraint) -> float:
    # Intervals have an upper bound too; integer constraints have a bound but no continuous link.
    one_sided = hasattr(constraint, "lower_bound") and not hasattr(constraint, "upper_bound")
    if one_sided and not constraint.is_discrete:
        return constraint.lower_bound
    raise TypeError(
        f"No link for constraint {constraint}. Declare parameters as real, unit_interval, "
        "or greater_than(bound) from torch.distributions.constraints."
    )
