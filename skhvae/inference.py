"""From a trained model to point estimates, one row at a time whoever stands beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from skhvae.mixtures import distribution, estimates
from skhvae.models import VAE, output_size, twin
from skhvae.selection import SelectionModel
from skhvae.threads import side_by_side

__all__ = [
    "by_rows",
    "chunk_size",
    "impute_rows",
    "latent_means",
    "log_predictive",
    "own_estimates",
    "point_estimates",
    "predictions_at",
    "predictive",
    "steady",
]

# Rows times posterior points in a chunk: on the CPU as many as its caches hold, so that one row is
# not waited for long either; on other devices enough to keep them busy.
_CHUNK, _CHUNK_OF_DEVICE = 512, 16_384
_MOST_OUTPUTS = 2**23  # head outputs held at once, 32 MiB: a feature can have thousands of levels
_FEWEST_ROWS = 16  # fill the processor's registers: it computes a remainder by other instructions
# With fewer outputs (11 or less in MKL), the order in which a layer's products are summed can depend on
# the row's place in its chunk.
_NARROW = 16


@torch.no_grad()
def point_estimates(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    points: Tensor,
    by_median: Tensor,
    selection: SelectionModel | None = None,
) -> Tensor:
    r"""Estimate every cell from the row's visible ones.

    The predictive distribution is the mixture over members and posterior points,
    :math:`\frac1S \sum_s p(x_d \mid z_s)`, :math:`z_s = \mu + \sigma \epsilon_s`: its mean for numeric
    features, its mode or median for finite ones. The :math:`\epsilon_s` are the same for all rows, so
    that a row's estimate does not depend on the rows beside it.

    Parameters
    ----------
    model : VAE
    values : Tensor of shape (B, n_features)
        In model units, in-support fillers where not visible.
    visible : bool Tensor of shape (B, n_features)
    points : Tensor of shape (S, noise_dim)
        Standard-normal points.
    by_median : bool Tensor of shape (n_features,)
        Finite features to be estimated by the median level instead of the most probable one.
    selection : SelectionModel or None
        What being missing says about a cell's value: the estimate is of p(x_d | missing).

    Returns
    -------
    Tensor of shape (B, n_features)
        In model units, or level codes.
    """
    predictions = predictions_at(model, values, visible, points)
    pooled = [params.flatten(0, -4) for params in predictions]
    return estimates(model.heads.families, pooled, by_median, selection).to(values.dtype)


def predictions_at(model: VAE, values: Tensor, visible: Tensor, points: Tensor) -> list[Tensor]:
    """Raw parameters at every point, (S, ..., B, n_features, n_parameters), one tensor a family."""
    posterior = model.encode(values, visible)
    for_all_rows = points.view(len(points), *[1] * (posterior.state.dim() - 1), -1)
    return model.params(posterior.at(for_all_rows), posterior)


def predictive(
    model: VAE, values: Tensor, visible: Tensor, points: Tensor, features: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """The predictive distributions of some features in every row, as those of :func:`point_estimates`.

    Parameters
    ----------
    model, values, points
        As there.
    visible : bool Tensor of shape (n_rows, n_features)
        The features themselves should not be.
    features : sequence of int

    Returns
    -------
    list of (values, probabilities), Tensors of shape (n_rows, n_values)
        Of each of the features: levels and their probabilities, or nodes and weights of a quadrature.
    """
    model = steady(model)
    families = model.heads.families
    places = [(i, own) for i, family in enumerate(families) for own in range(len(family.initial))]
    points = points.to(next(model.parameters()))
    wanted, lengths = [places[feature] for feature in features], []

    @torch.no_grad()
    def distributions(values, visible):
        pooled = [p.flatten(0, -4) for p in predictions_at(model, values, visible, points)]
        parts = [distribution(families[i], pooled[i], own) for i, own in wanted]
        lengths[:] = [part.shape[-1] for part in parts]
        return torch.cat(parts, dim=-1)

    size = chunk_size(model, len(points) * model.n_members)
    found = by_rows(distributions, model, size, values, visible)
    return [part.unbind(1) for part in found.split(lengths, dim=-1)]


def impute_rows(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    points: Tensor,
    by_median: Tensor,
    selection: SelectionModel | None = None,
    rows_at_once: int | None = None,
) -> Tensor:
    """:func:`point_estimates` for any number of rows, the same to the last bit for a row wherever it
    stands.

    Parameters
    ----------
    model, values, visible, points, by_median, selection
        As there.
    rows_at_once : int or None
        The shape that every chunk of rows has; None is what suits the device.

    Returns
    -------
    Tensor of shape (n_rows, n_features)
        Where `values` are.
    """

    model = steady(model)
    points = points.to(next(model.parameters()))

    def estimate(values, visible):
        return point_estimates(model, values, visible, points, by_median, selection)

    size = rows_at_once or chunk_size(model, len(points) * model.n_members)
    return by_rows(estimate, model, size, values, visible).to(values.dtype)


def own_estimates(
    model: VAE, values: Tensor, visible: Tensor, points: Tensor, by_median: Tensor
) -> Tensor:
    """As :func:`impute_rows`, but each member's by itself, from the cells that it sees.

    Parameters
    ----------
    model, values, points, by_median
        As there.
    visible : bool Tensor of shape (..., n_rows, n_features)
        With the members' axis in front, if there are several.

    Returns
    -------
    Tensor of the shape of `visible`
    """
    model = steady(model)
    points = points.to(next(model.parameters()))

    @torch.no_grad()
    def estimate(values, visible):
        predictions = predictions_at(model, values, visible.movedim(0, -2), points)
        return estimates(model.heads.families, predictions, by_median).movedim(-2, 0)

    # Always of the same rows, so that a small table need not be padded to the size of others.
    size = min(chunk_size(model, len(points) * model.n_members), len(values))
    found = by_rows(estimate, model, size, values, visible.movedim(-2, 0))
    return found.movedim(0, -2).to(values.dtype)


def steady(model: VAE) -> VAE:
    """The model, or a copy in float64 if a layer has few outputs: in the product of such a layer the
    order of summation depends on the row's place, and what is left of that must be small."""
    sizes = map(output_size, model.modules())
    if all(size is None or size >= _NARROW for size in sizes):
        return model
    return twin(model, torch.float64)


def by_rows(function: Callable[..., Tensor], model: VAE, size: int, *of_rows: Tensor) -> Tensor:
    """A function of rows, (B, ..., n_features) each, for any number of them.

    How a matrix product rounds depends on its shape, and a choice between levels on how it rounds.
    So all chunks have one shape, `size` rows, the last one padded, and a row meets the same arithmetic
    whatever stands beside it. On the CPU a thread has a chunk of its own.
    """
    like, home = next(model.parameters()), of_rows[0].device

    def run(start: int) -> Tensor:
        rows = [x[start : start + size] for x in of_rows]
        n_rows = len(rows[0])
        missing = size - n_rows
        rows = (functional.pad(x, (0, 0) * (x.dim() - 1) + (0, missing)) for x in rows)
        rows = (x.to(like.device) for x in rows)
        rows = (x.to(like.dtype) if x.is_floating_point() else x for x in rows)
        return function(*rows)[:n_rows].to(home)

    starts = range(0, len(of_rows[0]), size)
    if like.device.type != "cpu":
        return torch.cat([run(start) for start in starts])
    return torch.cat(side_by_side(run, starts))


def chunk_size(model: VAE, n_points: int) -> int:
    """Rows a chunk, a power of two, with so many points of the posterior each."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    most = _MOST_OUTPUTS // model.heads.layout.n_parameters
    rows = min(most, _CHUNK if on_cpu else _CHUNK_OF_DEVICE) // n_points
    return 2 ** int(math.log2(max(_FEWEST_ROWS, rows)))


def log_predictive(
    model: VAE,
    values: Tensor,
    visible: Tensor,
    points: Tensor,
    rows_at_once: int | None = None,
) -> Tensor:
    r"""Log predictive density of every cell given the row's visible ones, as :func:`point_estimates`
    predicts it: :math:`\log \frac1S \sum_s p(x_d \mid z_s)`.

    In float64: the terms of a count's probability cancel.

    Parameters
    ----------
    model : VAE
    values : Tensor of shape (n_rows, n_features)
        In model units: the truth.
    visible : bool Tensor of shape (n_rows, n_features)
        What the encoder sees of it.
    points : Tensor of shape (S, noise_dim)
    rows_at_once : int or None

    Returns
    -------
    float64 Tensor of shape (n_rows, n_features)
        Nats in model units, where `values` are.
    """
    model, points = twin(model, torch.float64), points.double()

    @torch.no_grad()
    def density(values, visible):
        predictions = predictions_at(model, values, visible, points)
        of_points = model.heads.log_prob(predictions, values).flatten(0, -3)
        return of_points.logsumexp(0) - math.log(len(of_points))

    size = rows_at_once or chunk_size(model, len(points) * model.n_members)
    return by_rows(density, model, size, values, visible)


def latent_means(model: VAE, values: Tensor, visible: Tensor) -> Tensor:
    """Posterior mean of z, (n_rows, n_members * latent_dim), in chunks as in :func:`impute_rows`."""

    model = steady(model)

    @torch.no_grad()
    def mean(values, visible):
        means = model.encode(values, visible).mean
        return torch.cat(means.view(model.n_members, *means.shape[-2:]).unbind(), dim=-1)

    size = chunk_size(model, model.n_members)
    return by_rows(mean, model, size, values, visible).double()
