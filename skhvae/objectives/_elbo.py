"""The evidence lower bound."""

from __future__ import annotations

from skhvae.objectives._base import Loss, Objective

__all__ = ["ELBO"]


class ELBO(Objective):
    r"""One-sample evidence lower bound with a weight on the KL term (Kingma and Welling 2014; Higgins
    et al. 2017).

    .. math:: \sum_d \mathbb E_{q(z \mid x_\text{visible})} \left[-\log p_d(x_d \mid z)\right]
              + \beta\, \mathrm{KL}\left(q(z \mid x_\text{visible}) \,\|\, p(z)\right)

    Parameters
    ----------
    beta : float
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
        posterior = model.encode(values, visible, missing)
        points = posterior.at(self.noise(posterior, (), model.noise_dim, generator))
        losses = model.heads.losses(model.params(points, posterior, impartiality), values)
        weights = self.cell_weights(values, observed, visible, visible_weight)
        features = (losses * weights).flatten(0, -2).mean(0)
        kl = posterior.kl(points).mean()
        return Loss(features, kl, features.sum() + self.beta * kl)
