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
def test_every_name_is_said_as_json(name):
    said = in_files(f"Drop it, or use feature_types={{{label(name)}: 'nominal'}}.")
    declaration = said.removeprefix("Drop it, or use --types with a file that holds ")
    assert json.loads(declaration.removesuffix(".")) == {name: "nominal"}


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
