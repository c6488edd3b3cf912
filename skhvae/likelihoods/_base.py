"""What a likelihood declares, and what follows from it."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from skhvae.likelihoods._links import constrain, unconstrain

__all__ = ["FiniteLikelihood", "Likelihood"]

# Below this scale, in standard deviations (or in natural logarithms of the value), the density of
# a feature that is a function of others would grow without bound.
SMALLEST_SCALE = math.exp(-4)

_FAR, _HALVINGS = (
    8.0,
    36,
)  # normal scores that a bisection begins with, and how often it halves them

# exp(-1e4) is 0 in float64 and, unlike -inf, gives no NaN gradient.
_IMPOSSIBLE = -1e4


class Likelihood(nn.Module, ABC):
    r"""One family :math:`p_d(x_d \mid \eta_d)`, vectorised over all features that use it.

    A subclass declares its `parameters` and its `support`; links and scaling follow. An instance
    is a declaration until :meth:`prepared` binds a copy of it to the training values of its features.

    Shapes: `params` (..., n_features, n_parameters) are raw head outputs :math:`\eta`, `values`
    (..., n_features) are in model units (standardised where the support is the real line, divided
    by a scale where it is the half-line, unchanged where it is integers, level codes where it is
    finite); their leading axes broadcast. Densities are in nats per model unit.

    Log-probabilities and their gradients are finite for every value in the support and every raw
    parameter; a value outside the support has no defined answer.

    Attributes
    ----------
    parameters : dict of str to Constraint
        The parameters of one feature, in the order of the raw outputs.
    support : Constraint
        The values that have a density.
    finite : bool
        Whether the support is a finite set of levels.
    """

    parameters: ClassVar[dict[str, constraints.Constraint]] = {}
    support: ClassVar[constraints.Constraint] = constraints.real
    finite: ClassVar[bool] = False

    def prepared(self, values: Tensor, observed: Tensor, n_levels: Tensor | None = None) -> Self:
        """A copy bound to the training data.

        Parameters
        ----------
        values : Tensor of shape (n_rows, n_features)
            In model units; any value in the support where not observed.
        observed : bool Tensor of shape (n_rows, n_features)
        n_levels : int Tensor of shape (n_features,) or None
            Number of levels, for finite supports.

        Returns
        -------
        Likelihood
            With a buffer `initial` of shape (n_features, n_parameters): the raw parameters of the
            marginal distribution, where the heads start.
        """
        bound = copy.deepcopy(self)
        bound.register_buffer("initial", bound.prepare(values, observed, n_levels))
        return bound

    @abstractmethod
    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        """Register what the family needs and return `initial`. Called on a copy, once a fit."""

    @property
    def n_parameters(self) -> int:
        """Raw outputs per feature, once prepared."""
        return self.initial.shape[-1]

    def constrained(self, params: Tensor) -> tuple[Tensor, ...]:
        """The named parameters, each of shape (..., n_features), in declared order."""
        return tuple(
            constrain(raw, constraint)
            for raw, constraint in zip(params.unbind(-1), self.parameters.values(), strict=True)
        )

    def raw(self, *theta: Tensor) -> Tensor:
        """The inverse of :meth:`constrained`."""
        links = zip(theta, self.parameters.values(), strict=True)
        return torch.stack([unconstrain(value, constraint) for value, constraint in links], dim=-1)

    @abstractmethod
    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        """Log density or mass in nats, of shape (..., n_features)."""

    def loss(self, params: Tensor, values: Tensor) -> Tensor:
        """What training minimises, (..., n_features): the negative log-likelihood unless a family
        reweights its gradient."""
        return -self.log_prob(params, values)

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """Expected value, (..., n_features)."""

    @abstractmethod
    def mode(self, params: Tensor) -> Tensor:
        """Most probable value, (..., n_features)."""

    @abstractmethod
    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        """Smallest value whose cumulative probability is at least `q` in (0, 1), (..., n_features), which a
        tensor `q` broadcasts with."""

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        """Cumulative probability of any real numbers, (..., n_features).

        Without a closed form, the quantile inverted by bisection of normal scores in (-8, 8): exact to about
        1e-10, in float64.
        """
        low = torch.full_like(torch.broadcast_tensors(params[..., 0], values)[0], -_FAR)
        high = -low
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beyond = self.quantile(params, torch.special.ndtr(middle)) > values
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        return torch.special.ndtr((low + high) / 2)

    def median(self, params: Tensor) -> Tensor:
        """The quantile at one half, (..., n_features)."""
        return self.quantile(params, 0.5)

    @abstractmethod
    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw for each row and feature, (..., n_features)."""


class FiniteLikelihood(Likelihood):
    """A family over level codes 0..K-1: everything follows from the probabilities of the levels.

    Features with fewer levels than the widest of their group have probability 0 on the rest.
    """

    support = constraints.nonnegative_integer
    finite = True
    most_levels: ClassVar[int | None] = None  # how many levels a feature may have at most

    @abstractmethod
    def log_probs(self, params: Tensor) -> Tensor:
        """Log probability of every level, (..., n_features, K), very negative beyond a feature's own levels."""

    def probs(self, params: Tensor) -> Tensor:
        """Probability of every level, (..., n_features, K)."""
        return self.log_probs(params).exp()

    def log_prob(self, params: Tensor, values: Tensor) -> Tensor:
        return pick(self.log_probs(params), values.long())

    def mean(self, params: Tensor) -> Tensor:
        probs = self.probs(params)
        return probs @ torch.arange(probs.shape[-1], dtype=probs.dtype, device=probs.device)

    def mode(self, params: Tensor) -> Tensor:
        return self.log_probs(params).argmax(-1).to(params.dtype)

    def cdf(self, params: Tensor, values: Tensor) -> Tensor:
        cumulative = self.probs(params).cumsum(-1)
        codes = values.floor().long()
        reached = pick(cumulative, codes.clamp(0, cumulative.shape[-1] - 1))
        return torch.where(codes < 0, 0, reached)

    def quantile(self, params: Tensor, q: float | Tensor) -> Tensor:
        return first_level_reaching(self.probs(params), q).to(params.dtype)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        probs = self.probs(params)
        # torch.rand can return 0, which a first level of probability 0 would reach; 1 - rand cannot.
        uniform = 1 - torch.rand(
            probs.shape[:-1], dtype=probs.dtype, device=probs.device, generator=generator
        )
        return first_level_reaching(probs, uniform).to(params.dtype)


def pick(table: Tensor, index: Tensor) -> Tensor:
    """The entry `index` of the last axis of `table`; the leading axes broadcast."""
    shape = torch.broadcast_shapes(table.shape[:-1], index.shape)
    return table.expand(*shape, -1).gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)


def masked_log_softmax(logits: Tensor, own: Tensor) -> Tensor:
    """Log-softmax over the entries in `own`, very negative elsewhere."""
    return torch.where(own, logits, _IMPOSSIBLE).log_softmax(-1)


def first_level_reaching(probs: Tensor, q: Tensor | float) -> Tensor:
    """The first level whose cumulative probability reaches `q` (...), never one of probability 0."""
    cumulative = probs.cumsum(-1)
    # Rounding can leave the total just below q: the last level with any probability then answers.
    total = cumulative[..., -1:]
    q = torch.as_tensor(q, dtype=probs.dtype, device=probs.device).unsqueeze(-1)
    return (cumulative < torch.minimum(q, total)).sum(-1)


def observed_moments(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature's observed values, each (n_features,)."""
    count = observed.sum(0).clamp(min=1)
    mean = torch.where(observed, values, 0).sum(0) / count
    variance = torch.where(observed, (values - mean) ** 2, 0).sum(0) / count
    return mean, variance.sqrt()


def observed_quantiles(values: Tensor, observed: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of each feature's observed values, interpolated, (n_features, len(levels))."""
    count = observed.sum(0)
    ordered = values.masked_fill(~observed, math.inf).sort(0).values
    position = levels.unsqueeze(1) * (count - 1).clamp(min=0)
    below, above = (
        ordered.gather(0, index.long()) for index in (position.floor(), position.ceil())
    )
    return torch.where(count > 0, below.lerp(above, position.frac()), 0).T


def level_frequencies(values: Tensor, observed: Tensor, n_levels: Tensor) -> Tensor:
    """Smoothed share of each level, (n_features, K), 0 beyond a feature's own levels."""
    own = own_levels(n_levels)
    # One matrix entry a (feature, level): no (n_rows, n_features, K) tensor for wide categories.
    slots = values.long() + torch.arange(len(n_levels), device=values.device) * own.shape[1]
    counts = torch.bincount(slots[observed], minlength=own.numel()).view(own.shape)
    smoothed = torch.where(own, counts.to(values.dtype) + 0.5, 0)
    return smoothed / smoothed.sum(1, keepdim=True)


def own_levels(n_levels: Tensor) -> Tensor:
    """Which of the K padded levels belong to each feature, bool (n_features, K)."""
    return torch.arange(int(n_levels.max()), device=n_levels.device) < n_levels.unsqueeze(1)
