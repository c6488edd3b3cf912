"""The code in README and docs runs as it is printed, and the docs name what the registries hold.

Python and the package's own commands run here. What makes an environment, and what runs in it, is for `.ci/run`.
"""

import argparse
import re
import runpy
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from skhvae.cli import main
from skhvae.features import FEATURE_TYPES
from skhvae.likelihoods import LIKELIHOODS
from skhvae.moo import STRATEGIES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Fences of what is no code, but makes a page.
DIRECTIVES = {"{eval-rst}", "{include}", "{toctree}"}
# Of commands that cannot run in the environment of the tests: they make it, check it, or name no address.
OF_ENVIRONMENTS = ("python3 -m venv", ".venv/bin/", "git clone")


def blocks(page, language):
    """The fenced blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)


def commands(page):
    """The lines of a page's bash blocks, those that go on below joined."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", "").splitlines()
    return [line for line in lines if line]


def runs_package(command):
    return command.startswith("python -m skhvae ")


def runs_script(command):
    return re.match(r"python [\w/]+\.py\b", command) is not None


def unseen(page):
    """What stands on a page as code, and no test looks at."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^[ >]*(?:```+|~~~+) *(\{[\w-]+\}|.*)", text, flags=re.M)[::2]
    found = set(fences) - {"python", "bash"} - DIRECTIVES
    if any(map(runs_package, commands(page))):  # which may take a file of declarations
        found -= {"json"}
    found |= set(re.findall(r"(?:code-block|sourcecode|code)::.*", text))
    return found | {
        line
        for line in commands(page)
        if not (runs_package(line) or runs_script(line) or line.startswith(OF_ENVIRONMENTS))
        and not (line.startswith("cd ") and (ROOT / line.removeprefix("cd ")).is_dir())
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_code_goes_unseen(page):
    assert unseen(page) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```sh\nls\n```", {"sh"}),
        ("```python skip\nls\n```", {"python skip"}),
        ("```\nx = 1\n```\n```python\n```", {""}),
        ("~~~console\n$ ls\n~~~", {"console"}),
        ("- a list\n\n  ```text\n  x\n  ```", {"text"}),
        ("```{code-block} python\nx\n```", {"{code-block}"}),
        ("```{eval-rst}\n.. code-block:: python\n```", {"code-block:: python"}),
        ("```json\n{}\n```", {"json"}),
        ("```bash\nmake all\ncd nowhere\n```", {"make all", "cd nowhere"}),
        ("```bash\npython -m skhvae inspect x.csv\npython a/b.py\n```\n```json\n{}\n```", set()),
    ],
)
def test_unseen_code_is_found(text, found, tmp_path):
    """Or the test above shows nothing."""
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert unseen(page) == found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write files
    namespace = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), namespace)


def test_own_strategy_and_likelihood_of_the_docs_train():
    from skhvae.datasets import make_heterogeneous

    table = make_heterogeneous(60, random_state=0).data
    table.iloc[::5, 0] = None
    namespace, trained = {}, 0
    for block in blocks(ROOT / "docs" / "extending.md", "python"):
        exec(block, namespace)
        imputer = namespace["imputer"].set_params(max_iter=2, random_state=0)
        assert not imputer.fit_transform(table).isna().any(axis=None)
        trained += 1
    assert trained == 5


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(runs_package, commands(page)))], ids=lambda p: p.name
)
def test_commands_run(page, tmp_path, monkeypatch):
    """With less training, on a table such as the page about the command line speaks of."""
    monkeypatch.chdir(tmp_path)
    Path("types.json").write_text("".join(blocks(page, "json")), encoding="utf-8")
    table = {
        "name": [f"n{i}" for i in range(40)],
        "children": [0, 1, None, 3] * 10,
        "size": ["S", "M", "L", None, "S"] * 8,
        "born": ["24.12.1990", None, "01.05.2001", "17.06.1953"] * 10,
    }
    pd.DataFrame(table).convert_dtypes().to_csv("data.csv", index=False)
    for command in filter(runs_package, commands(page)):
        argv = shlex.split(command)[3:]
        trains = argv[0] != "inspect" and "--load" not in argv
        assert main(argv + ["--param", "max_iter=2"] * trains) == 0, command
        given = dict(pairwise(argv))
        written = {given[option] for option in ("-o", "--report", "--save") if option in given}
        written |= {f"out.draw{i + 1}.csv" for i in range(int(given.get("--draws", 0)))}
        assert written <= {path.name for path in tmp_path.iterdir()}


def printed_commands():
    """Those of README and docs that run an example or a benchmark."""
    for page in PAGES:
        for command in filter(runs_script, commands(page)):
            yield shlex.split(command, comments=True)[1:]


class _Parsed(Exception):
    """The options are known; nothing has to be run."""


@pytest.mark.parametrize("argv", list(printed_commands()), ids=" ".join)
def test_printed_options_are_known(argv, monkeypatch):
    """Some run for hours; .ci/run runs all but device.py at small size."""
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
