"""Files that are damaged, foreign, newer or made to deceive; and writing that fails."""

import datetime
import errno
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
import zoneinfo

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skhvae
from skhvae.datasets import make_heterogeneous
from skhvae.persistence._archive import FORMAT, pack, unpack

TABLE = make_heterogeneous(40, random_state=0).data
TABLE["zoned"] = pd.date_range("2024", periods=40, tz="Europe/Berlin")
TABLE["binned"] = pd.cut(TABLE["real_1"], 3)
TABLE["arrow"] = TABLE["count_1"].astype("int64[pyarrow]")
TABLE["mixed"] = pd.Series([datetime.time(1), "a", None, pd.Timestamp("2024", tz="UTC")] * 10)
TABLE.iloc[::4, 0] = None
NAMES = ("state.json", "tensors.safetensors")


def sealed(data):
    """Bytes under a checksum that is right."""
    return data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode()


def zipped(parts, comment=b"0" * 64, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in parts:
            archive.writestr(name, data)
        archive.comment = comment
    return file.getvalue()


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "imputer.skhvae"
    imputer = skhvae.HeterogeneousVAEImputer(
        max_iter=1,
        latent_dim=2,
        hidden_layer_sizes=(4,),
        n_members=1,
        random_state=0,
        device="cpu",
        feature_types={"mixed": "nominal"},
    )
    skhvae.save(imputer.fit(TABLE), path)
    return path


@pytest.fixture(scope="module")
def data(path):
    return path.read_bytes()


@pytest.fixture
def load(tmp_path):
    def go(data):
        (tmp_path / "file").write_bytes(data)
        return skhvae.load(tmp_path / "file", device="cpu")

    return go


# Damage


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_is_noticed(data, load, draw):
    damaged = bytearray(data)
    damaged[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"damaged|Expected a file written by skhvae\.save"):
        load(bytes(damaged))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bytes_that_are_cut_or_added_are_noticed(data, load, draw):
    start = draw.draw(st.integers(0, len(data)))
    stop = draw.draw(st.integers(start, len(data)))
    changed = data[:start] + draw.draw(st.binary(max_size=9)) + data[stop:]
    if changed != data:
        with pytest.raises(ValueError, match=r"damaged|Expected a file written by skhvae\.save"):
            load(changed)


def test_every_byte_of_a_small_file_counts():
    """All bytes, not a sample; an archive of small parts has all that a large one has."""
    small = bytes(pack(dict.fromkeys(NAMES, b"{}")))
    assert unpack(small, NAMES) == dict.fromkeys(NAMES, b"{}")
    for i in range(len(small)):
        for flip in (1, 128, 255):
            damaged = small[:i] + bytes([small[i] ^ flip]) + small[i + 1 :]
            with pytest.raises(ValueError, match=r"damaged|Expected"):
                unpack(damaged, NAMES)
        with pytest.raises(ValueError, match=r"damaged|Expected"):
            unpack(small[:i], NAMES)


# Other files


def test_files_of_other_programs(load, tmp_path):
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    weights = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, weights)
    archives = (
        zipped([("data.pkl", b"x")]),
        zipped([("manifest.json", b'{"what": 1, "format": 1, "skhvae": ""}')]),
    )
    for other, found in (
        (pickle.dumps(skhvae.HeterogeneousVAEImputer()), r"a pickle, which is loaded by pickle\."),
        (b"", "an empty one"),
        (b"name,age\n", "one that begins with b'name,age'"),
        (b"PK\x03\x04", r"or was not written by skhvae\.save: its checksum is"),
        (file.getvalue(), r"or was not written by skhvae\.save: its checksum is"),
        (weights.getvalue(), r"or was not written by skhvae\.save: its checksum is"),
        (
            sealed(b"PK\x03\x04" + b"x" * 100),
            r"a zip archive of something else \(File is not a zip",
        ),
        (sealed(archives[0]), r"a zip archive of something else \('manifest.json'\)"),
        (sealed(archives[1]), "found a file of 1"),
    ):
        with pytest.raises(ValueError, match=rf"file': .*{found}"):
            load(other)
    with pytest.raises(FileNotFoundError):
        skhvae.load(tmp_path / "nowhere")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_not_unpickled(data, load, tmp_path):
    trap = pickle.dumps(Trap(str(tmp_path / "sprung")))
    parts = members(data)
    for name in NAMES:
        for forged in (trap, sealed(bytes(pack({**{n: parts[n] for n in NAMES}, name: trap})))):
            with pytest.raises(ValueError, match=r"pickle|cannot be read as an imputer"):
                load(forged)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap).close()
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("written_in", [FORMAT + 1, 0, "2", None])
def test_other_formats(written_in, data, load):
    parts = members(data)
    manifest = json.loads(parts["manifest.json"]) | {"format": written_in, "skhvae": "9.9.1"}
    parts["manifest.json"] = json.dumps(manifest)
    parts["something new"] = b""
    message = (
        rf"of format {written_in}, written by skhvae 9\.9\.1; .* reads format {FORMAT}\. Install"
    )
    with pytest.raises(ValueError, match=message):
        load(sealed(zipped(parts.items())))


def test_another_version_of_the_same_format(data, load):
    parts = members(data)
    parts["manifest.json"] = parts["manifest.json"].replace(
        f'"{skhvae.__version__}"'.encode(), b'"9.9.1"'
    )
    assert b"9.9.1" in parts["manifest.json"]
    assert not load(sealed(zipped(parts.items()))).transform(TABLE).isna().any(axis=None)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_made_to_deceive(data, load):
    parts = members(data)
    items = list(parts.items())
    assert load(sealed(zipped(items))).n_iter_ == 1  # what is to be told from those below
    manifest = json.loads(parts["manifest.json"])
    one = json.dumps(manifest | {"parts": {"state.json": manifest["parts"]["state.json"]}})
    for forged in (
        [*items, ("more.py", b"")],
        items[:2],
        [*items, items[1]],
        [items[0], ("state.json", b"{}"), items[2]],
        [("manifest.json", one), *items[1:]],
        [("manifest.json", json.dumps(manifest | {"more": 1})), *items[1:]],
    ):
        with pytest.raises(ValueError, match=r"does not hold what it should"):
            load(sealed(zipped(forged)))
    for forged in (
        zipped(items, compression=zipfile.ZIP_DEFLATED),
        zipped([("manifest.json", b"[]")]),
        zipped([("manifest.json", b"[" * 10**5)]),
        zipped([("manifest.json", b"1" * 10**5)]),
        zipped(items).replace(b"state.json", b"st\x00te.json"),
    ):
        with pytest.raises(ValueError, match=r"a zip archive of something else"):
            load(sealed(forged))


def test_a_bomb_is_not_unpacked(load):
    """A thousand times as large as the file."""
    bomb = zipped([("manifest.json", bytes(2**25))], compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**16
    with pytest.raises(ValueError, match=r"manifest\.json is compressed"):
        load(sealed(bomb))


def test_sizes_that_lie(data, load):
    """Of the directory at the end, where zipfile reads sizes: more than there are bytes."""
    at = data.rindex(b"PK\x01\x02")
    for size in (0, 1, 2**31, 2**32 - 1):
        forged = bytearray(data)
        forged[at + 20 : at + 28] = size.to_bytes(4, "little") * 2
        with pytest.raises(ValueError, match=r"Expected a file|does not hold what it should"):
            load(sealed(bytes(forged)))


# Parts that were never written by save, under checksums that are right


def forged(data, change):
    parts = members(data)
    state = json.loads(parts["state.json"])
    change(state["imputer"])
    return bytes(pack({"state.json": json.dumps(state).encode(), NAMES[1]: parts[NAMES[1]]}))


NODES = [
    {"os.system": ["touch sprung"]},
    {"builtins.eval": ["open('sprung', 'w')"]},
    {"objects": {"__class__": "antigravity.Plane"}},
    {"strategy: antigravity": {}},
    {"likelihood: this.Zen": {"options": {}, "tensors": {"dict": []}, "inner": {"dict": []}}},
    {"model": ["antigravity"]},
    {"type": ["this"]},
    {"dtype": ["this"]},
    {"pandas dtype": ["this"]},
    {"arrow dtype": ["this"]},
    {"ZoneInfo": ["../this"]},
    {"ZoneInfo": ["this/antigravity"]},
    {"Timestamp": ["s", 0, "this/antigravity"]},
    {"zoned dtype": ["s", "this/antigravity"]},
    {"pandas dtype": ["datetime64[s, this/antigravity]"]},
    {"interval dtype": ["datetime64[s, this/antigravity]", "left"]},
    {"series": ["datetime64[s, this/antigravity]", [], "x"]},
    {"index": ["datetime64[s, this/antigravity]", [], "x"]},
    {"tensor": "nowhere"},
    {"ref": 10**6},
    {"tuple": [], "list": []},
    {"feature": {"more": 1}},
    {"imputer": {"moo": 1, "evil": 2}},
    {"engine": {"model": None}},
    {},
]


class Spy:
    """Is asked first for every module that is imported for the first time."""

    def __init__(self):
        self.asked = []

    def find_spec(self, name, path=None, target=None):
        self.asked.append(name)


def test_the_spy_sees_imports(monkeypatch):
    spy = Spy()
    monkeypatch.setattr(sys, "meta_path", [spy, *sys.meta_path])
    with pytest.raises(zoneinfo.ZoneInfoNotFoundError):
        zoneinfo.ZoneInfo("this/antigravity")
    assert "tzdata.zoneinfo.this" in spy.asked


@pytest.mark.parametrize("node", NODES, ids=str)
@pytest.mark.parametrize("place", ["moo", "history_", "schema_", "device"])
def test_names_in_a_file_are_only_looked_up(node, place, data, load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spy = Spy()
    monkeypatch.setattr(sys, "meta_path", [spy, *sys.meta_path])
    with pytest.raises(ValueError, match=r"cannot be read as an imputer: "):
        load(forged(data, lambda imputer: imputer.update({place: node})))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert [name for name in spy.asked if "this" in name or "antigravity" in name] == []


def test_depths_and_sizes_without_end(data, load):
    deep = bytes(pack({NAMES[0]: b"[" * 10**6, NAMES[1]: members(data)[NAMES[1]]}))
    with pytest.raises(ValueError, match=r"cannot be read as an imputer: "):
        load(deep)
    for name, size in (("latent_dim", 10**12), ("n_members", 10**12)):

        def change(imputer, name=name, size=size):
            imputer["_engine"]["engine"]["recipe"]["recipe"][name] = size

        with pytest.raises(ValueError, match=r"weights are fewer than its sizes say"):
            load(forged(data, change))

    def widen(imputer):
        imputer["_engine"]["engine"]["recipe"]["recipe"]["hidden_layer_sizes"] = {"tuple": [10**7]}

    with pytest.raises(ValueError, match=r"weights are fewer than its sizes say"):
        load(forged(data, widen))


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_sealed_file_says_it_is_an_imputer_or_refused(data, load, draw):
    parts = members(data)
    state = json.loads(parts["state.json"])
    spot = state["imputer"]
    for _ in range(draw.draw(st.integers(0, 12))):
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        deeper = [key for key in keys if isinstance(spot[key], dict | list) and spot[key]]
        if not deeper:
            break
        spot = spot[draw.draw(st.sampled_from(deeper))]
    key = draw.draw(st.sampled_from(list(spot) if isinstance(spot, dict) else range(len(spot))))
    names = st.sampled_from(["this/antigravity", "datetime64[s, this/antigravity]", "antigravity"])
    json_values = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | names
    spot[key] = draw.draw(json_values | st.sampled_from(NODES) | st.lists(json_values, max_size=2))
    spy = Spy()
    sys.meta_path.insert(0, spy)
    try:
        found = load(bytes(pack({NAMES[0]: json.dumps(state).encode(), NAMES[1]: parts[NAMES[1]]})))
    except ValueError as error:
        assert "cannot be read as an imputer" in str(error)  # noqa: PT017
    else:
        assert type(found) is skhvae.HeterogeneousVAEImputer
    finally:
        sys.meta_path.remove(spy)
    assert [name for name in spy.asked if "this" in name or "antigravity" in name] == []


# Writing


@pytest.fixture
def imputer():
    return skhvae.HeterogeneousVAEImputer(max_iter=7)


def no_space(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(step, imputer, tmp_path, monkeypatch):
    skhvae.save(imputer, tmp_path / "imputer")
    before = (tmp_path / "imputer").read_bytes()
    monkeypatch.setattr(os, step, no_space)
    for target in ("imputer", "new"):
        with pytest.raises(OSError, match="No space left"):
            skhvae.save(imputer.set_params(max_iter=8), tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["imputer"]
    assert (tmp_path / "imputer").read_bytes() == before


def test_a_full_disk_leaves_the_old_file(path, imputer, tmp_path):
    """The system itself refuses to write more than some bytes a file."""
    resource = pytest.importorskip("resource")
    skhvae.save(imputer, tmp_path / "imputer")
    larger = skhvae.load(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            skhvae.save(larger, tmp_path / "imputer")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["imputer"]
    assert skhvae.load(tmp_path / "imputer").max_iter == 7


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_the_old_file(imputer, tmp_path):
    skhvae.save(imputer, tmp_path / "imputer")
    code = """
import os, signal, sys, skhvae
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
skhvae.save(skhvae.HeterogeneousVAEImputer(max_iter=8), sys.argv[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "imputer")]
    assert subprocess.run(command, check=False).returncode == -9
    assert skhvae.load(tmp_path / "imputer").max_iter == 7
    skhvae.save(imputer.set_params(max_iter=9), tmp_path / "imputer")
    assert skhvae.load(tmp_path / "imputer").max_iter == 9


def test_what_cannot_be_saved_touches_no_file(imputer, tmp_path):
    (tmp_path / "imputer").write_text("old")
    with pytest.raises(TypeError, match="moo"):
        skhvae.save(imputer.set_params(moo=len), tmp_path / "imputer")
    assert [path.name for path in tmp_path.iterdir()] == ["imputer"]
    assert (tmp_path / "imputer").read_text() == "old"


def test_paths(imputer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("by name", tmp_path / ("x" * 255)):
        skhvae.save(imputer, name)
        assert skhvae.load(name).max_iter == 7
    (tmp_path / "by name").chmod(0o640)
    (tmp_path / "link").symlink_to("by name")
    skhvae.save(imputer.set_params(max_iter=8), "link")
    assert (tmp_path / "link").is_symlink()
    assert skhvae.load("by name").max_iter == 8
    assert (tmp_path / "by name").stat().st_mode & 0o777 == 0o640
    (tmp_path / "folder").mkdir()
    for name, error in (("folder", IsADirectoryError), ("nowhere/imputer", FileNotFoundError)):
        with pytest.raises(error):
            skhvae.save(imputer, name)
    assert not list(tmp_path.glob(".skhvae*"))


def test_an_archive_is_the_same_everywhere():
    """Not the manifest, which says the version: what Python's zipfile makes of the same parts."""
    parts = dict.fromkeys(NAMES, b"{}")
    file = bytes(pack(parts)).replace(skhvae.__version__.encode(), b"0.0.0")
    assert b"1980" not in file  # dates are binary
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.create_system == 3
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.external_attr >> 16 == 0o644
