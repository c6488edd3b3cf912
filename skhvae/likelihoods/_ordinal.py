"""The ordinal likelihood: cumulative logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from skhvae.likelihoods._base import FiniteLikelihood, level_frequencies, own_levels

__all__ = ["Ordinal"]

_FAR = 1e4  # a cut point that no logistic variable passes
_SMALLEST_STEP = 1e-6


class Ordinal(FiniteLikelihood):
    r"""Ordered levels by cumulative logits, as in HI-VAE (arXiv 1807.03653, section 2.2).

    .. math:: p(x \le k \mid \eta) = \sigma(c_k), \qquad c_0 = \eta_0, \quad
              c_k = c_{k-1} + \operatorname{softplus}(\eta_k)

    HI-VAE's region h(z) and its thresholds both come from the head, so that their difference,
    the cut point :math:`c_k`, is parameterised directly.

    Examples
    --------
    >>> import torch
    >>> from skhvae.likelihoods import Ordinal
    >>> values = torch.tensor([[0.0], [1.0], [2.0], [2.0]])
    >>> family = Ordinal().prepared(values, values >= 0, torch.tensor([3]))
    >>> family.median(family.initial)
    tensor([1.])
    """

    def prepare(self, values: Tensor, observed: Tensor, n_levels: Tensor | None) -> Tensor:
        self.register_buffer("own", own_levels(n_levels))
        cumulative = level_frequencies(values, observed, n_levels).cumsum(-1)
        cuts = torch.logit(cumulative[:, :-1], eps=1e-4)
        steps = cuts.diff(dim=-1).clamp(min=1e-3)
        return torch.cat([cuts[:, :1], torch.log(torch.expm1(steps))], dim=-1)

    def log_probs(self, params: Tensor) -> Tensor:
        steps = functional.softplus(params[..., 1:]) + _SMALLEST_STEP
        cuts = torch.cat([params[..., :1], params[..., :1] + steps.cumsum(-1)], dim=-1)
        # The last own level ends at infinity; so does everything beyond it.
        cuts = torch.where(self.own[:, 1:], cuts, _FAR)
        below = functional.pad(cuts, (1, 0), value=-_FAR)
        above = functional.pad(cuts, (0, 1), value=_FAR)
        # sigma(a) - sigma(b) = sigma(a) sigma(-b) (1 - exp(b - a)), and a - b is the step itself:
        # as a difference of cut points it would cancel.
        gaps = torch.where(self.own[:, 2:], torch.log(-torch.expm1(-steps)), 0)
        log_probs = (
            functional.logsigmoid(above)
            + functional.logsigmoid(-below)
            + functional.pad(gaps, (1, 1))
        )
        return log_probs.masked_fill(~self.own, -_FAR)
