"""scikit-learn's callbacks: what they are told, what they are given, and what they can do."""

import importlib.util
import pickle
import re
import sys

import numpy as np
import pandas as pd
import pytest
from light import light as small
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhvae import callbacks, load, save
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells

sklearn_callback = pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")

COMPLETE = make_heterogeneous(80, random_state=0).data
TABLE = hide_cells(COMPLETE, random_state=0)[0]
WEIGHTS = np.linspace(0.5, 1.5, len(TABLE))


def light(*callbacks, **parameters):
    imputer = small(**dict(max_iter=6) | parameters)
    return imputer.set_callbacks(*callbacks) if callbacks else imputer


class Recorder:
    """Notes every call, and what it is given."""

    def __init__(self):
        self.calls = []

    def _note(self, what, estimator, context, **given):
        self.calls.append((what, estimator, context, given))

    def setup(self, estimator, context):
        self._note("setup", estimator, context)

    def teardown(self, estimator, context):
        self._note("teardown", estimator, context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self._note("begin", estimator, context, X=X, y=y, metadata=metadata)

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self._note("end", estimator, context, X=X, y=y, metadata=metadata, fitted=fitted_estimator)

    def ends(self):
        """(task name, fitted estimator) of every task that ended."""
        return [
            (context.task_name, given["fitted"])
            for what, _, context, given in self.calls
            if what == "end"
        ]


class Stopper(Recorder):
    """Asks to stop after some epochs."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self._note("end", estimator, context, fitted=fitted_estimator)
        return context.task_name == "epoch" and context.task_id + 1 == self.after


class Failing(Recorder):
    def __init__(self, where):
        super().__init__()
        self.where = where

    def _note(self, what, estimator, context, **given):
        super()._note(what, estimator, context, **given)
        if self.where in (what, f"{what} {context.task_name}"):
            raise RuntimeError(f"in {what}")


def assert_same(first, second):
    pd.testing.assert_frame_equal(first.transform(TABLE), second.transform(TABLE), check_exact=True)


# What they are told


@pytest.mark.parametrize("early_stopping", [True, False])
def test_epochs_are_the_subtasks_of_fit(early_stopping):
    recorder = Recorder()
    imputer = light(recorder, early_stopping=early_stopping).fit(
        TABLE, COMPLETE, sample_weight=WEIGHTS
    )
    assert imputer.n_iter_ == 6
    tasks = [(what, context.task_name) for what, _, context, _ in recorder.calls]
    epochs = [("begin", "epoch"), ("end", "epoch")] * 6
    assert tasks == [
        ("setup", "fit"),
        ("begin", "fit"),
        *epochs,
        ("end", "fit"),
        ("teardown", "fit"),
    ]
    for what, estimator, context, given in recorder.calls:
        assert estimator is imputer
        assert context.max_subtasks == (6 if context.task_name == "fit" else 0)
        if what in ("begin", "end"):
            assert given["X"] is TABLE
            assert given["y"] is COMPLETE
            assert given["metadata"]["sample_weight"] is WEIGHTS


def test_callbacks_change_nothing():
    assert_same(light(Recorder()).fit(TABLE), light().fit(TABLE))


def test_no_weights_are_no_metadata():
    recorder = Recorder()
    light(recorder).fit(TABLE)
    assert all(given.get("metadata") is None for *_, given in recorder.calls)


def test_nothing_to_learn():
    recorder = Recorder()
    light(recorder).fit(pd.DataFrame({"a": [1.0, np.nan, 1.0]}))
    assert [what for what, *_ in recorder.calls] == ["setup", "begin", "end", "teardown"]
    ((_, fitted),) = recorder.ends()
    assert fitted.transform(pd.DataFrame({"a": [np.nan]}))["a"].tolist() == [1.0]


def test_bad_input_calls_nobody():
    recorder = Recorder()
    with pytest.raises(ValueError, match=r"weight.*zero"):
        light(recorder).fit(TABLE, sample_weight=np.zeros(len(TABLE)))
    assert not recorder.calls


# What they are given


def test_an_estimator_as_if_fit_had_ended_with_this_epoch():
    options = dict(mechanism="mar", use_repeated_rows=False, add_indicator=True, max_iter=8)
    recorder = Recorder()
    imputer = light(recorder, **options).fit(TABLE)
    *epochs, (_, last) = recorder.ends()
    assert_same(last, imputer)
    completed = []
    for epoch, (_, fitted) in enumerate(epochs[:6], 1):
        assert fitted.n_iter_ == len(fitted.history_) == epoch
        expected = light(Stopper(epoch), **options).fit(TABLE)
        assert_same(fitted, expected)
        assert list(fitted.get_feature_names_out()) == list(expected.get_feature_names_out())
        assert fitted.score(TABLE, COMPLETE) == expected.score(TABLE, COMPLETE)
        completed.append(fitted.transform(TABLE))
    assert len({str(table.to_numpy().tolist()) for table in completed}) > 2


class Keeper(Recorder):
    """Keeps what it is given, as a checkpoint would."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self._note("end", estimator, context, fitted=pickle.dumps(fitted_estimator))

    def __getstate__(self):
        return {"calls": []}


@pytest.mark.parametrize("moo", ["pcgrad", "gradnorm"])
def test_the_given_estimator_can_be_kept(moo):
    keeper = Keeper()
    imputer = light(keeper, moo=moo).fit(TABLE)
    copies = [pickle.loads(kept) for _, kept in keeper.ends()]
    assert [copy.n_iter_ for copy in copies] == [1, 2, 3, 4, 5, 6, 6]
    assert_same(copies[-1], imputer)
    assert not copies[0].transform(TABLE).equals(imputer.transform(TABLE))


def test_a_further_fit_gives_the_new_state_not_the_old_one():
    recorder = Recorder()
    imputer = light(warm_start=True).fit(TABLE)
    before = imputer.transform(TABLE)
    imputer.set_callbacks(recorder).fit(TABLE)
    assert [fitted.n_iter_ for _, fitted in recorder.ends()] == [1, 2, 3, 4, 5, 6, 6]
    assert not recorder.ends()[2][1].transform(TABLE).equals(before)


# What they can do


@pytest.mark.parametrize("after", [1, 3, 5, 6])
def test_stopping(after):
    """Of six epochs the last one is on the held-out cells too."""
    stopper = Stopper(after)
    imputer = light(stopper).fit(TABLE)
    assert imputer.n_iter_ == after
    assert [name for name, _ in stopper.ends()] == ["epoch"] * after + ["fit"]
    assert not imputer.transform(TABLE).isna().any(axis=None)
    assert imputer.feature_errors_ is not None
    if after == 6:  # there was nothing left to stop
        assert_same(imputer, light().fit(TABLE))


@pytest.mark.parametrize(
    "where", ["setup", "begin fit", "begin epoch", "end epoch", "end fit", "teardown"]
)
@pytest.mark.parametrize("before", [False, True], ids=["first", "further"])
def test_a_failing_callback_leaves_the_estimator_as_it_was(where, before):
    failing, other = Failing(where), Recorder()
    imputer = light()
    if before:
        imputer.fit(TABLE[:40])
    imputer.set_callbacks(failing, other)
    attributes = dict(vars(imputer))
    with pytest.raises(RuntimeError, match="in "):
        imputer.fit(TABLE)
    assert vars(imputer).keys() == attributes.keys()
    assert all(vars(imputer)[name] is value for name, value in attributes.items())
    if where != "setup":  # whoever was set up is also torn down
        assert other.calls[-1][0] == "teardown"
    assert_same(imputer.set_callbacks().fit(TABLE), light().fit(TABLE))


def test_a_fitted_estimator_keeps_its_callbacks_and_nothing_of_the_fit():
    recorder = Recorder()
    imputer = light(recorder).fit(TABLE)
    assert set(vars(imputer)) == set(vars(light().fit(TABLE))) | {"_skl_callbacks"}
    assert imputer._skl_callbacks == [recorder]
    n_calls = len(recorder.calls)
    imputer.fit(TABLE)
    assert len(recorder.calls) == 2 * n_calls


@pytest.mark.parametrize("after", [3, 6])
def test_stopping_is_the_end_and_leaves_no_checkpoint(after, tmp_path):
    stopped = light(Stopper(after), checkpoint_dir=tmp_path).fit(TABLE)
    assert not list(tmp_path.iterdir())
    assert_same(stopped, light(Stopper(after)).fit(TABLE))


class Breaking(Recorder):
    """Fails when the fourth epoch begins."""

    def _note(self, what, estimator, context, **given):
        if what == "begin" and context.task_name == "epoch" and context.task_id == 3:
            raise RuntimeError("in the fourth epoch")


def test_callbacks_of_a_fit_that_goes_on_from_a_checkpoint(tmp_path):
    with pytest.raises(RuntimeError, match="in the fourth epoch"):
        light(Breaking(), checkpoint_dir=tmp_path).fit(TABLE)
    assert list(tmp_path.iterdir())
    recorder = Recorder()
    imputer = light(recorder, checkpoint_dir=tmp_path).fit(TABLE)
    assert_same(imputer, light().fit(TABLE))
    assert [fitted.n_iter_ for _, fitted in recorder.ends()][-2:] == [6, 6]
    assert not list(tmp_path.iterdir())


def test_callbacks_are_not_saved(tmp_path):
    pytest.importorskip("safetensors")
    imputer = light(Recorder()).fit(TABLE)
    save(imputer, tmp_path / "imputer.skhvae")
    loaded = load(tmp_path / "imputer.skhvae")
    assert not hasattr(loaded, "_skl_callbacks")
    assert_same(loaded, imputer)


# scikit-learn's own


def scored(imputer, X, y, **metadata):
    return {"minus error": imputer.score(X, y, **metadata)}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_scoring_monitor(weights):
    monitor = sklearn_callback.ScoringMonitor(scoring=scored)
    imputer = light(monitor).fit(TABLE, COMPLETE, sample_weight=weights)
    log = monitor.get_logs().data_as_pandas
    assert log["task_name"].tolist() == ["fit"] + ["epoch"] * 6
    assert log["minus error"].notna().all()
    assert log["minus error"][0] == imputer.score(TABLE, COMPLETE, sample_weight=weights)
    assert log["minus error"].nunique() > 1


def test_scoring_monitor_with_any_target_hides_cells():
    monitor = sklearn_callback.ScoringMonitor(scoring=scored)
    imputer = light(monitor).fit(TABLE, np.zeros(len(TABLE)))
    assert monitor.get_logs().data_as_pandas["minus error"][0] == imputer.score(TABLE)


def test_progress_bar(capsys):
    pytest.importorskip("rich")
    light(sklearn_callback.ProgressBar()).fit(TABLE)
    assert re.search(r"HeterogeneousVAEImputer - fit\b.*100%", capsys.readouterr().out)


class Everywhere(Recorder):
    """Is handed down to the estimators inside of others."""

    max_propagation_depth = None


def test_in_a_pipeline():
    recorder = Everywhere()
    numbers = TABLE[["real_1", "real_2"]]
    model = make_pipeline(light(max_iter=2), Ridge())
    with pytest.warns(UserWarning, match="Ridge does not support callbacks"):
        model.set_callbacks(recorder).fit(numbers, COMPLETE["real_2"])
    assert [name for name, _ in recorder.ends()].count("epoch") == 2
    assert not hasattr(model[0], "_skl_callbacks")
    assert not hasattr(model[0], "_parent_callback_ctx")


def test_in_a_search():
    recorder = Everywhere()
    search = GridSearchCV(light(), {"max_iter": [1, 2]}, cv=2)
    search.set_callbacks(recorder).fit(TABLE)
    assert [name for name, _ in recorder.ends()].count("epoch") == 2 * (
        1 + 2
    ) + search.best_params_["max_iter"]
    assert not hasattr(search.best_estimator_, "_parent_callback_ctx")


def test_clones_share_them():
    recorder = Recorder()
    clone(light(recorder)).fit(TABLE)
    assert recorder.calls


# Older scikit-learn


def test_without_callbacks(monkeypatch):
    """What the module is then does what is asked of it, and calls nobody."""
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("without_callbacks", callbacks.__file__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    assert older.CallbackSupportMixin is not sklearn_callback.CallbackSupportMixin

    class Estimator(older.CallbackSupportMixin):
        @older.with_callbacks
        def fit(self):
            task = older.FitTask(self, TABLE, None, None)
            task.begin(3)
            stop = task.end(lambda: pytest.fail("asked for a model"), [])
            task.close({})
            return stop

    assert Estimator().fit() is False
    assert not hasattr(Estimator(), "set_callbacks")
