"""p(x_d | η_d): one family a file, each vectorised over all features that use it.

Between the model's heads and the objective: the heads give raw parameters η, a likelihood turns
them into log-probabilities for training and into means, modes, quantiles and draws for imputation.
Knows torch, and SciPy for the quantiles that torch lacks; nothing else of this package.

=================== ====================== =====================================================
name                support                for
=================== ====================== =====================================================
bernoulli           0, 1                   two levels
categorical         levels                 levels without an order
gamma               positive               amounts with a constant relative error
histogram           real                   skewed or multimodal numbers, spikes
hurdle-lognormal    non-negative           amounts most of which are 0
lognormal           positive               amounts over orders of magnitude
negative-binomial   non-negative integers  counts that vary more than a Poisson's
normal              real                   numbers
ordinal             levels                 levels in an order
poisson             non-negative integers  counts of independent events
student-t           real                   numbers with outliers
=================== ====================== =====================================================

A family of your own derives from :class:`Likelihood` (or :class:`FiniteLikelihood`), declares
`parameters` and `support`, and can be passed as an instance without registering.

Examples
--------
>>> import torch
>>> from skhvae.likelihoods import LIKELIHOODS
>>> values = torch.tensor([[0.5, 1.0], [2.0, 4.0], [1.0, 9.0]])  # two features, three rows
>>> family = LIKELIHOODS["lognormal"]().prepared(values, observed=values > 0)
>>> family.n_parameters
2
>>> eta = family.initial.expand(3, 2, 2)  # a head's outputs: (rows, features, parameters)
>>> family.log_prob(eta, values).shape
torch.Size([3, 2])
>>> family.sample(eta, torch.Generator().manual_seed(0)).shape
torch.Size([3, 2])
"""

from skhvae.likelihoods._base import FiniteLikelihood, Likelihood, first_level_reaching
from skhvae.likelihoods._bernoulli import Bernoulli
from skhvae.likelihoods._categorical import Categorical
from skhvae.likelihoods._gamma import Gamma
from skhvae.likelihoods._histogram import Histogram
from skhvae.likelihoods._hurdle_lognormal import HurdleLogNormal
from skhvae.likelihoods._lognormal import LogNormal
from skhvae.likelihoods._negative_binomial import NegativeBinomial
from skhvae.likelihoods._normal import Normal
from skhvae.likelihoods._ordinal import Ordinal
from skhvae.likelihoods._poisson import Poisson
from skhvae.likelihoods._student_t import StudentT

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Categorical",
    "FiniteLikelihood",
    "Gamma",
    "Histogram",
    "HurdleLogNormal",
    "Likelihood",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "StudentT",
    "first_level_reaching",
]

LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "gamma": Gamma,
    "histogram": Histogram,
    "hurdle-lognormal": HurdleLogNormal,
    "lognormal": LogNormal,
    "negative-binomial": NegativeBinomial,
    "normal": Normal,
    "ordinal": Ordinal,
    "poisson": Poisson,
    "student-t": StudentT,
}
