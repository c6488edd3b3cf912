"""Encoder, model and inference wired together, without scikit-learn."""

import dataclasses
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from skhvae import HeterogeneousVAEImputer, inference
from skhvae.assignment import assign_likelihoods
from skhvae.datasets import make_heterogeneous
from skhvae.encoding import TableEncoder
from skhvae.engine import Engine
from skhvae.evaluation import hide_cells
from skhvae.inference import log_predictive
from skhvae.models import MODELS
from skhvae.moo import STRATEGIES, as_strategy
from skhvae.objectives import ELBO, OBJECTIVES, DReG
from skhvae.recipe import recipe_of
from skhvae.rows import by_content
from skhvae.schema import infer_schema

CPU = torch.device("cpu")
COMPLETE = make_heterogeneous(60, random_state=0).data
TABLE = hide_cells(COMPLETE, random_state=0)[0]


def recipe(n_rows, **changes):
    """What the estimator would ask for, small, in one batch an epoch."""
    imputer = HeterogeneousVAEImputer(
        max_iter=3,
        latent_dim=3,
        hidden_layer_sizes=(8,),
        n_members=1,
        batch_size=n_rows,
        validation_fraction=0.3,
    )
    return dataclasses.replace(recipe_of(imputer, n_rows, 10), **changes)


def fit(table, seed=0, **changes):
    return fit_by(recipe(len(table), **changes), table, seed)


def fit_by(recipe, table, seed=0):
    schema = infer_schema(table)
    encoder = TableEncoder(schema, assign_likelihoods(schema, None), np.nan, "missing")
    return Engine(encoder, CPU).fit(table, recipe, seed=seed)


def go_on(previous, table, **changes):
    """A further fit, from what the previous one has learned."""
    engine = Engine(previous.encoder, CPU)
    return engine.fit(table, recipe(len(table), **changes), seed=1, previous=previous)


class Spy(ELBO):
    """Notes which cells each step counts and shows."""

    def __init__(self):
        super().__init__(0.1)
        self.steps = []

    def __call__(self, model, values, observed, visible, *args, **kwargs):
        self.steps.append((observed, visible))
        return super().__call__(model, values, observed, visible, *args, **kwargs)


def test_held_out_cells_are_neither_shown_nor_counted():
    spy = Spy()
    engine = fit(TABLE, objective=spy)
    n_held = engine.held_out_errors["n_cells"].sum()
    n_observed = TABLE.notna().sum().sum()
    assert n_held == pytest.approx(0.3 * n_observed, rel=0.2)
    for observed, visible in spy.steps[:2]:  # the epochs that they judge
        assert observed.sum() == n_observed - n_held
        assert not (visible & ~observed).any()


def test_rows_without_an_observed_cell_are_left_out():
    table = TABLE.copy()
    table.iloc[[3, 20]] = None
    spy = Spy()
    engine = fit(table.astype(TABLE.dtypes), objective=spy, validation_fraction=0.0)
    assert [len(observed) for observed, _ in spy.steps] == [58] * 3
    assert engine.held_out_errors is None
    completed, missing = engine.complete(table.astype(TABLE.dtypes), keep_empty=False)
    assert missing[[3, 20]].all()
    assert not completed.isna().any(axis=None)
    pd.testing.assert_series_equal(completed.iloc[3], completed.iloc[20], check_names=False)


@pytest.mark.parametrize("n_members", [1, 3])
def test_too_few_cells_to_spare_any(n_members):
    """Holding out all of them would leave nothing to learn from."""
    table = pd.DataFrame({"x": [1.0, 2.5, 4.0]})
    for seed in range(10):
        engine = fit(table, seed=seed, validation_fraction=0.9, n_members=n_members)
        losses = [record["loss"] for record in engine.run.history]
        assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"x": [1.5, np.nan, 1.5]}),
        pd.DataFrame({"x": [np.nan, np.nan]}),
        pd.DataFrame({"x": [1.5, np.nan], "y": ["a", None], "z": [np.nan, np.nan]}),
    ],
)
def test_nothing_to_learn(table):
    """Constants complete themselves; what was never observed stays out."""
    engine = fit(table)
    assert engine.model is None
    assert engine.run.history == []
    completed, _ = engine.complete(table, keep_empty=False)
    assert list(completed) == [name for name in "xy" if name in table and table[name].any()]
    for name in completed:
        assert (completed[name] == table[name].iloc[0]).all()
    assert engine.conflict().shape == (0, 0)
    assert engine.latent(table).shape == (len(table), 3)
    assert engine.errors(table, None)["n_cells"].sum() == 0


def completed(engine):
    return engine.complete(TABLE, keep_empty=False)[0]


@pytest.mark.parametrize("model", MODELS.values())
def test_seed_decides(model):
    first, again, other = (completed(fit(TABLE, seed=seed, model=model)) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


@pytest.mark.parametrize("moo", [*STRATEGIES, ("gradnorm", "pcgrad")], ids=str)
def test_two_fits_of_one_strategy_are_the_same(moo):
    """What it remembers and draws in one fit does not reach the next."""
    own = moo if isinstance(moo, tuple) else as_strategy(moo)
    same = recipe(len(TABLE), moo=own)
    first, again = (fit_by(same, TABLE) for _ in range(2))
    pd.testing.assert_frame_equal(completed(first), completed(again), check_exact=True)
    pd.testing.assert_frame_equal(first.conflict(), again.conflict(), check_exact=True)


@pytest.mark.parametrize("moo", ["pcgrad", "gradnorm", "gradvac", "nash-mtl"])
def test_a_strategy_is_copied_and_never_changed(moo):
    own = recipe(len(TABLE), moo=as_strategy(moo))
    before = pickle.dumps(own.moo)
    fit_by(own, TABLE)
    assert pickle.dumps(own.moo) == before


def test_a_used_strategy_starts_afresh():
    used = as_strategy("gradnorm")
    for _ in range(30):  # it now weighs the first feature least
        used.weights(torch.diag(torch.logspace(8, 0, len(TABLE.columns), dtype=torch.float64)))
    afresh, expected = (fit(TABLE, moo=moo) for moo in (used, "gradnorm"))
    pd.testing.assert_frame_equal(completed(afresh), completed(expected), check_exact=True)


def test_each_block_remembers_for_itself():
    """DReG's second one meets other gradients, though in few steps they say the same by their signs."""
    plan = dataclasses.replace(recipe(len(TABLE)).plan, max_iter=12)
    engine = fit(TABLE, moo="gradnorm", objective=DReG(0.1), plan=plan)
    one, other = (place.strategy for place in engine.impartiality.places.values())
    n_steps = len(engine.run.history)  # of one batch each
    assert one._steps.max() == other._steps.max() == n_steps
    assert not torch.equal(one._log_weights, other._log_weights)


def test_strategies_differ():
    """Or the tests above show nothing."""
    assert not completed(fit(TABLE, moo="gradnorm")).equals(completed(fit(TABLE, moo="sum")))


# Going on


def tensors(thing):
    """All tensors that a strategy, or what is made of such, holds."""
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, dict):
        for part in thing.values():
            yield from tensors(part)
    elif isinstance(thing, (tuple, list)):
        for part in thing:
            yield from tensors(part)
    elif hasattr(thing, "__dict__"):
        yield from tensors(vars(thing))


@pytest.mark.parametrize("moo", ["gradnorm", "gradvac", "pcgrad"])
def test_going_on_leaves_the_previous_engine_as_it_was(moo):
    previous = fit(TABLE, moo=moo)
    table, conflict = completed(previous), previous.conflict()
    state = [tensor.clone() for tensor in tensors(previous.impartiality)]
    later = go_on(previous, TABLE, moo=moo)
    assert not completed(later).equals(table)
    assert not later.conflict().equals(conflict)
    pd.testing.assert_frame_equal(completed(previous), table, check_exact=True)
    pd.testing.assert_frame_equal(previous.conflict(), conflict, check_exact=True)
    for now, before in zip(tensors(previous.impartiality), state, strict=True):
        torch.testing.assert_close(now, before, rtol=0, atol=0, equal_nan=True)


def test_another_strategy_starts_with_a_record_of_its_own():
    previous = fit(TABLE, moo="gradnorm")
    same, other = (go_on(previous, TABLE, moo=moo) for moo in ("gradnorm", "equal-norm"))
    steps = [engine.impartiality.at("h").conflict._together.max() for engine in (same, other)]
    assert steps[0] > steps[1]


# Conflicts


def upper(table):
    """The cosines of pairs."""
    return table.to_numpy()[np.triu_indices(len(table), 1)]


@pytest.mark.parametrize("model", MODELS.values())
def test_conflict_is_a_table_of_mean_cosines(model):
    conflict = fit(TABLE, model=model).conflict()
    np.testing.assert_allclose(np.diag(conflict), 1)
    np.testing.assert_allclose(conflict, conflict.T, atol=1e-6)  # of float32 gradients
    assert (np.abs(upper(conflict)) <= 1).all()
    assert (upper(conflict) < 0).any()


def test_conflict_is_in_the_tables_order():
    """The encoder packs features by likelihood."""
    engine = fit(TABLE)
    conflict = engine.conflict()
    packed = [feature.name for feature in engine.encoder.features]
    assert list(conflict.index) == list(conflict.columns) == list(TABLE.columns) != packed
    cosines = engine.impartiality.at("h").conflict.mean_cosines
    for d, one in enumerate(packed):
        for e, other in enumerate(packed):
            assert conflict.loc[one, other] == cosines[d, e]


def test_constant_columns_have_no_conflict():
    table = TABLE.assign(constant=1.0)
    assert list(fit(table).conflict()) == list(TABLE.columns)


def test_a_feature_that_is_never_observed_in_training_has_no_cosine():
    """Its two cells are both held out."""
    rare = pd.Series(np.nan, index=TABLE.index)
    rare.iloc[:2] = 1.0, 2.0
    for seed in range(20):
        engine = fit(TABLE.assign(rare=rare), seed=seed, validation_fraction=0.5)
        conflict, held = engine.conflict(), engine.held_out_errors["n_cells"]["rare"]
        assert engine.run.history
        if held == 2:
            break
    assert held == 2
    first = engine.run.history[0]
    assert math.isnan(first["weight[rare]"])
    assert 0 <= first["conflicting_pairs"] <= 1
    assert conflict.drop(index="rare", columns="rare").notna().all(axis=None)


def test_conflict_of_dreg_is_that_of_the_decoder():
    """Not that of the second pass, for the points."""
    engine = fit(TABLE, objective=DReG(0.1))
    assert set(engine.impartiality.places) == {"h", "encoder: h"}
    names = [feature.name for feature in engine.encoder.features]
    of_decoder = engine.impartiality.at("h").conflict.mean_cosines
    np.testing.assert_array_equal(engine.conflict().loc[names, names], of_decoder)


# Copies


@pytest.mark.parametrize("moo", ["pcgrad", "gradnorm", "gradvac", "nash-mtl", "graddrop", "random"])
def test_pickles_give_the_same(moo):
    """Generators, which cannot travel, were given back."""
    engine = fit(TABLE, moo=moo)
    twin = pickle.loads(pickle.dumps(engine))
    pd.testing.assert_frame_equal(completed(twin), completed(engine), check_exact=True)
    pd.testing.assert_frame_equal(twin.conflict(), engine.conflict(), check_exact=True)


@pytest.mark.parametrize("moo", ["pcgrad", ("gradnorm", "gradvac")], ids=str)
def test_generators_are_given_back(moo):
    engine = fit(TABLE, moo=moo, objective=DReG(0.1))
    assert len(engine.impartiality.places) == 2
    for place in engine.impartiality.places.values():
        for strategy in (place.strategy, *getattr(place.strategy, "strategies", ())):
            assert strategy.generator is None


def test_errors_know_the_truth_only_where_it_is_given():
    """Cells that are missing in the truth as well are not measured."""
    engine = fit(TABLE)
    truth = TABLE.copy()
    truth.iloc[:, 0] = 1.0
    n_cells = engine.errors(TABLE, truth)["n_cells"]
    assert n_cells.iloc[0] == TABLE.iloc[:, 0].isna().sum()
    assert (n_cells.iloc[1:] == 0).all()


@pytest.mark.parametrize("model", MODELS.values())
def test_to_gives_a_copy(model):
    engine = fit(TABLE, model=model)
    expected = completed(engine)
    moved = engine.to(CPU)
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter.zero_()
    pd.testing.assert_frame_equal(completed(engine), expected)


@pytest.mark.parametrize("moo", ["equal-norm", "gradnorm", ("gradnorm", "gradvac")], ids=str)
def test_to_gives_the_same(moo):
    engine = fit(TABLE, moo=moo)
    moved = engine.to(CPU)
    pd.testing.assert_frame_equal(completed(moved), completed(engine), check_exact=True)
    pd.testing.assert_frame_equal(moved.conflict(), engine.conflict(), check_exact=True)
    assert moved.impartiality is not engine.impartiality
    for place, block in engine.impartiality.places.items():
        assert moved.impartiality.at(place) is not block


@pytest.mark.parametrize("model", MODELS.values())
def test_to_moves_everything(model):
    moved = fit(TABLE, model=model, moo=("gradnorm", "gradvac")).to(torch.device("meta"))
    assert all(parameter.is_meta for parameter in moved.model.parameters())
    state = [*tensors(moved.impartiality)]
    assert len(state) > 5
    assert all(tensor.is_meta for tensor in state)


def test_to_without_a_model():
    engine = fit(pd.DataFrame({"x": [1.5, np.nan, 1.5]}))
    assert engine.to(CPU).conflict().shape == (0, 0)


# Blocks of rows


@pytest.mark.parametrize("n_rows", [1, 7, 59, 60])
def test_blocks_do_not_matter(n_rows, monkeypatch):
    whole, missing = fit(TABLE).complete(TABLE, keep_empty=False)
    monkeypatch.setattr("skhvae.completer._BLOCK", n_rows)
    blocks, missing_too = fit(TABLE).complete(TABLE, keep_empty=False)
    pd.testing.assert_frame_equal(blocks, whole)
    np.testing.assert_array_equal(missing_too, missing)


def test_rows_that_lack_nothing_are_not_imputed(monkeypatch):
    engine = fit(TABLE)
    asked = []
    impute_rows = inference.impute_rows

    def spy(model, values, *args):
        asked.append(len(values))
        return impute_rows(model, values, *args)

    monkeypatch.setattr("skhvae.completer.impute_rows", spy)
    engine.complete(TABLE, keep_empty=False)
    engine.complete(COMPLETE, keep_empty=False)
    assert asked == [TABLE.isna().any(axis=1).sum()]


# Points of the posterior


@pytest.mark.parametrize("n_points", [1, 2, 5, 8])
def test_the_model_says_how_many_points_make_an_estimate(n_points, monkeypatch):
    monkeypatch.setattr(MODELS["cvae"], "n_points", n_points)
    points = fit(TABLE)._points
    assert points.shape == (n_points, 3)
    torch.testing.assert_close(points.mean(0), torch.zeros(3))
    assert len(points.unique(dim=0)) == n_points


# Densities


def test_log_likelihood_is_the_mean_over_the_cells_that_the_table_lacks():
    engine = fit(TABLE)
    values, _ = engine.encoder.encode(COMPLETE)
    _, visible = engine.encoder.encode(TABLE)
    density = log_predictive(engine.model, values, visible, engine._points)
    found = engine.log_likelihood(TABLE, COMPLETE)
    assert set(found.index) == set(TABLE.columns)
    for position, feature in enumerate(engine.encoder.features):
        hidden = torch.tensor([*TABLE[feature.name].isna()])
        assert found[feature.name] == pytest.approx(density[hidden, position].mean().item())


def test_features_that_lack_no_cell_have_no_log_likelihood():
    table = TABLE.assign(real_1=COMPLETE["real_1"])
    found = fit(TABLE).log_likelihood(table, COMPLETE)
    assert found.index[found.isna()].tolist() == ["real_1"]


# Members


def of_three(**parameters):
    """An estimator of three small networks."""
    small = dict(max_iter=3, latent_dim=3, hidden_layer_sizes=(8,), random_state=0, device="cpu")
    return HeterogeneousVAEImputer(n_members=3, **small | parameters)


@pytest.mark.parametrize("model", MODELS)
def test_members_are_decided_by_the_seed_and_survive_pickling(model):
    imputer = of_three(model=model).fit(TABLE)
    expected = imputer.transform(TABLE)
    assert expected.notna().all(axis=None)
    again = of_three(model=model).fit_transform(TABLE)
    twin = pickle.loads(pickle.dumps(imputer))
    for same in (again, twin.transform(TABLE)):
        pd.testing.assert_frame_equal(same, expected, check_exact=True)
    alone = of_three(model=model).set_params(n_members=1).fit_transform(TABLE)
    assert not alone.equals(expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_row_is_encoded_by_all_members(model):
    imputer = of_three(model=model).fit(TABLE)
    encoded = imputer.encode(TABLE)
    assert encoded.shape == (len(TABLE), 3 * 3)
    assert np.isfinite(encoded).all()
    assert len(np.unique(encoded[0])) == 9
    nothing = TABLE.assign(**dict.fromkeys(TABLE, 1.0))
    assert of_three().fit(nothing).encode(nothing).shape == (len(TABLE), 3 * 3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_members_have_one_record(objective):
    imputer = of_three(objective=objective, model="vae").fit(TABLE)
    conflict = imputer.gradient_conflict_
    assert list(conflict) == list(TABLE)
    assert np.isfinite(conflict).all(axis=None)
    np.testing.assert_allclose(np.diag(conflict), 1)
    assert np.isfinite(imputer.history_["loss"]).all()


def test_a_warm_start_with_other_members_is_refused():
    imputer = of_three(warm_start=True).fit(TABLE)
    expected = imputer.transform(TABLE)
    with pytest.raises(ValueError, match=r"another n_members.*warm_start=False"):
        imputer.set_params(n_members=2).fit(TABLE)
    pd.testing.assert_frame_equal(imputer.transform(TABLE), expected, check_exact=True)


def test_a_warm_start_keeps_what_the_members_remember():
    previous = fit(TABLE, n_members=3, moo="gradnorm")
    later = go_on(previous, TABLE, n_members=3, moo="gradnorm")

    def n_steps(engine):
        place = engine.impartiality.at("h")
        return [strategy._steps.max().item() for strategy in (place.strategy, *place._others)]

    assert n_steps(previous) == [len(previous.run.history)] * 3
    assert n_steps(later) == [len(previous.run.history) + len(later.run.history)] * 3


def test_the_encoder_stays_on_the_host():
    """Or a pickle from CUDA could not be loaded where there is none."""
    engine = fit(TABLE)
    engine.model.to("meta")
    for group in engine.encoder.groups:
        assert group.likelihood.initial.device.type == "cpu"


@pytest.mark.parametrize("moo", ["pcgrad", ("gradnorm", "gradvac")], ids=str)
def test_members_give_generators_back(moo):
    engine = fit(TABLE, n_members=3, moo=moo)
    (place,) = engine.impartiality.places.values()
    for own in (place.strategy, *place._others):
        for strategy in (own, *getattr(own, "strategies", ())):
            assert strategy.generator is None
    twin = pickle.loads(pickle.dumps(engine))
    pd.testing.assert_frame_equal(twin.conflict(), engine.conflict(), check_exact=True)
    moved = engine.to(torch.device("meta"))
    assert all(tensor.is_meta for tensor in tensors(moved.impartiality))
    assert all(parameter.is_meta for parameter in moved.model.parameters())


def test_other_cells_are_held_out_from_every_member():
    """In the end all of them learn all."""
    spy = Spy()
    engine = fit(TABLE, n_members=3, objective=spy)
    n_observed = TABLE.notna().sum().sum()
    n_held = [n_observed - own for own in spy.steps[0][0].sum((1, 2)).tolist()]
    assert n_held == pytest.approx([0.3 * n_observed] * 3, rel=0.2)
    n_cells = engine.held_out_errors["n_cells"].sum()
    assert max(n_held) < n_cells < sum(n_held)
    for observed, visible in spy.steps:
        assert not (visible & ~observed).any()
    last = spy.steps[-1][0].sum((1, 2))
    assert (last == n_observed).all()


def test_a_held_out_cell_is_estimated_by_the_first_member_that_did_not_learn_it(monkeypatch):
    seen = []

    def spy(model, values, visible, *args):
        estimates = inference.own_estimates(model, values, visible, *args)
        seen.append((values, visible, estimates))
        return estimates

    monkeypatch.setattr("skhvae.held_out.own_estimates", spy)
    engine = fit(TABLE, n_members=3)
    values, visible, estimates = seen[-1]
    encoded = engine.encoder.encode(TABLE)
    observed = encoded[1][by_content(*encoded)]
    scales = engine.encoder.error_scales()
    checked = 0
    for feature, name in enumerate(f.name for f in engine.encoder.features):
        if not name.startswith("real"):
            continue
        squares = []
        for row in observed[:, feature].nonzero().squeeze(1):
            unlearned = (~visible[:, row, feature]).nonzero().squeeze(1)
            if len(unlearned):
                estimate = estimates[unlearned[0], row, feature]
                squares.append((estimate - values[row, feature]) ** 2)
        expected = torch.stack(squares).mean().sqrt() * scales[feature]
        found = engine.held_out_errors.loc[name]
        assert found["n_cells"] == len(squares)
        assert found["error"] == pytest.approx(expected.item(), rel=1e-4)
        checked += 1
    assert checked == 2
