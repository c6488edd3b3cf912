"""The code in README and docs runs as it is printed, and the docs name what the registries hold."""

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest

from skhvae.cli import main
from skhvae.features import FEATURE_TYPES
from skhvae.likelihoods import LIKELIHOODS
from skhvae.moo import STRATEGIES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write files
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S):
        exec(compile(block, str(page), "exec"), namespace)


def test_own_strategy_and_likelihood_of_the_docs_train():
    from skhvae.datasets import make_heterogeneous

    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    table = make_heterogeneous(60, random_state=0).data
    table.iloc[::5, 0] = None
    namespace, trained = {}, 0
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.S):
        exec(block, namespace)
        imputer = namespace["imputer"].set_params(max_iter=2, random_state=0)
        assert not imputer.fit_transform(table).isna().any(axis=None)
        trained += 1
    assert trained == 5


def test_commands_run(tmp_path, monkeypatch):
    """Those of the page about the command line, with less training, on a table such as it speaks of."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    (types,) = re.findall(r"```json\n(.*?)```", page, flags=re.S)
    Path("types.json").write_text(types, encoding="utf-8")
    table = {
        "name": [f"n{i}" for i in range(40)],
        "children": [0, 1, None, 3] * 10,
        "size": ["S", "M", "L", None, "S"] * 8,
        "born": ["24.12.1990", None, "01.05.2001", "17.06.1953"] * 10,
    }
    pd.DataFrame(table).convert_dtypes().to_csv("data.csv", index=False)
    commands = "".join(re.findall(r"```bash\n(.*?)```", page, flags=re.S)).splitlines()
    for command in commands:
        python, m, package, *argv = shlex.split(command)
        assert (python, m, package) == ("python", "-m", "skhvae")
        trains = argv[0] != "inspect" and "--load" not in argv
        assert main(argv + ["--param", "max_iter=2"] * trains) == 0, command
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"complete.csv", "declared.csv", "out.draw3.csv", "report.html", "again.csv"}


def printed_commands():
    """Those of README and docs that run an example or a benchmark."""
    for page in PAGES:
        blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
        for line in "".join(blocks).replace("\\\n", "").splitlines():
            program, *argv = shlex.split(line, comments=True) or [""]
            if program == "python" and argv[0] != "-m":
                yield argv


class _Parsed(Exception):
    """The options are known; nothing has to be run."""


@pytest.mark.parametrize("argv", list(printed_commands()), ids=" ".join)
def test_printed_options_are_known(argv, monkeypatch):
    """Some run for hours; .ci/run runs every script at small size."""
    (script,) = (ROOT / "examples").rglob(Path(argv[0]).name)
    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser, *args, **kwargs):
        raise _Parsed(parse(parser, *args, **kwargs))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    monkeypatch.setattr(sys, "argv", [str(script), *argv[1:]])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(_Parsed):
        runpy.run_path(str(script), run_name="__main__")


def test_options_that_are_not_known_are_seen(monkeypatch):
    """Or the test above shows nothing."""
    with pytest.raises(SystemExit):
        test_printed_options_are_known(["rubin.py", "--no-such-option"], monkeypatch)


@pytest.mark.parametrize(
    ("page", "registry"),
    [("extending.md", STRATEGIES), ("tables.md", LIKELIHOODS), ("tables.md", FEATURE_TYPES)],
)
def test_docs_name_every_registry_entry(page, registry):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").lower()
    missing = [
        name for name in registry if not re.search(rf"[\"`| ]{re.escape(name)}[\"`,| ]", text)
    ]
    assert not missing


def test_readme_links_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
