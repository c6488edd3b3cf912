"""What "auto" stands for."""

import pytest

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.models import CVAE
from skhvae.presets import PRESETS, batch_size

TABLE = make_heterogeneous(60, random_state=0).data
SIZES = dict(max_iter=1, latent_dim=2, device="cpu", random_state=0)


def cost(effort, n_rows):
    """Up to a factor, multiplications of the training's matrix products."""
    width, depth = effort.hidden_layer_sizes[0], len(effort.hidden_layer_sizes)
    return effort.n_members * depth * width**2 * effort.max_steps * batch_size(n_rows)


@pytest.mark.parametrize("n_rows", [2, 100, 999, 1000, 50_000, 10**7])
@pytest.mark.parametrize("n_columns", [1, 32, 33, 100])
def test_presets_are_in_order(n_rows, n_columns):
    fast, default, best = (
        cost(PRESETS[name].effort(n_rows, n_columns), n_rows)
        for name in ("fast", "default", "best")
    )
    assert 5 * fast <= default < best


def test_wide_tables_of_few_rows_take_fewer_steps():
    default = PRESETS["default"]
    assert default.effort(1999, 32).max_steps == default.large.max_steps
    assert default.effort(1999, 64).max_steps == default.large.max_steps // 2
    assert default.effort(2000, 64) == default.large
    assert PRESETS["best"].effort(1999, 64) == PRESETS["best"].large


def test_the_estimator_takes_what_the_preset_says():
    imputer = HeterogeneousVAEImputer(preset="fast", **SIZES).fit(TABLE)
    model, effort = imputer._engine.model, PRESETS["fast"].effort(*TABLE.shape)
    assert isinstance(model, CVAE)
    assert model.n_members == effort.n_members
    assert model.encoder[0].widen.bias.shape[-1] == effort.hidden_layer_sizes[0]
    assert imputer._engine.recipe.plan.max_steps == effort.max_steps


def test_what_is_given_counts():
    given = dict(n_members=3, hidden_layer_sizes=(8,), max_steps=7, batch_size=11)
    imputer = HeterogeneousVAEImputer(preset="best", **given, **SIZES).fit(TABLE)
    recipe = imputer._engine.recipe
    assert (recipe.n_members, recipe.hidden_layer_sizes) == (3, (8,))
    assert (recipe.plan.max_steps, recipe.plan.batch_size) == (7, 11)


def test_a_model_keeps_its_size_when_more_rows_come():
    small, large = make_heterogeneous(990, random_state=0).data, make_heterogeneous(1000).data
    sizes = SIZES | dict(max_steps=1, batch_size=500)
    efforts = PRESETS["default"]
    assert efforts.small.n_members != efforts.large.n_members
    imputer = HeterogeneousVAEImputer(warm_start=True, **sizes).fit(small)
    assert imputer.fit(large)._engine.model.n_members == efforts.small.n_members
    anew = imputer.set_params(warm_start=False).fit(large)
    assert anew._engine.model.n_members == efforts.large.n_members


def test_an_unknown_preset_gets_the_nearest_name():
    with pytest.raises(ValueError, match="'best'"):
        HeterogeneousVAEImputer(preset="bst", **SIZES).fit(TABLE)


@pytest.mark.parametrize("n_rows", [1, 30, 400, 5000, 10**6])
def test_batches_are_powers_of_two(n_rows):
    size = batch_size(n_rows)
    assert 32 <= size <= 512
    assert size & (size - 1) == 0
