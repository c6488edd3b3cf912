"""One row a family: what the generic tests of the likelihoods need to know.

The oracle is scipy.stats, given the constrained parameters of one cell. To test a new family, add
its row to `CASES`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.special import expit, softmax

from skhvae.likelihoods import LIKELIHOODS

N_ROWS = 600
N_LEVELS = (2, 3, 5)
QUANTILES = (0.02, 0.3, 0.5, 0.77, 0.99)


class Mixture:
    """Weighted distributions, with scipy.stats' methods; a weight may be an array, as may a part's."""

    def __init__(self, *parts):
        self.parts = parts

    def _sum(self, values):
        return sum(
            np.sum(weight * value) for (weight, _), value in zip(self.parts, values, strict=True)
        )

    def mean(self):
        return self._sum([part.mean() for _, part in self.parts])

    def cdf(self, x):
        return self._sum([part.cdf(x) for _, part in self.parts])

    def logpdf(self, x):
        return np.log(self._sum([part.pdf(x) for _, part in self.parts]))

    def ppf(self, q):
        if self.cdf(0.0) >= q > self.cdf(-1e-12):  # an atom at 0
            return 0.0
        return optimize.brentq(lambda x: self.cdf(x) - q, -1e3, 1e3, xtol=1e-10)


class Zero:
    """All probability at 0; its density is with respect to counting measure there."""

    def mean(self):
        return 0.0

    def cdf(self, x):
        return float(x >= 0)

    def pdf(self, x):
        return float(x == 0)


class HalfOpen:
    """The uniform distribution without its upper end, where the next bin starts."""

    def __init__(self, low, width):
        self.low, self.width = low, width
        self.uniform = stats.uniform(low, width)
        self.mean, self.cdf = self.uniform.mean, self.uniform.cdf

    def pdf(self, x):
        return np.where((self.low <= x) & (x < self.low + self.width), 1 / self.width, 0)


def from_parameters(distribution):
    """An oracle for a family that declares its parameters."""
    return lambda family, eta, feature: distribution(*(p.item() for p in family.constrained(eta)))


def finite(probabilities):
    """An oracle for a family over level codes: raw parameters and number of levels to probabilities."""

    def oracle(family, eta, feature):
        n_levels = N_LEVELS[feature]
        return stats.rv_discrete(
            values=(np.arange(n_levels), probabilities(eta.detach().numpy(), n_levels))
        )

    return oracle


def ordinal(eta, n_levels):
    steps = np.log1p(np.exp(eta[1 : n_levels - 1])) + 1e-6
    return np.diff(expit(eta[0] + np.cumsum([0, *steps])), prepend=0, append=1)


def histogram(family, eta, feature):
    edges, (low, high) = family.edges[feature].numpy(), family.tail_scales[feature].numpy()
    widths = np.diff(edges)
    own = widths > 0
    weights = softmax(eta.detach().numpy()[[True, *own, True]])
    return Mixture(
        (weights[0], stats.weibull_max(1, loc=edges[0], scale=low)),
        (weights[1:-1], HalfOpen(edges[:-1][own], widths[own])),
        (weights[-1], stats.expon(edges[-1], high)),
    )


def hurdle(zero, loc, scale):
    return Mixture((zero, Zero()), (1 - zero, stats.lognorm(scale, scale=np.exp(loc))))


def hurdle_mode(family, params):
    zero, loc, scale = family.constrained(params)
    return torch.where(zero >= 0.5, 0, torch.exp(loc - scale**2))


@dataclass(frozen=True)
class Case:
    """How to test one family.

    train: training values (n_rows, 3) in model units; oracle: (family, raw parameters of one cell,
    its feature) -> distribution; values: some that all features can take, or one a feature;
    extremes: harder ones;
    atom: a value with positive probability in a continuous support; jumps: where the density is
    discontinuous; mode: the oracle for the mode, where that is not the density; mean_error: of the
    marginal's mean, in standard deviations, for families that cannot or need not have the data's.
    """

    train: Callable
    oracle: Callable
    values: tuple
    extremes: tuple
    n_levels: tuple | None = None
    atom: float | None = None
    jumps: Callable | None = None
    mode: Callable | None = None
    mean_error: float = 1e-6


REALS = dict(values=(-3.0, -0.4, 0.0, 0.013, 1.7), extremes=(-1e6, 0.0, 1e6))
POSITIVES = dict(values=(1e-3, 0.4, 1.0, 2.7, 30.0), extremes=(1e-30, 1.0, 1e6))
CODES = dict(values=((0, 0, 0), (1, 1, 1), (1, 2, 4), (0, 1, 3)), extremes=((0, 0, 0), (1, 2, 4)))
COUNTS = dict(values=(0.0, 1.0, 4.0, 27.0), extremes=(0.0, 1.0, 1e6))
CASES = {
    "bernoulli": Case(
        train=lambda rng: rng.binomial(1, (0.1, 0.5, 0.8), (N_ROWS, 3)),
        oracle=from_parameters(stats.bernoulli),
        values=(0.0, 1.0),
        extremes=(0.0, 1.0),
        n_levels=(2, 2, 2),
        mean_error=0.02,
    ),
    "categorical": Case(
        train=lambda rng: rng.integers(0, N_LEVELS, (N_ROWS, 3)),
        oracle=finite(lambda eta, n_levels: softmax(eta[:n_levels])),
        n_levels=N_LEVELS,
        mean_error=0.02,
        **CODES,
    ),
    "gamma": Case(
        train=lambda rng: rng.gamma((0.5, 2.0, 9.0), (1.0, 2.0, 0.1), (N_ROWS, 3)),
        oracle=from_parameters(lambda mean, phi: stats.gamma(1 / phi, scale=mean * phi)),
        **POSITIVES,
    ),
    "histogram": Case(
        train=lambda rng: np.stack(
            [
                rng.normal(size=N_ROWS),
                rng.normal((-1.0, 1.0), 0.1, (N_ROWS // 2, 2)).ravel(),
                np.maximum(rng.normal(-1, 1, N_ROWS), 0),
            ],
            axis=1,
        ),
        oracle=histogram,
        jumps=lambda family: family.edges.T,
        mean_error=0.05,
        **REALS,
    ),
    "hurdle-lognormal": Case(
        train=lambda rng: (
            rng.binomial(1, (0.1, 0.4, 0.9), (N_ROWS, 3)) * rng.lognormal(0, 0.7, (N_ROWS, 3))
        ),
        oracle=from_parameters(hurdle),
        values=(0.0, *POSITIVES["values"]),
        extremes=(0.0, *POSITIVES["extremes"]),
        atom=0.0,
        mode=hurdle_mode,
        mean_error=0.05,
    ),
    "lognormal": Case(
        train=lambda rng: rng.lognormal((-1.0, 0.0, 1.0), (0.7, 0.3, 0.5), (N_ROWS, 3)),
        oracle=from_parameters(lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc))),
        mean_error=0.05,
        **POSITIVES,
    ),
    "negative-binomial": Case(
        train=lambda rng: rng.negative_binomial((1, 2, 20), (0.5, 0.1, 0.3), (N_ROWS, 3)),
        oracle=from_parameters(lambda mean, alpha: stats.nbinom(1 / alpha, 1 / (1 + alpha * mean))),
        **COUNTS,
    ),
    "normal": Case(
        train=lambda rng: rng.normal((0.0, 1.0, -2.0), (1.0, 0.1, 3.0), (N_ROWS, 3)),
        oracle=from_parameters(stats.norm),
        **REALS,
    ),
    "ordinal": Case(
        train=lambda rng: rng.integers(0, N_LEVELS, (N_ROWS, 3)),
        oracle=finite(ordinal),
        n_levels=N_LEVELS,
        mean_error=0.02,
        **CODES,
    ),
    "poisson": Case(
        train=lambda rng: rng.poisson((0.3, 4.0, 70.0), (N_ROWS, 3)),
        oracle=from_parameters(stats.poisson),
        **COUNTS,
    ),
    "student-t": Case(
        train=lambda rng: rng.standard_t((4.0, 6.0, 50.0), (N_ROWS, 3)) * (1.0, 0.1, 2.0),
        oracle=from_parameters(stats.t),
        **REALS,
    ),
}


def families(condition):
    return pytest.mark.parametrize(
        "name", [name for name, f in LIKELIHOODS.items() if condition(f)]
    )


every_family = families(lambda family: True)
discrete_families = families(lambda family: family.support.is_discrete)
continuous_families = families(lambda family: not family.support.is_discrete)
finite_families = families(lambda family: family.finite)
declaring_families = families(lambda family: family.parameters)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def training_data(name, dtype=torch.float64):
    """Values, observed (a fifth is not), and levels of the case's three features."""
    rng = np.random.default_rng(0)
    case = CASES[name]
    values = torch.as_tensor(case.train(rng)).to(dtype)
    observed = torch.as_tensor(rng.random(values.shape) < 0.8)
    return values, observed, case.n_levels and torch.tensor(case.n_levels)


@functools.cache
def prepared(name, dtype=torch.float64):
    return LIKELIHOODS[name]().prepared(*training_data(name, dtype))


def random_params(family, *shape):
    """Raw parameters around the marginal's, (*shape, 3, n_parameters)."""
    noise = torch.randn(
        *shape, *family.initial.shape, dtype=family.initial.dtype, generator=generator()
    )
    return family.initial + noise


def column(values, dtype=torch.float64):
    """Numbers, or one a feature, to broadcast against rows: (n_values, 1, 3)."""
    return torch.as_tensor(values, dtype=dtype).reshape(len(values), 1, -1).expand(-1, 1, 3)
