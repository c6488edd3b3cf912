"""The training loop: plan, hiding, history, and what happens when something goes wrong."""

import dataclasses
import math
import time
import warnings

import numpy as np
import pytest
import torch
from small_problem import PAIRS, small_problem

from skhvae.models import HIVAE, MODELS, VAE
from skhvae.moo import FromCallable, Impartiality, as_strategy
from skhvae.objectives import ELBO, OBJECTIVES, DReG
from skhvae.run import TrainingRun, Watcher
from skhvae.schedule import Schedule, TrainingPlan
from skhvae.training import finish, train

PLAN = TrainingPlan(
    max_iter=3,
    max_steps=1000,
    batch_size=16,
    learning_rate=3e-3,
    weight_decay=0.0,
    n_iter_no_change=100,
    tol=0.0,
)
N_ROWS = 50
STEPS = N_ROWS // PLAN.batch_size


def loop(problem, objective=None, seed=0, **options):
    """Arguments of `train` and `finish`; options are theirs and those of the plan."""
    in_plan = {field.name for field in dataclasses.fields(PLAN)} & set(options)
    plan = dataclasses.replace(PLAN, **{name: options.pop(name) for name in in_plan})
    generator = torch.Generator().manual_seed(seed)
    strategy = as_strategy(options.pop("strategy", "equal-norm"))
    return dict(
        model=problem.model,
        values=problem.values,
        observed=problem.observed,
        objective=objective or ELBO(0.1),
        impartiality=Impartiality(strategy, generator),
        plan=plan,
        generator=generator,
        names=problem.names,
        **options,
    )


def run(problem, held_out_errors=None, max_iter=PLAN.max_iter, **options):
    """Train for `max_iter` epochs, the last stretch not counted."""
    planned = round(1.2 * max_iter) if held_out_errors else max_iter
    return train(held_out_errors=held_out_errors, **loop(problem, max_iter=planned, **options))


@pytest.fixture
def problem():
    return small_problem(n_rows=N_ROWS, dropout=0.2)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Objective:
    """The ELBO, except that something happens at some steps, counted from 1."""

    def __init__(self, event, at):
        self.event, self.at = event, set(at)
        self.elbo, self.step = ELBO(0.1), 0

    def __call__(self, *args, **kwargs):
        self.step += 1
        loss = self.elbo(*args, **kwargs)
        return self.event(loss, *args) if self.step in self.at else loss


def interrupt(loss, *args):
    raise KeyboardInterrupt


def nan_in(feature):
    def event(loss, *args):
        factor = torch.ones(len(loss.features))
        factor[feature] = torch.nan
        features = loss.features * factor
        return dataclasses.replace(loss, features=features, total=features.sum())

    return event


class Scripted:
    """Held-out errors as scripted, one an epoch, and the weights that they were asked of."""

    def __init__(self, problem, *errors):
        self.errors, self.n_features = list(errors), len(problem.names)
        self.asked = []

    def __call__(self, model):
        self.asked.append(weights(model).clone())
        return torch.full((self.n_features,), self.errors[len(self.asked) - 1])


# The plan


@pytest.mark.parametrize(
    ("max_iter", "max_steps", "n_rows", "epochs"),
    [
        (5, 10_000, 160, 5),  # max_iter ends it
        (100, 300, 160, 30),  # max_steps ends it: ten steps an epoch
        (100, 301, 160, 31),
        (100, 20, 160, 10),  # at least ten epochs
        (4, 20, 160, 4),  # unless max_iter allows fewer
        (100, 50, 3, 50),  # fewer rows than a batch: one step an epoch
    ],
)
def test_plan_counts_epochs(max_iter, max_steps, n_rows, epochs):
    plan = dataclasses.replace(PLAN, max_iter=max_iter, max_steps=max_steps)
    assert plan.epochs(n_rows, finished=False) == epochs
    shorter = plan.epochs(n_rows, finished=True)
    assert 0 <= epochs - shorter - plan.finishing_epochs(shorter) <= 1
    assert plan.steps_per_epoch(n_rows) == max(1, n_rows // 16)


def test_learning_rate_rises_to_its_peak_and_ends_near_zero():
    rates = np.array([PLAN.rate(progress) for progress in np.linspace(0, 1, 1001)])
    peak = rates.argmax()
    assert rates[peak] == pytest.approx(PLAN.learning_rate)
    assert (np.diff(rates[: peak + 1]) >= 0).all()
    assert (np.diff(rates[peak:]) <= 1e-12).all()
    assert 0 <= rates[-1] < 0.01 * PLAN.learning_rate
    assert rates[0] < 0.1 * PLAN.learning_rate


# The loop


@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_training_reduces_the_loss(objective, model):
    problem = small_problem(MODELS[model], n_rows=80)
    history = run(problem, objective=OBJECTIVES[objective](0.1), max_iter=20).history
    losses = [record["loss"] for record in history]
    assert np.mean(losses[-3:]) < losses[0] - 1
    assert not problem.model.training


def test_history_has_a_record_an_epoch(problem):
    errors = torch.linspace(0, 1, len(problem.names))
    errors[3] = torch.nan  # a feature without held-out cells
    began = time.perf_counter()
    history = run(problem, held_out_errors=lambda model: errors).history
    assert [record["epoch"] for record in history] == [1, 2, 3]
    for record in history:
        by_feature = [record[f"loss[{name}]"] for name in problem.names]
        assert record["loss"] == pytest.approx(sum(by_feature), rel=1e-5)
        assert record["kl"] > 0
        assert 0 <= record["learning_rate"] <= PLAN.learning_rate
        assert record["skipped_steps"] == 0
        np.testing.assert_allclose(
            [record[f"error[{name}]"] for name in problem.names], errors.numpy()
        )
        assert record["held_out_error"] == pytest.approx(np.nanmean(errors.numpy()))
    assert 0 < sum(record["seconds"] for record in history) < time.perf_counter() - began


def test_history_without_held_out_cells(problem):
    history = run(problem).history
    assert len(history) == 3
    assert not [column for column in history[0] if "error" in column]


def conflict_by_hand(gramians, weights):
    """Share of pairs with a negative cosine, and what each gradient counts at the plain sum's length."""
    shares, counts = [], []
    for gramian in gramians:
        pairs = [(d, e) for d in range(len(gramian)) for e in range(d)]
        shares.append(np.mean([gramian[d, e] < 0 for d, e in pairs]))
        length = np.sqrt(gramian.sum() / (weights @ gramian @ weights))
        counts.append(weights * length)
    return np.mean(shares), np.mean(counts, axis=0)


def test_history_tells_how_gradients_conflict_and_what_each_counts():
    """Means over the steps of an epoch, against Gramians noted on the way."""
    problem = small_problem(VAE, n_rows=N_ROWS)  # whose features all have a gradient at every step
    gramians, weights = [], np.linspace(1, 2, len(problem.names))

    def increasing(gramian):
        gramians.append(gramian.numpy().copy())
        return torch.from_numpy(weights)

    for epoch, record in enumerate(run(problem, strategy=increasing).history):
        steps = gramians[epoch * STEPS : (epoch + 1) * STEPS]
        share, counts = conflict_by_hand(steps, weights)
        assert record["conflicting_pairs"] == pytest.approx(share)
        actual = [record[f"weight[{name}]"] for name in problem.names]
        np.testing.assert_allclose(actual, counts, rtol=1e-6)
    assert len(gramians) == 3 * STEPS


@pytest.mark.parametrize(("objective", "model"), PAIRS)
def test_conflicting_pairs_are_a_share(objective, model):
    problem = small_problem(MODELS[model], n_rows=N_ROWS)
    history = run(problem, objective=OBJECTIVES[objective](0.1)).history
    shares = [record["conflicting_pairs"] for record in history]
    assert all(0 < share < 1 for share in shares)


def test_history_of_a_feature_that_is_never_observed():
    """It has no weight, and is in no pair."""
    problem = small_problem(n_rows=N_ROWS)
    problem.observed[:, 2] = False
    history = run(problem).history
    for record in history:
        weights = {name: record[f"weight[{name}]"] for name in problem.names}
        assert math.isnan(weights.pop(problem.names[2]))
        assert all(weight > 0 for weight in weights.values())
        assert 0 <= record["conflicting_pairs"] <= 1


def test_no_pair_conflicts_where_there_is_one_feature():
    problem = small_problem(n_rows=N_ROWS)
    problem.observed[:, 1:] = False
    assert [record["conflicting_pairs"] for record in run(problem).history] == [0, 0, 0]


def test_each_epoch_tells_of_its_own_steps_alone(problem):
    """Weights in one epoch are not mixed with those of the epochs before."""
    n_steps = []

    def growing(gramian):
        n_steps.append(0)
        weights = torch.ones(len(gramian))
        weights[0] = len(n_steps) > STEPS  # counts from the second epoch on
        return weights

    first, *later = (
        r[f"weight[{problem.names[0]}]"] for r in run(problem, strategy=growing).history
    )
    assert first == 0
    assert later == pytest.approx([1, 1])


def test_of_two_gradients_the_history_tells_the_decoders(problem):
    """Its features all count the same; those of DReG's second pass would not."""
    arguments = loop(problem, objective=DReG(0.1), strategy="sum")
    blocks = arguments["impartiality"]
    blocks.at("encoder: h").strategy = as_strategy("equal-norm")
    history = train(held_out_errors=None, **arguments).history
    assert set(blocks.places) == {"h", "encoder: h"}
    for record in history:
        weights = [record[f"weight[{name}]"] for name in problem.names]
        np.testing.assert_allclose(weights, 1)


class Watching(Watcher):
    """Keeps what it is shown; stops after so many epochs."""

    def __init__(self, most=math.inf):
        self.most, self.planned, self.models, self.lengths = most, [], [], []

    def begin(self, n_epochs):
        self.planned.append(n_epochs)

    def end(self, model, history):
        self.models.append(model())
        self.lengths.append(len(history))
        return len(self.models) >= self.most


def test_a_watcher_is_shown_what_would_be_left(problem):
    """The best model so far, or without held-out cells the last one."""
    held = Scripted(problem, 3.0, 1.0, 2.0)
    watcher = Watching()
    run(problem, held_out_errors=held, watcher=watcher)
    assert watcher.lengths == [1, 2, 3]
    assert watcher.planned == [4, 4, 4]  # with the last stretch
    shown = [weights(model) for model in watcher.models]
    assert torch.equal(shown[0], held.asked[0])
    assert torch.equal(shown[1], held.asked[1])
    assert torch.equal(shown[2], weights(problem.model))
    assert not any(model.training for model in watcher.models)


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("most", [1, 2])
def test_a_watcher_can_stop(problem, held_out, most):
    watcher = Watching(most)
    errors = Scripted(problem, 3.0, 1.0, 2.0) if held_out else None
    result = run(problem, held_out_errors=errors, watcher=watcher)
    assert result.stopped
    assert not result.interrupted
    assert len(result.history) == most
    assert torch.equal(weights(watcher.models[-1]), weights(problem.model))
    assert not problem.model.training


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_watcher_of_the_last_stretch_is_shown_the_model_before_it(problem, most):
    """Until it is complete."""
    result = run(problem, max_iter=10)
    before, watcher = weights(problem.model), Watching(most)
    finish(run=result, watcher=watcher, **loop(problem, max_iter=20))
    assert watcher.planned == [12] * min(most, 2)
    assert watcher.lengths == [11, 12][:most]
    assert torch.equal(weights(watcher.models[0]), before)
    assert torch.equal(weights(problem.model), before) == (most == 1)
    assert torch.equal(weights(problem.model), weights(watcher.models[-1]))
    assert not any(model.training for model in [problem.model, *watcher.models])


def test_report_follows_every_epoch(problem):
    reported = []
    history = run(problem, report=lambda *record: reported.append(record)).history
    assert reported == [(record, 3) for record in history]


def test_an_epoch_takes_every_row_at_most_once_in_new_batches(problem):
    batches = []

    def note(loss, model, values, *args):
        batches.append({row.numpy().tobytes() for row in values})
        return loss

    run(problem, objective=Objective(note, range(1, 100)))
    assert [len(batch) for batch in batches] == [16] * 3 * STEPS
    for epoch in range(3):
        assert len(set.union(*batches[epoch * STEPS : (epoch + 1) * STEPS])) == 16 * STEPS
    assert set.union(*batches[:STEPS]) != set.union(*batches[STEPS : 2 * STEPS])


def test_strategy_is_asked_once_a_step(problem):
    shapes = []

    def plain_sum(gramian):
        shapes.append(gramian.shape)
        return torch.ones(len(gramian))

    run(problem, strategy=FromCallable(plain_sum))
    assert len(shapes) == 3 * STEPS
    assert all(shape[0] <= len(problem.names) for shape in shapes)


def test_the_model_is_told_how_far_training_is(problem):
    told = []
    problem.model.anneal = told.append
    run(problem)
    np.testing.assert_allclose(told, np.linspace(0, 1, 3 * STEPS + 1)[1:])


def test_training_ends_at_the_last_temperature():
    problem = small_problem(HIVAE, n_rows=N_ROWS)
    first = problem.model.temperature.item()
    run(problem)
    assert problem.model.temperature.item() == pytest.approx(0.2)
    assert first == 1


@pytest.mark.parametrize("strategy", ["pcgrad", "gradvac", "graddrop", "random", "gradnorm"])
@pytest.mark.parametrize("model", MODELS.values())
def test_the_same_seed_trains_the_same_model(strategy, model):
    results = []
    for _ in range(2):
        problem = small_problem(model, dropout=0.2)
        run(problem, strategy=strategy)
        results.append(weights(problem.model))
    assert torch.equal(*results)


def test_the_generator_decides():
    before, results = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        problem = small_problem(dropout=0.2)
        run(problem, seed=seed, strategy="pcgrad")
        results.append(weights(problem.model))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_cells_that_are_not_observed_have_no_influence():
    results = []
    for flip in (False, True):
        problem = small_problem()
        if flip:
            problem.values = torch.where(problem.observed, problem.values, problem.values.flip(0))
        run(problem)
        results.append(weights(problem.model))
    assert torch.equal(*results)


# Stopping


def best_epoch(problem, errors):
    """The epoch whose weights the model ended with."""
    final = weights(problem.model)
    return [epoch for epoch, asked in enumerate(errors.asked, 1) if torch.equal(asked, final)][-1]


FALLING, RISING = np.linspace(1, 0.1, 15), np.linspace(0.1, 1, 15)


def test_best_weights_are_restored(problem):
    """Errors may be smoothed over some epochs, but the last weights are far from the best."""
    errors = Scripted(problem, *FALLING, *RISING)
    run(problem, max_iter=30, held_out_errors=errors)
    assert len(errors.asked) == 30
    assert 15 <= best_epoch(problem, errors) <= 20


@pytest.mark.parametrize(
    ("options", "errors", "best"),
    [
        ({}, FALLING, range(15, 16)),
        ({"n_iter_no_change": 2}, FALLING, range(15, 16)),
        ({"n_iter_no_change": 2}, [*FALLING, *RISING], range(15, 20)),
        ({"n_iter_no_change": 4}, [*FALLING, *RISING], range(15, 20)),
        ({"n_iter_no_change": 3}, [0.5] * 10, range(1, 2)),  # equal is no better
        ({"n_iter_no_change": 3, "tol": 2.0}, FALLING, range(1, 2)),
        ({"tol": 1e-6}, FALLING, range(15, 16)),
        ({}, [math.inf, math.nan, *FALLING, math.nan, math.inf], range(17, 18)),
    ],
)
def test_early_stopping(problem, options, errors, best):
    """Training is brought to its end `n_iter_no_change` epochs after the best one."""
    scripted = Scripted(problem, *errors)
    history = run(problem, max_iter=len(errors), held_out_errors=scripted, **options).history
    epoch = best_epoch(problem, scripted)
    assert epoch in best
    patience = options.get("n_iter_no_change", 100)
    landing = round(0.3 * len(errors))
    assert len(history) == min(len(errors), max(epoch, 1) + patience + landing)


def test_a_hastened_schedule_runs_through_its_rest():
    schedule = Schedule(100)
    assert schedule.progress(50) == pytest.approx(0.5)
    schedule.hasten(50)
    assert schedule.n_epochs == 80
    assert schedule.progress(50) == pytest.approx(0.5)
    assert schedule.progress(65) == pytest.approx(0.75)
    assert schedule.progress(80) == pytest.approx(1.0)
    late = Schedule(100)
    late.hasten(90)
    assert late.n_epochs == 100  # never longer than planned


def test_after_a_plateau_the_rate_falls_to_zero(problem):
    errors = Scripted(problem, *[0.5] * 20)
    history = run(problem, max_iter=20, held_out_errors=errors, n_iter_no_change=4).history
    assert len(history) == 1 + 4 + 6
    assert history[4]["learning_rate"] > 0.5 * history[3]["learning_rate"] > 0
    assert history[-1]["learning_rate"] == pytest.approx(0)


def test_without_held_out_cells_training_goes_to_the_end(problem):
    first = weights(problem.model)
    assert len(run(problem, max_iter=4, n_iter_no_change=1).history) == 4
    assert not torch.equal(weights(problem.model), first)


# What goes wrong


def test_a_step_that_is_not_finite_is_skipped_and_counted():
    """Nothing of it reaches the weights or the history."""
    problem = small_problem()
    history = run(problem, objective=Objective(nan_in(2), [2, 5, 6])).history
    assert [record["skipped_steps"] for record in history] == [1, 2, 0]
    assert all(math.isfinite(value) for record in history for value in record.values())
    assert weights(problem.model).isfinite().all()


def test_a_skipped_step_changes_no_weight(problem):
    first = weights(problem.model)
    run(problem, objective=Objective(nan_in(0), range(1, 100)), max_iter=1)
    assert torch.equal(weights(problem.model), first)


@pytest.mark.parametrize("strategy", ["gradnorm", "gradvac", "nash-mtl", "graddrop"])
def test_a_skipped_step_leaves_no_trace_in_a_strategy(problem, strategy):
    """What they remember and draw stays usable."""
    objective = Objective(nan_in(2), [2, 5, 6])
    history = run(problem, objective=objective, strategy=strategy, max_iter=4).history
    assert [record["skipped_steps"] for record in history] == [1, 2, 0, 0]
    for record in history:
        assert 0 <= record["conflicting_pairs"] <= 1
        assert all(math.isfinite(record[f"weight[{name}]"]) for name in problem.names)


def test_skipped_steps_do_not_count_as_free_of_conflict():
    """Means are those of the steps that were taken."""
    problem, gramians = small_problem(VAE, n_rows=N_ROWS), []

    def plain_sum(gramian):
        gramians.append(gramian.numpy().copy())
        return torch.ones(len(gramian))

    objective = Objective(nan_in(2), [2])
    (record,) = run(problem, objective=objective, strategy=plain_sum, max_iter=1).history
    assert len(gramians) == STEPS - 1
    share, counts = conflict_by_hand(gramians, np.ones(len(problem.names)))
    assert record["conflicting_pairs"] == pytest.approx(share)
    actual = [record[f"weight[{name}]"] for name in problem.names]
    np.testing.assert_allclose(actual, counts, rtol=1e-6)


def test_divergence_names_the_column(problem):
    with pytest.raises(FloatingPointError, match=rf"'{problem.names[4]}'.*learning_rate_init"):
        run(problem, objective=Objective(nan_in(4), range(4, 1000)), max_iter=100)


def test_one_good_step_among_bad_ones_is_no_divergence(problem):
    bad = [step for step in range(1, 301) if step % 20]
    history = run(problem, objective=Objective(nan_in(4), bad), max_iter=100).history
    assert sum(record["skipped_steps"] for record in history) == len(bad)


@pytest.mark.parametrize("step", [1, 2, STEPS + 1, 2 * STEPS + 2])
@pytest.mark.parametrize("held_out", [False, True])
def test_ctrl_c_keeps_a_usable_model(problem, step, held_out):
    errors = Scripted(problem, 0.1, 0.5, 0.5) if held_out else None
    first = weights(problem.model)
    with pytest.warns(
        RuntimeWarning, match=f"interrupted in epoch {(step - 1) // STEPS + 1} of {3 + held_out}"
    ):
        result = run(problem, objective=Objective(interrupt, [step]), held_out_errors=errors)
    assert result.interrupted
    assert len(result.history) == (step - 1) // STEPS
    assert not problem.model.training
    if held_out and result.history:
        assert best_epoch(problem, errors) == 1
    else:
        assert torch.equal(weights(problem.model), first) == (step == 1)


def test_training_warns_of_nothing_by_itself(problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not run(problem).interrupted


# The held-out cells, in the end


def test_finishing_trains_on_and_continues_the_history(problem):
    result = run(problem)
    before, reported = weights(problem.model), []
    report = lambda *record: reported.append(record)  # noqa: E731
    finish(run=result, report=report, **loop(problem, max_iter=10))
    assert all("conflicting_pairs" in record for record in result.history)
    n_epochs = len(result.history)
    assert n_epochs > 3
    assert [record["epoch"] for record in result.history] == [*range(1, n_epochs + 1)]
    assert reported == [(record, n_epochs) for record in result.history[3:]]
    after = weights(problem.model)
    assert not torch.equal(after, before)
    assert after.isfinite().all()
    assert not problem.model.training


def test_finishing_is_at_the_last_temperature():
    problem = small_problem(HIVAE)
    finish(run=TrainingRun(), **loop(problem))
    assert problem.model.temperature.item() == pytest.approx(0.2)


def test_ctrl_c_while_finishing_keeps_the_model(problem):
    result = run(problem)
    before = weights(problem.model)
    with pytest.warns(RuntimeWarning, match="interrupted"):
        finish(run=result, **loop(problem, max_iter=10, objective=Objective(interrupt, [2])))
    assert result.interrupted
    assert torch.equal(weights(problem.model), before)
    assert not problem.model.training


def test_finishing_draws_from_the_generator_alone(problem):
    state = torch.get_rng_state()
    finish(run=TrainingRun(), **loop(problem, strategy="pcgrad"))
    assert torch.equal(torch.get_rng_state(), state)
