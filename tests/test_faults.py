"""What fails half-way: fit either succeeds, or leaves the estimator as it was, whatever happens where."""

from __future__ import annotations

import copy
import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skhvae import HeterogeneousVAEImputer
from skhvae.datasets import make_heterogeneous
from skhvae.engine import Engine
from skhvae.evaluation import hide_cells
from skhvae.held_out import HeldOutCells
from skhvae.objectives import ELBO, OBJECTIVES

N = 40
MADE = make_heterogeneous(N, random_state=0).data[["real_1", "count_1", "nominal_1"]]
TABLE = hide_cells(MADE, 0.3, random_state=0)[0]
OTHER = TABLE[::-1].reset_index(drop=True)[: N - 10]


def light(**parameters):
    """One step an epoch: ten epochs, and two more on the held-out cells."""
    small = dict(max_iter=12, latent_dim=2, hidden_layer_sizes=(8,), n_members=1, batch_size=N)
    return HeterogeneousVAEImputer(**small | dict(random_state=0, device="cpu") | parameters)


FITTED = light().fit(TABLE)
EXPECTED = FITTED.transform(TABLE)


def assert_as_it_was(estimator, state):
    """It holds the very objects that it held before."""
    assert vars(estimator).keys() == state.keys()
    assert all(vars(estimator)[name] is value for name, value in state.items())
    if "_engine" not in state:
        with pytest.raises(NotFittedError):
            estimator.transform(TABLE)


def same(some, others):
    pd.testing.assert_frame_equal(some, others, check_exact=True)
    return True


# Anywhere


@contextmanager
def raising(error, at=None):
    """Raise `error` where the line `at` of fit begins; yields the lines that were begun."""
    watched = {
        function.__code__
        for function in (HeterogeneousVAEImputer.fit, HeterogeneousVAEImputer._fit, Engine.fit)
    }
    begun = {}

    def in_function(frame, event, _):
        line = frame.f_code.co_qualname, frame.f_lineno
        first = event == "line" and begun.setdefault(line, frame) is frame
        if first and line == at:
            begun[line] = None
            raise error
        return in_function

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: in_function if frame.f_code in watched else None)
    try:
        yield begun
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("case", ["not fitted", "fitted", "going on"])
def test_a_fault_in_any_line_of_fit(case, error):
    estimator = copy.deepcopy(light() if case == "not fitted" else FITTED)
    estimator.set_params(max_iter=2, add_indicator=True, warm_start=case == "going on")
    with raising(None) as lines:
        expected = copy.deepcopy(estimator).fit(OTHER).transform(OTHER)
    assert len(lines) > 60
    state = dict(vars(estimator))
    random_numbers, n_threads = torch.get_rng_state(), torch.get_num_threads()
    for line in lines:
        with raising(error, line), pytest.raises(error):
            estimator.fit(OTHER)
        if estimator.__dict__.get("n_iter_") == 2:  # it was about to return
            assert line == [*lines][-1]
            break
        assert_as_it_was(estimator, state)
    else:
        pytest.fail("no line of fit is about to return")
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert torch.get_num_threads() == n_threads
    assert torch.is_grad_enabled()
    assert same(estimator.transform(OTHER), expected)
    if case == "not fitted":
        assert same(estimator.fit(OTHER).transform(OTHER), expected)


# Deep inside


class Faulty(ELBO):
    """The objective, but that something happens at a step, counted from 1."""

    event, at, step = None, float("inf"), 0

    def __call__(self, *args, **kwargs):
        Faulty.step += 1
        loss = super().__call__(*args, **kwargs)
        return Faulty.event(loss) if Faulty.step >= Faulty.at else loss


@pytest.fixture
def at_step(monkeypatch):
    """(step, event) -> from that step on, the event happens to the loss."""
    monkeypatch.setitem(OBJECTIVES, "elbo", Faulty)

    def begin(step, event):
        Faulty.event, Faulty.at, Faulty.step = staticmethod(event), step, 0

    return begin


def fail(*args, **kwargs):
    raise ZeroDivisionError("of somebody else")


def diverge(loss):
    return replace(loss, features=loss.features * torch.nan, total=loss.total * torch.nan)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("step", [1, 2, 7, 10, 11, 12])
def test_a_fault_in_any_epoch(at_step, step, warm_start):
    """The last two are those with the held-out cells. What training goes on from is not touched."""
    estimator = copy.deepcopy(FITTED).set_params(warm_start=warm_start, moo="gradnorm")
    estimator.fit(TABLE)
    state, before = dict(vars(estimator)), estimator.transform(TABLE)
    undisturbed = copy.deepcopy(estimator).fit(OTHER).transform(OTHER)
    at_step(step, fail)
    with pytest.raises(ZeroDivisionError):
        estimator.fit(OTHER)
    assert Faulty.step == step
    assert_as_it_was(estimator, state)
    assert same(estimator.transform(TABLE), before)
    at_step(1000, fail)
    assert same(estimator.fit(OTHER).transform(OTHER), undisturbed)


def test_divergence(at_step):
    at_step(3, diverge)
    for estimator in (light(), copy.deepcopy(FITTED)):
        state = dict(vars(estimator.set_params(batch_size=1)))
        with pytest.raises(FloatingPointError, match="Lower learning_rate_init"):
            estimator.fit(OTHER)
        assert_as_it_was(estimator, state)
    assert same(estimator.transform(TABLE), EXPECTED)


PLACES = {
    "scales": "skhvae.encoding.NumericCodec.__init__",
    "levels": "skhvae.encoding.LevelCodec.read",
    "network": "skhvae.models.VAE.encode",
    "strategy": "skhvae.moo.EqualNorm.weights",
    "held-out cells": "skhvae.held_out.HeldOutCells.errors",
    "errors": "skhvae.evaluation._errors._row",
    "repetitions": "skhvae.repeats.RepeatedRows.look_up",
    "explanations": "skhvae.gaps.GapRegression.__init__",
    "indicators": "sklearn.impute.MissingIndicator.fit",
}


WITHIN_TRAINING = {
    "network",
    "strategy",
    "held-out cells",
}  # which an interruption ends, and no more


@pytest.mark.parametrize(
    ("error", "place"),
    [(RuntimeError, place) for place in PLACES]
    + [(KeyboardInterrupt, place) for place in PLACES if place not in WITHIN_TRAINING],
)
def test_a_fault_deep_inside(error, place, monkeypatch):
    def raising(*args, **kwargs):
        raise error("deep inside")

    estimator = copy.deepcopy(FITTED).set_params(mechanism="mnar", add_indicator=True)
    state = dict(vars(estimator))
    with monkeypatch.context() as patch:
        patch.setattr(PLACES[place], raising)
        with pytest.raises(error, match="deep inside"):
            estimator.fit(pd.concat([TABLE] * 3, ignore_index=True))
    assert_as_it_was(estimator, state)
    assert same(estimator.transform(TABLE), EXPECTED)


@pytest.mark.parametrize("place", ["skhvae.codecs.NumericCodec.write", "skhvae.models.VAE.encode"])
def test_a_fault_in_transform(place, monkeypatch):
    estimator, table = copy.deepcopy(FITTED), TABLE.copy(deep=True)
    state = dict(vars(estimator))
    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        for use in (estimator.transform, estimator.score, estimator.score_features):
            with pytest.raises(ZeroDivisionError):
                use(table)
    assert_as_it_was(estimator, state)
    assert same(table, TABLE)
    assert same(estimator.transform(table), EXPECTED)


# Ctrl-C


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("epoch", range(1, 13))
def test_ctrl_c_in_any_epoch(at_step, epoch, early_stopping):
    estimator = light(early_stopping=early_stopping, verbose=0)
    at_step(epoch, interrupt)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        estimator.fit(TABLE)
    (warning,) = given
    assert warning.category is RuntimeWarning
    last_stretch = early_stopping and epoch > 10
    says = "in its last stretch" if last_stretch else f"in epoch {epoch} of 12;"
    assert f"Training was interrupted {says}" in str(warning.message)
    assert estimator.n_iter_ == len(estimator.history_) == epoch - 1
    completed = estimator.transform(TABLE)
    assert not completed.isna().any(axis=None)
    assert (estimator.feature_errors_ is not None) == early_stopping
    if last_stretch:  # the model before it
        at_step(11, interrupt)
        with pytest.warns(RuntimeWarning):
            assert same(light().fit_transform(TABLE), completed)
    assert same(copy.deepcopy(estimator).transform(TABLE), completed)
    at_step(1000, interrupt)
    assert same(estimator.set_params(early_stopping=True).fit(TABLE).transform(TABLE), EXPECTED)


def test_ctrl_c_while_held_out_cells_are_measured(monkeypatch):
    calls = []
    measure = HeldOutCells.errors

    def errors(*args):
        calls.append(1)
        return interrupt() if len(calls) == 4 else measure(*args)

    monkeypatch.setattr(HeldOutCells, "errors", errors)
    estimator = light()
    with pytest.warns(RuntimeWarning, match="interrupted in epoch 4 of 12"):
        estimator.fit(TABLE)
    assert estimator.n_iter_ == 3
    assert not estimator.transform(TABLE).isna().any(axis=None)
