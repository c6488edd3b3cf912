"""A fit that was broken off goes on from where it was, and ends as if it had not been."""

import os
import signal
import subprocess
import sys
import warnings

import pytest
import torch
from pandas.testing import assert_frame_equal

from skhvae import HeterogeneousVAEImputer, checkpoint
from skhvae.checkpoint import Checkpoint
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.run import TrainingRun

TABLE = hide_cells(make_heterogeneous(80, random_state=0).data, random_state=0)[0]
N_EPOCHS, IN_LAST_STRETCH = 8, 8
CASES = {
    "memory of a strategy": dict(moo="gradnorm", n_members=2),
    "another kind of memory, dropout": dict(moo="nash-mtl", model="vae", dropout=0.1),
    "a buffer that is annealed": dict(moo="graddrop", model="hivae"),
    "no held-out cells": dict(early_stopping=False),
    "a plateau at once": dict(n_iter_no_change=1, tol=10.0),
}


@pytest.fixture(autouse=True)
def _after_every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "_SECONDS_BETWEEN", 0.0)


def imputer(folder, **options):
    options = dict(n_members=1, random_state=0) | options
    return HeterogeneousVAEImputer(
        max_iter=N_EPOCHS,
        latent_dim=4,
        hidden_layer_sizes=(8,),
        batch_size=20,
        checkpoint_dir=folder,
        **options,
    )


def assert_same_fit(found, expected):
    assert_frame_equal(found.transform(TABLE), expected.transform(TABLE))
    for result in ("history_", "gradient_conflict_", "feature_errors_", "missingness_"):
        found_one, expected_one = (getattr(fit, result) for fit in (found, expected))
        if expected_one is None:
            assert found_one is None
            continue
        timeless = [name for name in expected_one if name != "seconds"]
        assert_frame_equal(found_one[timeless], expected_one[timeless])


class Crash(Exception):
    pass


def break_off(folder, epoch, monkeypatch, error=Crash, **options):
    """A fit that ends after so many epochs."""
    add = TrainingRun.add

    def add_and_break(run, record, report, n_epochs):
        add(run, record, report, n_epochs)
        if len(run.history) == epoch:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "add", add_and_break)
        if error is KeyboardInterrupt:
            with pytest.warns(RuntimeWarning, match="interrupted"):
                return imputer(folder, **options).fit(TABLE)
        with pytest.raises(error):
            imputer(folder, **options).fit(TABLE)


def count_epochs(monkeypatch):
    epochs, add = [], TrainingRun.add

    def counted(run, record, *rest):
        epochs.append(record)
        add(run, record, *rest)

    monkeypatch.setattr(TrainingRun, "add", counted)
    return epochs


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("epoch", [1, 2, 5, IN_LAST_STRETCH])
def test_goes_on_after_a_crash(options, epoch, tmp_path, monkeypatch):
    expected = imputer(None, **options).fit(TABLE)
    epoch = min(epoch, expected.n_iter_)
    break_off(tmp_path, epoch, monkeypatch, **options)
    assert list(tmp_path.iterdir())
    epochs = count_epochs(monkeypatch)
    assert_same_fit(imputer(tmp_path, **options).fit(TABLE), expected)
    assert len(epochs) == expected.n_iter_ - epoch + 1, "the one that was broken off is made again"
    assert not list(tmp_path.iterdir()), "what is not needed any more is deleted"


KILLED = """
import os, signal
from skhvae import checkpoint
from skhvae.run import TrainingRun
from tests.test_checkpoint import TABLE, imputer

checkpoint._SECONDS_BETWEEN = 0.0
add = TrainingRun.add
def add_and_die(run, *rest):
    add(run, *rest)
    if len(run.history) == {epoch}:
        os.kill(os.getpid(), signal.SIGKILL)
TrainingRun.add = add_and_die
imputer({folder!r}).fit(TABLE)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
@pytest.mark.parametrize("epoch", [3, IN_LAST_STRETCH])
def test_goes_on_after_a_kill(epoch, tmp_path, request):
    code = KILLED.format(epoch=epoch, folder=str(tmp_path))
    root = str(request.config.rootpath)
    dead = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir())
    assert_same_fit(imputer(tmp_path).fit(TABLE), imputer(None).fit(TABLE))


def test_goes_on_after_ctrl_c(tmp_path, monkeypatch):
    stopped = break_off(tmp_path, 3, monkeypatch, KeyboardInterrupt)
    assert stopped.n_iter_ == 3
    assert_same_fit(imputer(tmp_path).fit(TABLE), imputer(None).fit(TABLE))


def test_an_open_seed_is_that_of_the_fit_that_was_broken_off(tmp_path, monkeypatch):
    break_off(tmp_path, 3, monkeypatch, random_state=None)
    seeds = [torch.load(path)["seed"] for path in tmp_path.glob("*-seed.pt")]
    epochs = count_epochs(monkeypatch)
    found = imputer(tmp_path, random_state=None).fit(TABLE)
    assert len(seeds) == 1
    assert len(epochs) == N_EPOCHS - 2
    monkeypatch.setattr("skhvae.imputer.check_random_state", lambda _: Fixed(seeds[0]))
    assert_same_fit(found, imputer(None).fit(TABLE))


class Fixed:
    def __init__(self, seed):
        self.seed = seed

    def randint(self, _):
        return self.seed


@pytest.mark.parametrize(
    "options", [{"random_state": 1}, {"beta": 0.2}, {"moo": "sum"}, {"n_members": 2}]
)
def test_another_call_does_not_go_on_from_it(options, tmp_path, monkeypatch):
    break_off(tmp_path, 3, monkeypatch)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert_same_fit(imputer(tmp_path, **options).fit(TABLE), imputer(None, **options).fit(TABLE))
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_another_table_does_not_go_on_from_it(tmp_path, monkeypatch):
    break_off(tmp_path, 3, monkeypatch)
    epochs = count_epochs(monkeypatch)
    imputer(tmp_path).fit(TABLE.iloc[:-1])
    assert len(epochs) == N_EPOCHS


def test_a_warm_start_goes_on_from_its_own_checkpoint(tmp_path, monkeypatch):
    expected = imputer(None, warm_start=True).fit(TABLE).fit(TABLE)
    begun = imputer(tmp_path, warm_start=True).fit(TABLE)
    with monkeypatch.context() as patch:
        add = TrainingRun.add

        def add_and_break(run, *rest):
            add(run, *rest)
            if len(run.history) == 4:
                raise Crash

        patch.setattr(TrainingRun, "add", add_and_break)
        with pytest.raises(Crash):
            begun.fit(TABLE)
    epochs = count_epochs(monkeypatch)
    assert_same_fit(begun.fit(TABLE), expected)
    assert len(epochs) == N_EPOCHS - 3


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" + b])
def test_a_damaged_checkpoint_is_not_used(damage, tmp_path, monkeypatch):
    break_off(tmp_path, 3, monkeypatch)
    (path,) = tmp_path.glob("*-training.pt")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match="cannot be read"):
        found = imputer(tmp_path).fit(TABLE)
    assert_same_fit(found, imputer(None).fit(TABLE))


def test_a_full_disk_leaves_the_last_checkpoint_and_no_litter(tmp_path, monkeypatch):
    kept = Checkpoint(tmp_path / "a.pt")
    kept.save(lambda: {"epoch": 1}, now=True)

    def full(state, file):
        file.write(b"some of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space"):
            kept.save(lambda: {"epoch": 2}, now=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
    assert kept.load("cpu") == {"epoch": 1}


def test_it_is_written_every_so_often(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_SECONDS_BETWEEN", 3600.0)
    kept, asked = Checkpoint(tmp_path / "a.pt"), []
    for _ in range(3):
        kept.save(lambda: asked.append(1) or {})
    assert len(asked) == 1
    kept.save(lambda: asked.append(1) or {}, now=True)
    assert len(asked) == 2


def test_what_cannot_be_pickled_is_refused_before_training(tmp_path, monkeypatch):
    epochs = count_epochs(monkeypatch)
    with pytest.raises(TypeError, match="checkpoint_dir needs parameters that can be pickled"):
        imputer(tmp_path, moo=lambda gramian: gramian.diagonal()).fit(TABLE)
    assert not epochs


def test_the_folder_is_made(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        imputer(tmp_path / "a" / "b", n_members=1).fit(TABLE)
    assert not list((tmp_path / "a" / "b").iterdir())
