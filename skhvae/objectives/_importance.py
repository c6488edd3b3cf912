"""Importance-weighted bounds: several points of the posterior, each counting what it explains."""

from __future__ import annotations

import torch
from torch import Tensor

from skhvae.objectives._base import Loss, Objective

__all__ = ["IWAE", "DReG"]


class _ImportanceWeighted(Objective):
    weighs_points = True

    def __init__(self, beta: float, n_samples: int = 5):
        super().__init__(beta)
        self.n_samples = n_samples

    def _draw(self, model, values, visible, missing, generator):
        """The posterior, and K points of it for every row, (K, ..., B, latent size)."""
        posterior = model.encode(values, visible, missing)
        noise = self.noise(posterior, (self.n_samples,), model.noise_dim, generator)
        return posterior, posterior.at(noise)

    def _weigh(self, model, params, values, cell_weights, log_ratio) -> tuple[Tensor, Loss]:
        """The points' shares, and the loss in which they count by these."""
        shares = self._shares(model, params, values, cell_weights, log_ratio)
        losses = model.heads.losses(params, values) * cell_weights
        features = (shares.unsqueeze(-1) * losses).sum(0).flatten(0, -2).mean(0)
        kl = (shares * log_ratio).sum(0).mean()
        return shares, Loss(features, kl, features.sum() + self.beta * kl)

    def _shares(self, model, params, values, cell_weights, log_ratio) -> Tensor:
        r"""Each point's share of its row's evidence, :math:`\tilde w_k = w_k / \sum_j w_j`, (K, ..., B)."""
        with torch.no_grad():
            evidence = (model.heads.log_prob(params, values) * cell_weights).sum(-1)
            return (evidence - self.beta * log_ratio).softmax(0)


class IWAE(_ImportanceWeighted):
    r"""Importance-weighted bound (Burda et al. 2016, arXiv 1509.00519, eq. 8; on incomplete rows
    Mattei and Frellsen 2019, arXiv 1812.02633, eq. 5).

    .. math:: -\log \frac1K \sum_{k=1}^K w_k, \qquad
              w_k = \prod_d p_d(x_d \mid z_k) \left(\frac{p(z_k)}{q(z_k \mid x)}\right)^\beta

    Its gradient is that of :math:`-\sum_k \tilde w_k \log w_k` with the shares :math:`\tilde w_k = w_k /
    \sum_j w_j` held constant, which is what is differentiated: `features` and `kl` are the parts
    of that sum. The features' gradients meet at h as they do in the ELBO, for all K points together.

    Parameters
    ----------
    beta : float
    n_samples : int, default=5
        Points K.
    """

    def __call__(
        self,
        model,
        values,
        observed,
        visible,
        impartiality,
        generator,
        visible_weight=1.0,
        missing=None,
    ) -> Loss:
        posterior, points = self._draw(model, values, visible, missing, generator)
        params = model.params(points, posterior, impartiality)
        cell_weights = self.cell_weights(values, observed, visible, visible_weight)
        log_ratio = posterior.log_ratio(points)
        return self._weigh(model, params, values, cell_weights, log_ratio)[1]


class DReG(_ImportanceWeighted):
    r"""Doubly reparameterised gradient of the same bound (Tucker et al. 2019, arXiv 1810.04152, eq. 8).

    The encoder's gradient goes through the points alone, weighted by the squared shares,
    :math:`\sum_k \tilde w_k^2\, \partial \log w_k / \partial z_k`, which has less variance than IWAE's;
    the decoder's is IWAE's. Two gradients, two impartiality blocks at h (Javaloy et al. 2022, arXiv
    2206.04496, section 4), and so two passes through the decoder: one for its own parameters from
    points held constant, one for the points with its parameters held constant. With dropout the two
    passes draw apart, so that the encoder learns from another thinned decoder than the shares come from.

    Parameters
    ----------
    beta : float
    n_samples : int, default=5
        Points K.
    """

    def __call__(
        self,
        model,
        values,
        observed,
        visible,
        impartiality,
        generator,
        visible_weight=1.0,
        missing=None,
    ) -> Loss:
        posterior, points = self._draw(model, values, visible, missing, generator)
        cell_weights = self.cell_weights(values, observed, visible, visible_weight)
        # The conditional decoder's view of the visible cells is its input, not a point of the posterior.
        params = model.params(points.detach(), posterior, impartiality)
        log_ratio = posterior.detach().log_ratio(points)
        shares, bound = self._weigh(model, params, values, cell_weights, log_ratio.detach())
        if not torch.is_grad_enabled():
            return bound

        encoder = impartiality and impartiality.within("encoder")
        with model.held_constant():
            params = model.params(points, posterior.detach(), encoder)
            losses = model.heads.losses(params, values) * cell_weights
        of_points = losses.sum(-1) + self.beta * log_ratio
        of_encoder = (shares**2 * of_points).sum(0).mean()
        # Adds the encoder's gradient, not its value: the bound is counted once.
        total = bound.total + (of_encoder - of_encoder.detach())
        return Loss(bound.features, bound.kl, total)
