"""Tables that grow: a pass over every chunk, and what is remembered from one to the next."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from cuda_device import needs_cuda
from light import light
from pandas.testing import assert_frame_equal

from skhvae import online
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.models import MODELS
from skhvae.online import OnlineTraining
from skhvae.schema import infer_schema

COMPLETE = make_heterogeneous(240, random_state=0).data
TABLE = hide_cells(COMPLETE, random_state=0)[0]
CHUNKS = [TABLE[start : start + 60] for start in range(0, 240, 60)]


def learned(chunks=CHUNKS, **options):
    fitted = light(**options)
    for chunk in chunks:
        assert fitted.partial_fit(chunk) is fitted
    return fitted


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_members", [1, 2])
def test_a_table_is_learned_chunk_by_chunk(model, n_members):
    fitted = learned(model=model, n_members=n_members)
    assert fitted.n_samples_seen_ == 240
    assert fitted.n_iter_ == len(fitted.history_) == 4
    complete = fitted.transform(TABLE)
    assert not complete.isna().to_numpy().any()
    assert_frame_equal(complete[TABLE.notna()], TABLE[TABLE.notna()])


@pytest.mark.slow
def test_it_learns():
    """Several passes are better than mean and mode, by about as much as a fit."""
    passes = learned(CHUNKS * 40, hidden_layer_sizes=(32,))
    errors = passes.score_features(TABLE, COMPLETE)
    assert errors["error"].mean() < 0.85 * errors["baseline"].mean()
    whole = light(hidden_layer_sizes=(32,), max_iter=160).fit(TABLE)
    assert errors["error"].mean() < 1.1 * whole.score_features(TABLE, COMPLETE)["error"].mean()


def test_errors_are_of_cells_that_were_not_learned_yet(monkeypatch):
    fitted = light().partial_fit(CHUNKS[0])
    assert fitted.feature_errors_ is None
    order = []
    errors, learn = type(fitted._engine)._errors, OnlineTraining.learn
    monkeypatch.setattr(
        type(fitted._engine), "_errors", lambda *a, **k: order.append("errors") or errors(*a, **k)
    )
    monkeypatch.setattr(
        OnlineTraining, "learn", lambda *a, **k: order.append("learn") or learn(*a, **k)
    )
    fitted.partial_fit(CHUNKS[1])
    assert order == ["errors", "learn"]
    n_cells = fitted.feature_errors_["n_cells"].sum()
    assert 0.05 < n_cells / CHUNKS[1].notna().sum().sum() < 0.15
    assert fitted.history_["held_out_error"].isna().tolist() == [True, False]
    assert fitted.history_["held_out_error"].iloc[-1] == fitted.feature_errors_["error"].mean()
    assert learned(early_stopping=False).feature_errors_ is None


def test_the_same_seed_learns_the_same():
    first, second = learned(moo="graddrop"), learned(moo="graddrop")
    assert_frame_equal(first.transform(TABLE), second.transform(TABLE))
    assert not learned(random_state=1).transform(TABLE).equals(first.transform(TABLE))


def test_every_chunk_has_numbers_of_its_own():
    """The same chunk twice does not hide the same cells."""
    fitted = light().partial_fit(CHUNKS[0]).partial_fit(CHUNKS[1])
    cells = fitted.feature_errors_["n_cells"]
    assert not cells.equals(fitted.partial_fit(CHUNKS[1]).feature_errors_["n_cells"])


@pytest.mark.parametrize("again", [pickle, None])
def test_what_is_remembered_survives(again, tmp_path):
    """Pickles and files go on as if they had never been written."""
    fitted = learned(CHUNKS[:2], moo="gradnorm")
    if again:
        copied = pickle.loads(pickle.dumps(fitted))
    else:
        from skhvae import load, save

        save(fitted, tmp_path / "imputer.skhvae")
        copied = load(tmp_path / "imputer.skhvae")
    for chunk in CHUNKS[2:]:
        fitted.partial_fit(chunk)
        copied.partial_fit(chunk)
    assert_frame_equal(copied.transform(TABLE), fitted.transform(TABLE))


def test_moments_and_steps_are_remembered():
    remembered = learned()._engine.online
    assert remembered.n_steps == 4  # 60 rows, 32 a step
    assert {m["step"].item() for m in remembered.moments.values()} == {4}
    assert remembered.n_rows == 240


def test_the_weights_that_impute_are_an_average():
    fitted = learned()
    averaged, last = fitted._engine.model.state_dict(), fitted._engine.online.weights
    assert averaged.keys() == last.keys()
    assert any(not torch.equal(averaged[name], last[name]) for name in last)


def test_a_failure_leaves_everything_as_it_was(monkeypatch):
    fitted = learned(CHUNKS[:2])
    before = pickle.dumps(fitted.transform(TABLE)), fitted.n_samples_seen_, fitted.n_iter_
    monkeypatch.setattr(OnlineTraining, "sample", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fitted.partial_fit(CHUNKS[2])
    assert (pickle.dumps(fitted.transform(TABLE)), fitted.n_samples_seen_, fitted.n_iter_) == before
    monkeypatch.undo()
    fitted.partial_fit(CHUNKS[2])
    assert_frame_equal(fitted.transform(TABLE), learned(CHUNKS[:3]).transform(TABLE))


def test_it_goes_on_from_a_fit_and_a_fit_starts_anew():
    fitted = light(max_iter=3).fit(TABLE)
    before = fitted.transform(TABLE)
    fitted.partial_fit(CHUNKS[0])
    assert fitted.n_samples_seen_ == 300
    assert fitted.n_iter_ == 4
    assert not fitted.transform(TABLE).equals(before)
    assert_frame_equal(fitted.fit(TABLE).transform(TABLE), before)


def test_columns_are_those_of_the_first_chunk():
    fitted = light().partial_fit(CHUNKS[0])
    with pytest.raises(ValueError, match="feature names"):
        fitted.partial_fit(CHUNKS[1].iloc[:, ::-1])
    with pytest.raises(ValueError, match="another latent_dim"):
        fitted.set_params(latent_dim=5).partial_fit(CHUNKS[1])


def test_chunks_can_be_small_once_it_has_begun():
    with pytest.raises(ValueError, match="At least 2 rows"):
        light().partial_fit(TABLE[:1])
    fitted = learned([TABLE[:50], TABLE[50:51], TABLE[51:52]])
    assert fitted.n_samples_seen_ == 52
    nothing = pd.DataFrame(np.nan, index=[0], columns=TABLE.columns, dtype=object)
    assert fitted.partial_fit(nothing.astype(TABLE.dtypes, errors="ignore")).n_samples_seen_ == 53


LEVELS = pd.DataFrame(
    {
        "declared": pd.Categorical(["a", "b"] * 20, categories=["a", "b", "c"]),
        "text": ["u", "v"] * 20,
        "x": np.arange(40.0),
    }
)
LATER = LEVELS.assign(declared=pd.Categorical(["c"] * 40, ["a", "b", "c"]), text="w")


QUICK = dict(batch_size=5, learning_rate_init=0.02)


def test_declared_levels_are_learned_when_they_come():
    fitted = light(**QUICK).partial_fit(LEVELS)
    assert fitted.schema_["declared"].levels.tolist() == ["a", "b", "c"]
    for _ in range(40):
        fitted.partial_fit(LATER)
    gap = LATER.assign(declared=pd.Categorical([None] * 40, ["a", "b", "c"]))
    assert set(fitted.transform(gap)["declared"]) == {"c"}


def test_other_new_levels_are_unknown():
    fitted = light().partial_fit(LEVELS)
    fitted.partial_fit(LATER)
    assert fitted.schema_["text"].levels.tolist() == ["u", "v"]
    assert set(fitted.transform(LATER)["text"]) == {"w"}, "observed cells are never changed"
    strict = light(handle_unknown="error").partial_fit(LEVELS)
    with pytest.raises(ValueError, match="Column 'text': level"):
        strict.partial_fit(LATER)


def test_a_schema_can_be_given():
    schema = infer_schema(pd.concat([LEVELS, LATER]))
    fitted = light(**QUICK).partial_fit(LEVELS, schema=schema)
    assert fitted.schema_ is schema
    for _ in range(40):
        fitted.partial_fit(LATER)
    assert set(fitted.transform(LATER.assign(text=None))["text"]) == {"w"}


def test_a_schema_of_other_columns_is_refused():
    with pytest.raises(ValueError, match="The schema is of columns"):
        light().partial_fit(LEVELS, schema=infer_schema(LEVELS[["x"]]))
    with pytest.raises(ValueError, match="Column 'x': has no observed cell"):
        light().partial_fit(LEVELS.assign(x=np.nan), schema=infer_schema(LEVELS))


def test_why_cells_are_missing_is_asked_when_rows_have_doubled(monkeypatch):
    asked = []
    engine = type(light().partial_fit(CHUNKS[0])._engine)
    explain = engine._explain
    monkeypatch.setattr(
        engine, "_explain", lambda self, v, o, h: asked.append(len(v)) or explain(self, v, o, h)
    )
    learned()
    assert asked == [60, 120, 240]


def test_the_sample_of_all_rows_is_fair_and_bounded(monkeypatch):
    monkeypatch.setattr(online, "_KEPT_ROWS", 20)
    counts = torch.zeros(200)
    for seed in range(300):
        training, generator = OnlineTraining(), torch.Generator().manual_seed(seed)
        for start in range(0, 200, 40):
            rows = torch.arange(start, start + 40.0).unsqueeze(1)
            training.sample(rows, rows >= 0, generator)
        assert len(training.values) == 20
        counts[training.values[:, 0].long()] += 1
    expected = 300 * 20 / 200
    assert ((counts - expected) ** 2 / expected).sum() < 200 + 5 * (2 * 200) ** 0.5  # chi squared


def test_chunks_of_chunks_are_refused():
    with pytest.raises(TypeError, match="chunk by chunk"):
        light().partial_fit(iter(CHUNKS))


@needs_cuda
def test_what_is_remembered_moves_between_devices():
    fitted = learned(CHUNKS[:2], device="cuda")
    moved = pickle.loads(pickle.dumps(fitted)).set_params(device="cpu")
    moved.partial_fit(CHUNKS[2])
    assert not moved.transform(TABLE).isna().to_numpy().any()
