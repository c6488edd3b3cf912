"""Remedies are those of the command line."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhvae.cli import main
from skhvae.cli._problems import in_files
from skhvae.table import label


@settings(deadline=None)
@given(st.text(min_size=1))
@pytest.mark.parametrize(
    ("parameter", "value", "before", "after"),
    [
        ("feature_types", "nominal", "--types with a file that holds ", ""),
        ("likelihoods", "hurdle-lognormal", "--param 'likelihoods=", "'"),
    ],
)
def test_every_name_is_said_as_json(parameter, value, before, after, name):
    said = in_files(f"Drop it, or use {parameter}={{{label(name)}: {value!r}}}.")
    declaration = said.removeprefix(f"Drop it, or use {before}").removesuffix(f"{after}.")
    assert json.loads(declaration) == {name: value}


def test_other_messages_stay_as_they_are():
    assert in_files("feature_types must be 'infer'") == "feature_types must be 'infer'"


@pytest.mark.parametrize("name", ["id", "it's", 'a "b"'])
def test_warnings_name_the_option(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({name: [f"case {i}" for i in range(200)], "x": range(200)})
    table.to_csv("data.csv", index=False)
    assert main(["inspect", "data.csv"]) == 0
    warned = capsys.readouterr().err
    assert "feature_types" not in warned
    assert f"--types with a file that holds {json.dumps({name: 'nominal'})}" in warned


def test_errors_name_the_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": range(-20, 20), "y": range(40)}).to_csv("data.csv", index=False)
    gamma = ["--param", 'likelihoods={"x": "gamma"}']
    assert main(["impute", "data.csv", "-o", "out.csv", *gamma]) == 1
    assert """--param 'likelihoods={"x": "normal"}'.""" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
