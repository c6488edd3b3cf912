"""Recorded steps: that a replay is a step, and what happens where it is not."""

import warnings

import pytest
import torch
from cuda_device import needs_cuda
from small_problem import PAIRS, seeded, small_problem
from tape import NotRecordable, record_on_tape

from skhvae import epoch, training
from skhvae.models import MODELS
from skhvae.moo import NSGD, STRATEGIES, Chain, Impartiality, as_strategy
from skhvae.objectives import OBJECTIVES
from skhvae.replay import Replay
from skhvae.run import TrainingRun
from skhvae.schedule import TrainingPlan
from skhvae.training import finish, train


class Walk:
    """A small step: moves a point by a pace, and by chance."""

    def __init__(self):
        self.point, self.pace = torch.zeros(5), torch.ones(())
        self.generator, self.n_steps = seeded(), 0

    def __call__(self):
        self.n_steps += 1
        self.move(self.pace, self.generator)

    def move(self, pace, generator):
        self.point += pace * (1 + torch.rand(5, generator=generator))

    def state(self):
        return {"point": [self.point]}

    def go(self, n_steps, record=None):
        """Where it gets, and where chance stands then; every step has another pace."""
        run = self if record is None else Replay(self, self.state, self.generator, record)
        for i in range(n_steps):
            self.pace.fill_(1 / (1 + i))
            run()
        return self.point, self.generator.get_state()


def right(walk, generator):
    """Runs steps on the way, as recording a CUDA graph does."""
    for _ in range(2):
        walk()
    right.n_replays = 0

    def replay():
        right.n_replays += 1
        walk.move(walk.pace, generator)

    return replay


def with_the_pace_of_the_recording(walk, generator):
    pace = walk.pace.item()
    return lambda: walk.move(pace, generator)


def with_other_numbers(walk, generator):
    other = seeded(5)
    return lambda: walk.move(walk.pace, other)


def that_does_nothing(walk, generator):
    return lambda: None


def that_leaves_nan(walk, generator):
    return lambda: walk.point.fill_(torch.nan)


def that_breaks_off(walk, generator):
    walk()
    raise RuntimeError("operation not permitted")


def that_cannot_be_replayed(walk, generator):
    def replay():
        walk()
        raise RuntimeError("operation not permitted")

    return replay


def assert_same(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a, e)


def test_a_right_recording_is_replayed():
    walk = Walk()
    assert_same(walk.go(20, right), Walk().go(20))
    assert right.n_replays == 20 - 4 + 1  # one to compare
    assert (
        walk.n_steps == 4 + 2 + 1
    )  # three before, one at the recording; two in it; one to compare


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (with_the_pace_of_the_recording, "ArithmeticError: .* in its point"),
        (with_other_numbers, "ArithmeticError: .* in its point"),
        (that_does_nothing, "ArithmeticError: .* in its point"),
        (that_leaves_nan, "ArithmeticError: .* in its point"),
        (that_breaks_off, "RuntimeError: operation not permitted"),
        (that_cannot_be_replayed, "RuntimeError: operation not permitted"),
    ],
)
def test_a_recording_that_fails_leaves_no_trace(record, reason):
    """But one warning; every call is still one step."""
    with pytest.warns(RuntimeWarning, match=f"without CUDA graphs.*{reason}") as caught:
        found = Walk().go(20, record)
    assert len(caught) == 1
    assert_same(found, Walk().go(20))


def test_one_difference_may_be_due_to_rounding():
    def right_from_the_second_on(walk, generator):
        replay, n_replays = right(walk, generator), 0

        def run():
            nonlocal n_replays
            n_replays += 1
            replay()
            if n_replays == 1:
                walk.point += 1

        return run

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(Walk().go(20, right_from_the_second_on), Walk().go(20))
    assert right.n_replays == 20 - 5 + 2  # five steps by themselves, two to compare


@pytest.mark.parametrize("n_steps", range(1, 9))
def test_short_runs(n_steps):
    assert_same(Walk().go(n_steps, right), Walk().go(n_steps))


def test_ctrl_c_is_not_swallowed():
    def interrupted(walk, generator):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Walk().go(20, interrupted)


# Training


PLAN = TrainingPlan(
    max_iter=5,
    max_steps=1000,
    batch_size=16,
    learning_rate=3e-3,
    weight_decay=1e-3,
    n_iter_no_change=100,
    tol=0.0,
)


def trained(objective, model, strategy, device="cpu"):
    """Weights and history of a short training and its last stretch; a feature is never observed."""
    problem = small_problem(MODELS[model], dropout=0.2)
    problem.observed[:, 2] = False
    generator = torch.Generator(device).manual_seed(0)
    arguments = dict(
        model=problem.model.to(device),
        values=problem.values.to(device),
        observed=problem.observed.to(device),
        objective=OBJECTIVES[objective](0.1),
        impartiality=Impartiality(as_strategy(strategy), generator),
        plan=PLAN,
        generator=generator,
        names=problem.names,
    )
    errors = torch.zeros(len(problem.names))
    run = train(held_out_errors=lambda model: errors, **arguments)
    finish(run=TrainingRun(), **arguments)
    weights = torch.cat([p.detach().flatten().cpu() for p in problem.model.parameters()])
    return weights, [{k: v for k, v in r.items() if k != "seconds"} for r in run.history]


RECORDABLE = [name for name, kind in STRATEGIES.items() if kind.recordable]
CASES = [(*pair, "equal-norm") for pair in PAIRS]
CASES += [("elbo", "hivae", strategy) for strategy in RECORDABLE if strategy != "equal-norm"]
CASES += [("elbo", "cvae", ("gradnorm", "pcgrad")), ("elbo", "cvae", NSGD(after=7))]


@pytest.mark.parametrize(("objective", "model", "strategy"), CASES)
def test_training_by_replays_is_training(objective, model, strategy, monkeypatch):
    """Learning rate, annealing, chance, what strategies remember and what is recorded: all go on."""
    weights, history = trained(objective, model, strategy)
    replays = []

    def record(step, generator):
        replay = record_on_tape(step, generator)
        return lambda: replays.append(replay())

    monkeypatch.setattr(
        training, "runner", lambda step: Replay(step, step.state, step.generator, record)
    )
    actual, actual_history = trained(objective, model, strategy)
    assert len(replays) == 12 - 4 + 1  # the last stretch is too short to begin with
    torch.testing.assert_close(actual, weights, rtol=1e-5, atol=1e-6)
    for found, expected in zip(actual_history, history, strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)


def test_what_cannot_be_recorded_says_so():
    assert "equal-norm" in RECORDABLE
    assert not as_strategy("mgda").recordable
    assert not as_strategy(lambda gramian: gramian[0]).recordable
    assert Chain([as_strategy("gradnorm"), as_strategy("pcgrad")]).recordable
    assert not Chain([as_strategy("gradnorm"), as_strategy("mgda")]).recordable


def test_the_tape_does_not_record_what_waits():
    x = torch.ones(3)
    for waiting in (x.sum().item, lambda: x[x > 0], lambda: bool(x.any())):
        with pytest.raises(NotRecordable):
            record_on_tape(waiting, None)


def test_the_cpu_runs_the_step_itself(monkeypatch):
    monkeypatch.setattr(epoch, "Replay", None)
    trained("elbo", "cvae", "equal-norm")


@needs_cuda
@pytest.mark.parametrize(("objective", "model", "strategy"), CASES)
def test_cuda_graphs(objective, model, strategy, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights, history = trained(objective, model, strategy, "cuda")
    monkeypatch.setattr(training, "runner", lambda step: step)
    expected, expected_history = trained(objective, model, strategy, "cuda")
    torch.testing.assert_close(weights, expected, rtol=1e-2, atol=1e-3)
    for found, expected in zip(history, expected_history, strict=True):
        assert found == pytest.approx(expected, rel=1e-2, abs=1e-2, nan_ok=True)
