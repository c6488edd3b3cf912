"""Imputers saved and loaded: whatever they can do, they do the same afterwards."""

import copy
import datetime
import functools
import json
import pickle
import pickletools
import subprocess
import sys
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from column_cases import COLUMNS
from cuda_device import needs_cuda
from frame_cases import CASES
from light import light
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.metadata_routing import get_routing_for_object
from small_problem import PAIRS

import skhvae
from skhvae import HeterogeneousVAEImputer, persistence
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells
from skhvae.likelihoods import LIKELIHOODS, Histogram, HurdleLogNormal, Normal
from skhvae.moo import CAGrad, FromCallable, GradNorm, GradVac, StatefulWeighting, strategy_names

COMPLETE = make_heterogeneous(120, random_state=0).data
COMPLETE["code"] = np.random.default_rng(0).integers(0, 4, 120) * 1.5
TABLE, _ = hide_cells(COMPLETE, random_state=0)


light = functools.partial(light, max_iter=2)


@pytest.fixture(scope="module")
def fitted():
    return light(add_indicator=True).fit(TABLE)


@pytest.fixture
def again(tmp_path):
    """Save, load, and say what came back."""

    def go(imputer):
        skhvae.save(imputer, tmp_path / "imputer.skhvae")
        return skhvae.load(tmp_path / "imputer.skhvae", device="cpu")

    return go


def assert_same(first, second):
    """Equal to the last bit, and of the same kind."""
    assert type(first) is type(second)
    if isinstance(first, pd.DataFrame):
        pd.testing.assert_frame_equal(first, second, check_exact=True)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for value, other in zip(first.values(), second.values(), strict=True):
            assert_same(value, other)
    elif isinstance(first, float):
        np.testing.assert_equal(first, second)
    elif isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == second.dtype
    else:
        assert str(first) == str(second)


def assert_alike(imputer, loaded, table=TABLE):
    """All that a fitted imputer says and does."""
    for name, value in vars(imputer).items():
        if name not in ("_engine", "moo", "likelihoods", "indicator_", "_metadata_request"):
            assert_same(value, getattr(loaded, name))
    assert_same(loaded.transform(table), imputer.transform(table))
    assert_same(loaded.encode(table), imputer.encode(table))
    assert_same(loaded.score_features(table), imputer.score_features(table))
    assert_same(loaded.score(table), imputer.score(table))
    assert_same(loaded.get_feature_names_out(), imputer.get_feature_names_out())


# What a file keeps


def test_everything_is_the_same(fitted, again):
    loaded = again(fitted)
    assert_alike(fitted, loaded)
    assert_same(loaded.score(TABLE, COMPLETE), fitted.score(TABLE, COMPLETE))
    assert_same(vars(loaded.indicator_), vars(fitted.indicator_))
    assert not loaded._engine.model.training
    expected = fitted._engine.model.state_dict()
    for name, tensor in loaded._engine.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
        assert tensor.dtype == expected[name].dtype
    assert all(parameter.requires_grad for parameter in loaded._engine.model.parameters())


def test_what_is_one_thing_stays_one_thing(fitted, again):
    loaded = again(fitted)
    encoder = loaded._engine.encoder
    assert loaded.schema_ is encoder.schema
    assert loaded.feature_errors_ is loaded._engine.held_out_errors
    for feature in encoder.features:
        assert feature is encoder.schema[feature.name]
        assert feature is encoder._codecs[feature.name].feature


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_column(name, again):
    case = COLUMNS[name]
    rest = TABLE[["real_1", "nominal_1"]].iloc[: len(case.column)].set_axis(case.column.index)
    table = rest.assign(x=case.column)
    declared = {"x": case.type} if case.warns else "infer"
    imputer = light(feature_types=declared, early_stopping=False, warm_start=True).fit(table)
    loaded = again(imputer)
    assert_alike(imputer, loaded, table)
    feature, expected = loaded.schema_["x"], imputer.schema_["x"]
    assert feature.dtype == expected.dtype
    pd.testing.assert_series_equal(
        feature.example, expected.example.reset_index(drop=True), check_exact=True
    )
    if expected.levels is not None:
        assert_same(feature.levels, expected.levels)
        for level, other in zip(feature.levels, expected.levels, strict=True):
            assert type(level) is type(other)
    gaps = table.assign(x=pd.Series([None] * len(table), index=table.index, dtype=object))
    assert_same(loaded.transform(gaps), imputer.transform(gaps))
    assert_same(loaded.fit(table).transform(table), imputer.fit(table).transform(table))


@pytest.mark.parametrize("name", CASES)
def test_tables_of_other_libraries(name, again):
    case = CASES[name]
    table = case.table()
    imputer = light(early_stopping=False).fit(table)
    loaded = again(imputer)
    completed, expected = loaded.transform(table), imputer.transform(table)
    assert type(completed) is case.library.kind
    assert case.library.schema(completed) == case.library.schema(expected)
    assert completed.equals(expected)
    assert_same(loaded.score_features(table), imputer.score_features(table))


@pytest.mark.parametrize(("objective", "model"), PAIRS)
@pytest.mark.parametrize("n_members", [1, 2])
def test_models_and_objectives(model, objective, n_members, again):
    imputer = light(
        model=model,
        objective=objective,
        n_members=n_members,
        n_importance_samples=2,
        hidden_layer_sizes=[8, 8],
        dropout=0.1,
        warm_start=True,
    ).fit(TABLE)
    loaded = again(imputer)
    assert_alike(imputer, loaded)
    assert_same(loaded.fit(TABLE).transform(TABLE), imputer.fit(TABLE).transform(TABLE))


CHAINS = [("equal-norm", "pcgrad"), ["gradnorm", "gradvac"]]
INSTANCES = [GradNorm(alpha=0.5), GradVac(0.2), (GradNorm(after=1), CAGrad(c=0.3))]


@pytest.mark.parametrize("moo", [*strategy_names(), *CHAINS, *INSTANCES])
def test_strategies_go_on_from_what_they_remember(moo, again):
    imputer = light(moo=moo, warm_start=True, n_members=2, max_iter=3).fit(TABLE)
    loaded = again(imputer)
    assert type(loaded.moo) is type(imputer.moo)
    assert loaded._engine.recipe.moo == loaded.moo  # strategies are equal if they are the same
    for one in (imputer, loaded):
        one.fit(TABLE)
        one.history_["seconds"] = 0.0
    assert_alike(imputer, loaded)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name, again):
    finite = LIKELIHOODS[name].finite
    columns = ["binary_1"] if finite else ["count_1"]
    if name in ("categorical", "ordinal"):
        columns += ["nominal_1", "ordinal_1"]
    table = TABLE.assign(count_1=TABLE["count_1"] + 1)  # zero is outside some supports
    imputer = light(likelihoods=dict.fromkeys(columns, name)).fit(table)
    assert_alike(imputer, again(imputer), table)


def test_options_of_likelihoods(again):
    families = {
        "real_1": Histogram(n_bins=7),
        "positive_1": HurdleLogNormal(beta_nll=0.25),
        "count": Normal(beta_nll=0.0),
    }
    imputer = light(likelihoods=families).fit(TABLE)
    loaded = again(imputer)
    assert_alike(imputer, loaded)
    assert loaded.likelihoods["real_1"].n_bins == 7
    assert loaded.likelihoods["positive_1"].positive.beta_nll == 0.25
    assert_same(clone(loaded).fit(TABLE).transform(TABLE), imputer.transform(TABLE))


@pytest.mark.parametrize(
    "names",
    [
        [3, 1, 2],
        ["a", 1, ("b", 2)],
        [("a", 1), ("a", (2, None)), ("b", 1.5)],
        [datetime.date(2024, 2, 29), pd.Timestamp("2024", tz="Europe/Berlin"), b"bytes"],
        [1, "1", np.int64(2)],
        ["ä", "", "a.b"],
    ],
    ids=ascii,
)
def test_names_of_columns(names, again):
    table = TABLE.iloc[:, :3].set_axis(pd.Index(names, tupleize_cols=False, dtype=object), axis=1)
    imputer = light(add_indicator=True).fit(table)
    loaded = again(imputer)
    assert_alike(imputer, loaded, table)
    assert loaded.schema_.names == names
    assert [type(name) for name in loaded.schema_.names] == [type(name) for name in names]
    with pytest.raises(ValueError, match=r"order"):
        loaded.transform(table.iloc[:, ::-1])


def test_names_of_several_levels(again):
    names = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")], names=["one", "two"])
    table = TABLE.iloc[:, :3].set_axis(names, axis=1)
    imputer = light().fit(table)
    assert_alike(imputer, again(imputer), table)


def test_arrays(again):
    array = TABLE[["real_1", "positive_1", "count_1"]].to_numpy()
    imputer = light().fit(array)
    loaded = again(imputer)
    assert not hasattr(loaded, "feature_names_in_")
    assert_alike(imputer, loaded, array)


def test_gaps_that_tell_and_rows_that_repeat(again):
    complete = make_heterogeneous(300, random_state=0).data
    complete = pd.concat([complete, complete[:150]], ignore_index=True)
    table, _ = hide_cells(complete, 0.1, "mnar", random_state=0)
    imputer = light(mechanism="mnar").fit(table)
    assert imputer._engine.repeats is not None
    assert imputer._engine.selection is not None
    assert_alike(imputer, again(imputer), table)


def test_tables_without_a_model(again):
    table = pd.DataFrame({"a": [1.0, np.nan, 1.0], "b": pd.Series([None] * 3, dtype="str")})
    with pytest.warns(UserWarning, match="without any observed"):
        imputer = light(keep_empty_features=True).fit(table)
    assert imputer._engine.model is None
    assert_alike(imputer, again(imputer), table)


def test_a_later_fit_finds_a_model_to_make(again):
    """What was learned without a model lets one be made, on the same terms."""
    gaps = TABLE.mask(np.ones(TABLE.shape, bool)).astype(TABLE.dtypes)
    gaps.iloc[:3] = TABLE.iloc[:3]
    imputer = light(warm_start=True, feature_types={"nominal_1": "nominal"}).fit(TABLE[:3])
    loaded = again(imputer)
    assert_same(loaded.fit(TABLE).transform(TABLE), imputer.fit(TABLE).transform(TABLE))


def test_output_is_as_it_was_set(again):
    imputer = light().set_output(transform="pandas").fit(TABLE[["real_1", "real_2"]])
    loaded = again(imputer)
    array = TABLE[["real_1", "real_2"]].to_numpy()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert isinstance(loaded.transform(array), pd.DataFrame)
    assert loaded.set_output(transform="default")._sklearn_output_config == {"transform": "default"}


def test_requested_metadata_stays_requested(again):
    imputer = light()
    imputer._metadata_request = get_routing_for_object(imputer)
    imputer._metadata_request.fit.add_request(param="sample_weight", alias="importance")
    loaded = again(imputer)
    assert loaded.get_metadata_routing().fit.requests == {"sample_weight": "importance"}
    assert clone(loaded).get_metadata_routing().fit.requests == {"sample_weight": "importance"}


def test_levels_that_no_dtype_has(again):
    """Others than the usual ones can be levels too."""
    values = [
        *(frozenset({1, "a"}), pd.Interval(0, 1.5, "both"), pd.Period("2024-02", "M"), 1 + 0),
        *(pd.Timedelta(3, "s"), np.float32(0.1), np.datetime64(7, "D"), float("inf"), 10**30),
    ]
    column = pd.Series(pd.Series(values * 3, dtype=object).tolist(), dtype=object)
    table = pd.DataFrame({"x": column, "y": np.arange(27.0)})
    table.loc[4, "x"] = None
    imputer = light(feature_types={"x": "nominal"}).fit(table)
    loaded = again(imputer)
    assert_alike(imputer, loaded, table)
    for level, expected in zip(
        loaded.schema_["x"].levels, imputer.schema_["x"].levels, strict=True
    ):
        assert type(level) is type(expected)
        assert level == expected


# Unfitted imputers and parameters


def test_unfitted(again):
    imputer = light(
        missing_values=pd.NA,
        feature_types={"a": "count", ("b", 1): "real"},
        likelihoods={"real": "student-t", "a": Histogram(n_bins=3)},
        moo=("equal-norm", CAGrad(c=0.25)),
        beta=np.float32(0.1),
        max_iter=np.int64(3),
    )
    loaded = again(imputer)
    assert not hasattr(loaded, "n_iter_")
    found, expected = loaded.get_params(), imputer.get_params()
    assert list(found) == list(expected)
    for name in set(expected) - {"moo", "likelihoods"}:
        assert type(found[name]) is type(expected[name])
        assert_same(found[name], expected[name])
    assert vars(loaded.moo[1]) == {"c": 0.25}
    assert loaded.likelihoods["real"] == "student-t"
    assert loaded.likelihoods["a"].n_bins == 3
    assert found["missing_values"] is pd.NA


def test_markers(again):
    for marker in (-1, "?", None, float("nan"), np.nan, pd.NaT):
        found = again(light(missing_values=marker)).missing_values
        assert type(found) is type(marker)
        assert found == marker or pd.isna(marker)
    table = TABLE[["real_1", "count_1"]].fillna(-1)
    imputer = light(missing_values=-1).fit(table)
    assert_alike(imputer, again(imputer), table)


def test_random_states(again):
    state = np.random.RandomState(3)
    state.normal()  # leaves another number behind
    imputer = light(random_state=state)
    loaded = again(imputer)
    assert loaded.random_state.normal() == state.normal()
    assert_same(loaded.fit(TABLE).transform(TABLE), imputer.fit(TABLE).transform(TABLE))
    other = np.random.RandomState(np.random.PCG64(0))
    with pytest.raises(TypeError, match=r"^random_state: .*PCG64, not MT19937"):
        again(light(random_state=other))


# What a file cannot keep


class Own:
    """An object of a user's own."""

    def __repr__(self):
        return "<an Own>"

    def __eq__(self, other):
        return isinstance(other, Own)

    def __hash__(self):
        return 1


class OwnStrategy(StatefulWeighting):
    def reset(self):
        self.seen = 0

    def update(self, gramian, active):
        self.seen += 1
        return torch.ones_like(gramian[0])


class OwnNormal(Normal):
    pass


class OwnImputer(HeterogeneousVAEImputer):
    pass


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(moo=torch.diagonal), r"^moo: .* cannot be saved.*pickle or joblib"),
        (dict(moo=("sum", OwnStrategy())), r"^moo, 1: .*OwnStrategy.* cannot be saved"),
        (dict(moo=FromCallable(torch.diagonal)), r"^moo: .*FromCallable.* cannot be saved"),
        (dict(likelihoods={"real": OwnNormal()}), r"^likelihoods, real: .*OwnNormal.* cannot be"),
        (
            dict(feature_types={Own(): "real"}),
            r"^feature_types, 0 as a key: <an Own> of type .*Own",
        ),
        (dict(missing_values=Own()), r"^missing_values: <an Own>"),
        (dict(missing_values=1j), r"^missing_values: 1j of type builtins.complex cannot be saved"),
    ],
    ids=lambda case: "-".join(case) if isinstance(case, dict) else "",
)
def test_what_is_refused(parameters, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        skhvae.save(light(**parameters), tmp_path / "imputer")
    assert list(tmp_path.iterdir()) == []


def test_strategies_of_torchjd_are_refused(again):
    aggregation = pytest.importorskip("torchjd.aggregation")
    with pytest.raises(TypeError, match=r"^moo: .*torchjd.* cannot be saved"):
        again(light(moo=aggregation.UPGrad()))


def test_levels_and_names_of_ones_own_are_refused(again):
    table = pd.DataFrame({"x": pd.Series([1, "a", Own(), None] * 3, dtype=object), "y": range(12)})
    imputer = light(feature_types={"x": "nominal"}).fit(table)
    with pytest.raises(TypeError, match=r"^column 'x', .*: <an Own> of type .*Own cannot be saved"):
        again(imputer)
    imputer = light().fit(TABLE[["real_1", "real_2"]].set_axis([Own(), 1], axis=1))
    with pytest.raises(
        TypeError, match=r"^column <an Own>, name: <an Own> of type .*Own cannot be"
    ):
        again(imputer)


@pytest.mark.parametrize(
    "other",
    [OwnImputer(), make_pipeline(light()), None, {}],
    ids=lambda other: type(other).__name__,
)
def test_other_things_are_refused(other, tmp_path):
    message = rf"writes a HeterogeneousVAEImputer, found {type(other).__name__}. Use pickle"
    with pytest.raises(TypeError, match=message):
        skhvae.save(other, tmp_path / "imputer")


def known(tag):
    (kind,) = (kind for kind in persistence._kinds() if kind.tag == tag)
    return kind


def test_every_attribute_is_known(fitted):
    """One that is new must be listed in skhvae/persistence, or saving would lose it, and refuses."""
    engine = fitted._engine
    for tag, thing in (("imputer", fitted), ("engine", engine), ("encoder", engine.encoder)):
        assert set(known(tag).parts(thing)) == set(vars(thing))


PARTS = {
    "imputer": lambda imputer: imputer,
    "engine": lambda imputer: imputer._engine,
    "recipe": lambda imputer: imputer._engine.recipe,
    "run": lambda imputer: imputer._engine.run,
    "encoder": lambda imputer: imputer._engine.encoder,
    "group": lambda imputer: imputer._engine.encoder.groups[0],
    "schema": lambda imputer: imputer.schema_,
    "feature": lambda imputer: imputer.schema_["real_1"],
    "numbers": lambda imputer: imputer._engine.encoder._codecs["real_1"],
    "levels": lambda imputer: imputer._engine.encoder._codecs["nominal_1"],
    "likelihood": lambda imputer: imputer._engine.encoder.groups[0].likelihood,
    "place": lambda imputer: imputer._engine.impartiality.at("h"),
    "conflict": lambda imputer: imputer._engine.impartiality.at("h").conflict,
    "strategy": lambda imputer: imputer._engine.impartiality.at("h").strategy,
}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_dropped_in_silence(part, again):
    imputer = light(moo="gradvac").fit(TABLE)
    vars(PARTS[part](imputer))["_news"] = 1
    with pytest.raises(TypeError, match=r"has an attribute that files do not know: _news"):
        again(imputer)
    thing = PARTS[part](imputer)
    lost = next(name for name in vars(thing) if name not in ("feature_names_in_", "name"))
    del vars(thing)["_news"], vars(thing)[lost]
    with pytest.raises(TypeError, match=rf"lacks: {lost}"):
        again(imputer)


# What a file is


def test_a_file_is_the_same_for_the_same_imputer(fitted, tmp_path):
    for name in "ab":
        skhvae.save(fitted, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = skhvae.load(tmp_path / "a", device="cpu")
    skhvae.save(loaded, tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_file_holds_no_pickle(fitted, tmp_path):
    skhvae.save(fitted, tmp_path / "imputer")
    with zipfile.ZipFile(tmp_path / "imputer") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert list(parts) == ["manifest.json", "state.json", "tensors.safetensors"]
    for data in parts.values():
        with pytest.raises((pickle.UnpicklingError, ValueError)):
            list(pickletools.genops(data))
    state, tensors = parts["state.json"], parts["tensors.safetensors"]
    assert [*json.loads(state)] == ["imputer"]
    header = json.loads(tensors[8 : 8 + int.from_bytes(tensors[:8], "little")])
    assert header
    assert all(set(tensor) == {"dtype", "shape", "data_offsets"} for tensor in header.values())
    for word in (b"skhvae", b"torch", b"numpy.", b"pandas.", b"builtins", b"__"):
        assert word not in state.replace(b'"numpy"', b"")


@pytest.mark.slow
def test_loading_imports_and_runs_nothing(fitted, tmp_path):
    """Told by the interpreter's own audit events; the first time, torch and others warm up."""
    skhvae.save(fitted, tmp_path / "imputer")
    code = """
import sys, skhvae
skhvae.load(sys.argv[1])
events = []
sys.addaudithook(lambda event, arguments: events.append((event, arguments)))
skhvae.load(sys.argv[1])
opened = [arguments[0] for event, arguments in events if event == "open"]
print(sorted({event for event, _ in events}), opened == [sys.argv[1]])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "imputer")]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    seen, only_the_file = process.stdout.rsplit(" ", 1)
    assert only_the_file == "True\n"
    for event in (
        "import",
        "exec",
        "compile",
        "pickle.find_class",
        "subprocess.Popen",
        "os.system",
    ):
        assert repr(event) not in seen


def test_no_safetensors(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for use in (lambda path: skhvae.save(fitted, path), skhvae.load):
        with pytest.raises(ImportError, match=r"pip install 'skhvae\[persistence\]'"):
            use(tmp_path / "imputer")


# Devices, other copies


def test_devices(fitted, tmp_path, monkeypatch):
    skhvae.save(fitted, tmp_path / "imputer")
    loaded = skhvae.load(tmp_path / "imputer")
    assert loaded.device_.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert loaded.device == "cpu"
    with pytest.raises(ValueError, match="device='warp' cannot be used here"):
        skhvae.load(tmp_path / "imputer", device="warp")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    elsewhere = copy.deepcopy(fitted)
    elsewhere.device_ = torch.device("cuda")
    skhvae.save(elsewhere, tmp_path / "imputer")
    assert skhvae.load(tmp_path / "imputer").device_ == torch.device("cpu")


@needs_cuda
@pytest.mark.parametrize("moo", strategy_names())
def test_from_cuda_and_back(moo, tmp_path):
    imputer = light(device="cuda", moo=moo, n_members=2).fit(TABLE)
    expected = imputer.transform(TABLE)
    skhvae.save(imputer, tmp_path / "imputer")
    loaded = skhvae.load(tmp_path / "imputer")
    assert loaded.device_.type == "cuda"
    assert_same(loaded.transform(TABLE), expected)
    elsewhere = skhvae.load(tmp_path / "imputer", device="cpu")
    tensors = [
        *elsewhere._engine.model.state_dict().values(),
        *elsewhere._engine.impartiality.tensors(),
    ]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    pd.testing.assert_frame_equal(elsewhere.transform(TABLE), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda imputer: pickle.loads(pickle.dumps(imputer)),
    ],
    ids=["deepcopy", "pickle"],
)
def test_copies_are_saved_and_loaded_ones_copied(copied, fitted, again, tmp_path):
    assert_alike(fitted, again(copied(fitted)))
    assert_alike(fitted, copied(again(fitted)))
    joblib.dump(again(fitted), tmp_path / "joblib")
    assert_alike(fitted, joblib.load(tmp_path / "joblib"))


def test_skops_in_a_pipeline():
    io = pytest.importorskip("skops.io")
    pipeline = make_pipeline(light(moo=("equal-norm", "pcgrad")), FunctionTransformer())
    dumped = io.dumps(pipeline)
    loaded = io.loads(dumped, trusted=io.get_untrusted_types(data=dumped))
    assert loaded[0].get_params() == pipeline[0].get_params() | {
        "missing_values": loaded[0].missing_values
    }
    assert_same(loaded.fit_transform(TABLE), pipeline.fit_transform(TABLE))


def test_skops_refuses_what_is_fitted(fitted):
    """As docs/persistence.md has it: it cannot write DataFrames."""
    io = pytest.importorskip("skops.io")
    with pytest.raises(Exception, match=r"reduce|not supported|Unsupported"):
        io.dumps(fitted)


@pytest.mark.slow
def test_a_fresh_process_gives_the_same(fitted, tmp_path):
    skhvae.save(fitted, tmp_path / "imputer")
    TABLE.to_pickle(tmp_path / "table")
    code = (
        "import sys, pandas, skhvae\n"
        "imputer = skhvae.load(sys.argv[1], device='cpu')\n"
        "imputer.transform(pandas.read_pickle(sys.argv[2])).to_pickle(sys.argv[3])"
    )
    paths = [str(tmp_path / name) for name in ("imputer", "table", "completed")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    assert_same(pd.read_pickle(tmp_path / "completed"), fitted.transform(TABLE))
