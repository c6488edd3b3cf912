"""The command line as a whole: what it prints, writes, refuses and leaves alone."""

import io
import json
import sys

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from subprocesses import output_of

import skhvae
from skhvae.cli import main
from skhvae.datasets import make_heterogeneous
from skhvae.evaluation import hide_cells

QUICK = [
    "--param",
    "max_iter=2",
    "--param",
    "n_members=1",
    "--param",
    "latent_dim=4",
    "--device",
    "cpu",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a table of CSV and one of Parquet."""
    monkeypatch.chdir(tmp_path)
    table = hide_cells(make_heterogeneous(60, random_state=0).data, 0.2, random_state=0)[0]
    table.to_csv("data.csv", index=False)
    table.to_parquet("data.parquet")
    return tmp_path


def run(*argv):
    return main([*map(str, argv)])


def failing(capsys, *argv):
    """What it says on failing."""
    assert run(*argv) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("skhvae: error: ")
    return said.err


def files(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("source", ["data.csv", "data.parquet"])
def test_impute(source, ending, capsys):
    assert run("impute", source, "-o", f"complete.{ending}", *QUICK) == 0
    assert capsys.readouterr() == ("", "")  # nobody watches
    if ending == "parquet":
        before, after = pd.read_parquet("data.parquet"), pd.read_parquet("complete.parquet")
    else:  # to the letter
        separator = {"csv": ",", "tsv": "\t"}[ending]
        before = pd.read_csv("data.csv", dtype=str)
        after = pd.read_csv(f"complete.{ending}", dtype=str, sep=separator)
    assert after.columns.tolist() == before.columns.tolist()
    assert not after.isna().any(axis=None)
    for name in before:
        known = before[name].notna()
        assert (
            after[name][known].astype(str).tolist()
            == before[name][known].astype(after[name].dtype).astype(str).tolist()
        )


def test_csv_of_observed_cells_is_the_same_text():
    run("impute", "data.csv", "-o", "complete.csv", *QUICK)
    before, after = (pd.read_csv(name, dtype=str) for name in ("data.csv", "complete.csv"))
    pd.testing.assert_frame_equal(after.where(before.notna()), before)
    for name in before:  # numbers with as many decimals as there are
        assert after[name].str.len().max() <= before[name].str.len().max() + 1


def test_parquet_keeps_its_schema():
    run("impute", "data.parquet", "-o", "complete.parquet", *QUICK)
    before, after = map(pyarrow.parquet.read_table, ("data.parquet", "complete.parquet"))
    assert after.schema.equals(before.schema, check_metadata=True)


def test_draws_differ_and_agree_where_cells_were_observed():
    run("impute", "data.csv", "-o", "out.csv", "--draws", 2, *QUICK)
    before, first, second = (
        pd.read_csv(name, dtype=str) for name in ("data.csv", "out.draw1.csv", "out.draw2.csv")
    )
    assert not first.equals(second)
    pd.testing.assert_frame_equal(first.where(before.notna()), before)


def test_the_same_seed_writes_the_same_file(folder):
    for name in ("a.csv", "b.csv"):
        run("impute", "data.csv", "-o", name, "--seed", 3, *QUICK)
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()


def test_saved_imputers_impute_again(folder):
    run("impute", "data.csv", "-o", "a.csv", "--save", "table.skhvae", *QUICK)
    assert run("impute", "data.csv", "-o", "b.csv", "--load", "table.skhvae") == 0
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()
    assert skhvae.load("table.skhvae").verbose == 0


def test_empty_and_ignored_columns_stay_as_they_are(folder, capsys):
    (folder / "small.csv").write_text("id,age,none\nx1,1,\nx2,,\nx3,3,\nx4,4,NA\n")
    assert run("impute", "small.csv", "-o", "out.csv", "--ignore", "id", *QUICK) == 0
    found = pd.read_csv("out.csv", keep_default_na=False)
    assert found["id"].tolist() == ["x1", "x2", "x3", "x4"]
    assert found["none"].tolist() == [""] * 4
    assert found["age"].isin([1, 2, 3, 4]).all()
    assert "'none'" in capsys.readouterr().err  # a warning


def test_numbers_with_an_order_in_parquet(folder):
    table = pyarrow.table(
        {"rank": pyarrow.array([1, 2, 3, None] * 10, pyarrow.int16()), "x": range(40)}
    )
    pyarrow.parquet.write_table(table, "ranks.parquet")
    (folder / "types.json").write_text('{"rank": [3, 2, 1]}')
    assert run("impute", "ranks.parquet", "-o", "out.parquet", "--types", "types.json", *QUICK) == 0
    found = pyarrow.parquet.read_table("out.parquet")
    assert found.schema == table.schema
    assert set(found["rank"].to_pylist()) <= {1, 2, 3}
    (folder / "types.json").write_text('{"rank": [2, 1]}')
    assert (
        run("impute", "ranks.parquet", "-o", "out2.parquet", "--types", "types.json", *QUICK) == 1
    )


def test_inspect(capsys):
    assert run("inspect", "data.csv") == 0
    said = capsys.readouterr().out
    table = pd.read_csv("data.csv")
    assert f"60 rows, {table.shape[1]} columns" in said
    assert f"{table.isna().to_numpy().mean():.1%} of the cells are missing" in said
    assert f"{(~table.isna().any(axis=1)).sum()} rows are complete" in said
    assert all(name in said for name in table)


def test_evaluate(capsys):
    assert run("evaluate", "data.csv", "--fraction", 0.3, *QUICK) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    errors = pd.read_csv(
        io.StringIO("\n".join(lines[2:-2])), sep=r"\s\s+", header=None, engine="python"
    )
    assert len(errors) == pd.read_csv("data.csv").shape[1]
    mean = float(lines[-1].split("columns: ")[1].split(",")[0])
    assert mean == pytest.approx(errors[3].mean(), abs=1e-3)
    assert "30% of the known cells hidden" in said


def test_nothing_is_overwritten_without_force(folder, capsys):
    (folder / "out.csv").write_text("mine")
    assert "--force" in failing(capsys, "impute", "data.csv", "-o", "out.csv", *QUICK)
    assert (folder / "out.csv").read_text() == "mine"
    (folder / "fresh.draw2.csv").write_text("mine")
    assert "fresh.draw2.csv" in failing(
        capsys, "impute", "data.csv", "-o", "fresh.csv", "--draws", 2
    )
    assert run("impute", "data.csv", "-o", "out.csv", "--force", *QUICK) == 0
    assert (folder / "out.csv").read_text() != "mine"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["impute", "none.csv", "-o", "out.csv"], "none.csv: No such file"),
        (
            ["impute", "data.xlsx", "-o", "out.csv"],
            "data.xlsx: expected a name that ends in .csv, .tsv",
        ),
        (["impute", "data.csv", "-o", "out.xlsx"], "out.xlsx: expected a name that ends in"),
        (["impute", "data.csv", "-o", "out"], "found none"),
        (["impute", "data.csv", "-o", "data.csv", "--force"], "data.csv: is given twice"),
        (["impute", "data.csv", "-o", "a.csv", "--save", "./a.csv"], "a.csv: is given twice"),
        (["impute", "data.csv", "-o", "no/out.csv"], "there is no folder no"),
        (["impute", "data.csv", "-o", "out.csv", "--draws", "-1"], "--draws -1"),
        (
            ["impute", "data.csv", "-o", "out.csv", "--ignore", "nmae"],
            "--ignore nmae: data.csv has no such",
        ),
        (
            ["impute", "data.csv", "-o", "out.csv", "--moo", "equalnorm"],
            "Did you mean 'equal-norm'",
        ),
        (
            ["impute", "data.csv", "-o", "out.csv", "--param", "max_itre=3"],
            "Did you mean 'max_iter'",
        ),
        (
            ["impute", "data.csv", "-o", "out.csv", "--param", "model=vae"],
            "texts stand in double quotes",
        ),
        (["impute", "data.csv", "-o", "out.csv", "--param", "beta=-1"], "'beta' parameter"),
        (
            ["impute", "data.csv", "-o", "out.csv", "--load", "none.skhvae"],
            "none.skhvae: No such file",
        ),
        (["impute", "data.csv", "-o", "out.csv", "--load", "data.csv"], "'data.csv': "),
        (["impute", "data.csv", "-o", "out.csv", "--delimiter", "::"], "expected one character"),
        (["evaluate", "data.csv", "--fraction", "2"], "--fraction 2.0: expected a share"),
        (["inspect", "data.csv", "--types", "none.json"], "none.json: No such file"),
    ],
)
def test_refused_before_training(folder, capsys, monkeypatch, argv, message):
    monkeypatch.setattr("skhvae.engine.Engine.fit", lambda *args, **more: pytest.fail("it trains"))
    before = files(folder)
    assert message in failing(capsys, *argv)
    assert files(folder) == before


def test_what_cannot_be_parsed_exits_with_two(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["impute", "data.csv"])
    assert caught.value.code == 2
    assert "-o" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["safetensors", "matplotlib"])
def test_missing_libraries_are_said_before_training(capsys, monkeypatch, library):
    option = {"safetensors": "--save", "matplotlib": "--report"}[library]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = failing(capsys, "impute", "data.csv", "-o", "out.csv", option, "other.file")
    assert library in said
    assert "pip install" in said


def test_interrupted(folder, capsys, monkeypatch):
    def interrupt(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("skhvae.imputer.HeterogeneousVAEImputer.transform", interrupt)
    before = files(folder)
    assert run("impute", "data.csv", "-o", "out.csv", *QUICK) == 130
    assert "interrupted" in capsys.readouterr().err
    assert files(folder) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_how_it_gets_on(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run("impute", "data.csv", "-o", "out.csv", *QUICK) == 0
    said = terminal.getvalue()
    assert "learning 60 rows" in said
    assert "epoch 2/2" in said
    assert "left" in said
    assert said.endswith("wrote out.csv\n")
    quiet = Terminal()
    monkeypatch.setattr(sys, "stderr", quiet)
    assert run("impute", "data.csv", "-o", "out2.csv", "--quiet", *QUICK) == 0
    assert quiet.getvalue() == ""


def test_as_a_module():
    code = "import runpy, sys; sys.argv = ['skhvae', '--version']; runpy.run_module('skhvae', run_name='__main__')"
    assert output_of(code) == f"skhvae {skhvae.__version__}\n"


def test_parameters_are_json(folder, monkeypatch):
    seen = {}

    def fit(self, X):
        seen.update(self.get_params())
        raise ValueError("enough")

    monkeypatch.setattr("skhvae.imputer.HeterogeneousVAEImputer.fit", fit)
    (folder / "types.json").write_text(json.dumps({pd.read_csv("data.csv").columns[0]: "real"}))
    given = [
        "--param",
        "hidden_layer_sizes=[8, 8]",
        "--param",
        'model="vae"',
        "--moo",
        "gradnorm,pcgrad",
    ]
    assert (
        run(
            "impute", "data.csv", "-o", "o.csv", "--types", "types.json", "--preset", "fast", *given
        )
        == 1
    )
    assert seen["hidden_layer_sizes"] == (8, 8)
    assert seen["model"] == "vae"
    assert seen["moo"] == ("gradnorm", "pcgrad")
    assert seen["preset"] == "fast"
    assert list(seen["feature_types"].values())[:1] == ["real"]
