"""Imports go one way, and importing the package costs nothing."""

import ast
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import skhvae

ROOT = Path(skhvae.__file__).parent
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}

# What each module or package may import, of ours and of others; ours from the bottom up. A new
# module needs a row: say where it stands.
NUMBERS = {"numpy", "pandas", "scipy"}
OPTIONAL = {"polars", "pyarrow"}
ALLOWED = {
    "likelihoods": (set(), {"torch", "numpy", "scipy"}),
    "moo": (set(), {"torch", "numpy", "scipy"}),
    "_version": (set(), set()),
    "typing": (set(), {"numpy"}),
    "progress": (set(), set()),
    "threads": (set(), {"torch"}),
    "table": (set(), NUMBERS | {"sklearn", "narwhals"} | OPTIONAL),
    "chunks": ({"table"}, NUMBERS | OPTIONAL),
    "weights": (set(), {"numpy", "sklearn"}),
    "memory": (set(), set()),
    "pooling": (set(), NUMBERS),
    "rows": (set(), {"numpy", "pandas", "torch"}),
    "features": (set(), NUMBERS),
    "schema": ({"typing", "table", "features"}, NUMBERS),
    "assignment": ({"table", "features", "likelihoods"}, set()),
    "codecs": ({"table", "features", "likelihoods"}, NUMBERS | {"torch"}),
    "encoding": (
        {"table", "features", "likelihoods", "assignment", "codecs"},
        NUMBERS | {"torch"},
    ),
    "evaluation": ({"typing", "table", "schema", "weights"}, NUMBERS | {"sklearn"}),
    "datasets": ({"typing", "table", "schema", "evaluation"}, NUMBERS | {"sklearn"}),
    "models": ({"likelihoods", "moo"}, {"torch", "numpy"}),
    "objectives": ({"models", "moo"}, {"torch"}),
    "piecewise": (set(), {"torch"}),
    "selection": ({"piecewise"}, {"torch"}),
    "mixtures": ({"likelihoods", "selection"}, {"torch", "numpy"}),
    "calibration": ({"piecewise"}, {"torch", "numpy", "scipy"}),
    "matching": (set(), {"torch", "numpy"}),
    "inference": ({"models", "selection", "mixtures", "threads"}, {"torch"}),
    "predictive": ({"likelihoods", "selection", "calibration", "matching"}, {"torch"}),
    "recalibration": (
        {"models", "inference", "evaluation", "calibration", "matching", "predictive"},
        {"torch", "numpy"},
    ),
    "draws": (
        {"models", "selection", "calibration", "matching", "inference", "predictive"},
        {"torch"},
    ),
    "held_out": ({"models", "inference"}, {"torch"}),
    "gaps": ({"features"}, {"torch", "numpy", "scipy", "sklearn"}),
    "explanatory": ({"features", "gaps", "piecewise"}, {"torch", "numpy"}),
    "residuals": (
        {"features", "likelihoods", "models", "calibration", "inference", "predictive", "draws"}
        | {"explanatory"},
        {"torch", "numpy", "scipy"},
    ),
    "missingness": ({"features", "gaps", "models", "selection", "inference"}, NUMBERS | {"torch"}),
    "repeats": (set(), {"torch", "numpy"}),
    "schedule": (set(), set()),
    "presets": (set(), set()),
    "hiding": (set(), {"torch"}),
    "step": ({"hiding", "models", "moo", "objectives", "rows"}, {"torch"}),
    "replay": (set(), {"torch"}),
    "epoch": ({"moo", "step", "replay"}, {"torch"}),
    "checkpoint": (set(), {"torch", "joblib"}),
    "run": ({"models", "step", "checkpoint"}, set()),
    "training": (
        {"models", "moo", "objectives", "schedule", "step", "epoch", "checkpoint", "run"},
        {"torch"},
    ),
    "online": ({"models", "moo", "objectives", "schedule", "step", "epoch"}, {"torch"}),
    "callbacks": ({"models", "run"}, {"sklearn"}),
    "recipe": ({"encoding", "models", "objectives", "presets", "schedule"}, {"torch"}),
    "completer": (
        {"encoding", "evaluation", "models", "selection", "inference", "held_out"}
        | {"memory", "repeats"},
        NUMBERS | {"torch"},
    ),
    "forecaster": (
        {"calibration", "completer", "draws", "evaluation", "inference", "matching", "predictive"}
        | {"residuals", "rows"},
        NUMBERS | {"torch"},
    ),
    "engine": (
        {"encoding", "evaluation", "models", "moo", "gaps", "held_out", "missingness"}
        | {"repeats", "rows"}
        | {"checkpoint", "run", "training", "online", "recipe", "forecaster"}
        | {"recalibration", "residuals"},
        NUMBERS | {"torch"},
    ),
    "columns": ({"table", "features"}, {"pandas", "sklearn"}),
    "parameters": (
        {"features", "missingness", "models", "moo", "objectives", "presets"},
        {"torch", "sklearn"},
    ),
    "uncertainty": ({"chunks", "columns"}, NUMBERS | {"sklearn"}),
    "imputer": (
        {"table", "schema", "assignment", "encoding", "evaluation", "parameters", "progress"}
        | {"recipe", "checkpoint", "chunks", "columns", "engine", "weights", "callbacks"}
        | {"uncertainty"},
        NUMBERS | {"torch", "sklearn"},
    ),
    "persistence": (
        {"_version", "table", "features", "likelihoods", "moo", "models", "objectives", "schedule"}
        | {
            "codecs",
            "calibration",
            "matching",
            "explanatory",
            "residuals",
            "encoding",
            "selection",
            "repeats",
            "online",
            "run",
            "recipe",
            "engine",
            "parameters",
            "imputer",
        },
        NUMBERS | {"torch", "sklearn", "safetensors", "pyarrow"},
    ),
    "plotting": (
        {"table", "chunks", "columns", "features", "schema"},
        NUMBERS | {"sklearn", "matplotlib"},
    ),
    "__init__": ({"_version", "imputer", "persistence", "pooling"}, set()),
    "cli": (
        {"_version", "table", "features", "schema", "evaluation", "moo", "presets", "imputer"}
        | {"_version", "persistence", "plotting"},
        NUMBERS | {"pyarrow", "matplotlib"},
    ),
    "__main__": ({"cli"}, set()),
}


def imported(nodes):
    """Full names of the modules, or of what is taken from them, that some statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def running(tree):
    """All nodes but what type checkers alone import: annotations may name what stands above."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from running(node)


def parsed(module):
    return ast.parse(SOURCES[module].read_text())


def edges(module):
    """What a module imports: (our modules and packages, private modules of ours, others)."""
    own, private, others = set(), set(), set()
    for name in imported(running(parsed(module))):
        top, *rest = name.split(".")
        if top == "skhvae":
            own.add(rest[0])
            if len(rest) > 1 and rest[1].startswith("_") and not rest[1].startswith("__"):
                private.add(rest[0])
        elif top not in sys.stdlib_module_names:
            others.add(top)
    return own, private, others


def unit(module):
    return module.split(".")[0]


def test_allowed_imports_go_one_way():
    below = set()
    for name, (own, _) in ALLOWED.items():
        assert own <= below, f"{name} may import what stands above it: {own - below}"
        below.add(name)


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_imports(module):
    name = unit(module)
    if name not in ALLOWED:
        pytest.fail(f"{module} is new: say in ALLOWED where it stands.")
    own, private, others = edges(module)
    allowed_own, allowed_others = ALLOWED[name]
    assert own - {name} <= allowed_own
    assert others <= allowed_others
    assert private <= {name}, "private modules of another package"


def test_the_walk_sees_imports():
    """Or the tests above show nothing."""
    assert len(SOURCES) > 20
    assert {unit(module) for module in SOURCES} == set(ALLOWED)
    assert edges("imputer")[0] >= {"table", "schema", "engine"}
    assert edges("models._heads")[1] == {"models"}
    assert edges("models._heads")[2] >= {"torch"}
    assert "moo" not in edges("typing")[0]


def at_import(tree):
    """Statements that run when a module is imported: all but the insides of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from at_import(node)


def optional(tree):
    """What is imported at once of the libraries that need not be there."""
    names = {name.split(".")[0] for name in imported(at_import(tree))}
    return names & (OPTIONAL | {"matplotlib"})


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_optional_libraries_are_imported_inside_functions_alone(module):
    assert not optional(parsed(module))


def test_optional_libraries_would_be_found():
    for line in ("from matplotlib import pyplot", "import polars", "import pyarrow.compute"):
        assert not optional(ast.parse(f"class A:\n    def f(self):\n        {line}"))
        assert optional(ast.parse(line))
        assert optional(ast.parse(f"class A:\n    if True:\n        {line}"))


PUBLIC = {
    name.removesuffix(".__init__") for name in SOURCES if "._" not in name or "__init__" in name
}


@pytest.mark.parametrize("module", sorted(PUBLIC - {"__init__"}))
def test_public_names_exist(module):
    loaded = importlib.import_module(f"skhvae.{module}")
    assert loaded.__doc__
    for public in loaded.__all__:
        assert getattr(loaded, public) is not None


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_importing_the_package_is_quick_and_silent():
    code = "import skhvae, sys; sys.exit(' '.join({'torch', 'pandas', 'sklearn'} & {*sys.modules}))"
    process = run(code)
    assert (process.stdout, process.stderr.strip()) == ("", "")


def test_the_front_door():
    process = run(
        "from skhvae import HeterogeneousVAEImputer as imputer, __version__; print(imputer.__module__)"
    )
    assert (process.stdout, process.stderr) == ("skhvae.imputer\n", "")
    assert skhvae.__version__ == version("skhvae")
    assert {"HeterogeneousVAEImputer", "__version__", "load", "pool", "save"} <= set(dir(skhvae))
    assert skhvae.pool.__module__ == "skhvae.pooling"
    for name in ("load", "save"):
        assert getattr(skhvae, name).__module__ == "skhvae.persistence"
    with pytest.raises(AttributeError, match="no attribute 'Imputer'"):
        skhvae.Imputer  # noqa: B018
