"""How the documentation is built: ``python -m sphinx -W --keep-going docs docs/_build/html``."""

import os
from importlib.metadata import version as version_of
from pathlib import Path

import latex2mathml.converter
from docutils import nodes

ROOT = Path(__file__).parent.parent
os.environ.setdefault("MPLBACKEND", "Agg")
# Small examples, for a check that the documentation builds.
SMALL = os.environ.get("SKHVAE_DOCS_SMALL") == "1"
if SMALL:
    os.environ["SKHVAE_EXAMPLE_ROWS"] = "300"

project = "skhvae"
author = "the skhvae developers"
release = version = version_of("skhvae")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
root_doc = "index"
exclude_patterns = ["_build", "gallery/**.md5", "gallery/*.zip"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the gallery is configured by a function

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings tell types, and more of them
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = f"skhvae {release}"
html_show_sourcelink = False
html_favicon = "favicon.svg"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "changelog": [], "contributing": []}
html_theme_options = {
    "show_toc_level": 2,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}

# Arguments of examples in the gallery, where every one is to run in a minute and a half.
ARGUMENTS = {
    "01_impute_a_table.py": ["--rows", "3000", "--verbose", "0"],
    "02_feature_overlooking.py": ["--rows", "3000", "--max-steps", "300"],
    "03_search_strategies.py": ["--rows", "1000", "--max-iter", "8"],
    "04_pipeline.py": ["--rows", "1500", "--folds", "3", "--max-iter", "60"],
}
SMALL_ARGUMENTS = {
    "01_impute_a_table.py": ["--rows", "400", "--max-iter", "3", "--verbose", "0"],
    "02_feature_overlooking.py": ["--rows", "400", "--max-steps", "10"],
    "03_search_strategies.py": ["--rows", "200", "--max-iter", "1", "--folds", "2"],
    "04_pipeline.py": ["--rows", "200", "--max-iter", "1", "--folds", "2"],
}


def arguments(gallery_conf, script_vars):
    """What an example is called with."""
    name = Path(script_vars["src_file"]).name
    given = (SMALL_ARGUMENTS if SMALL else ARGUMENTS).get(name, [])
    picture = str(Path(script_vars["target_file"]).with_suffix(".picture.png"))
    text = Path(script_vars["src_file"]).read_text(encoding="utf-8")
    return [*given, "--picture", picture] if '"--picture"' in text else given


sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_\w+\.py$",
    "ignore_pattern": r"/benchmarks/",
    "nested_sections": False,
    "reset_argv": arguments,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": None,
}


# What the converter does not know, or writes as a character that hardly a font has.
INSTEAD = {r"\arg": r"\operatorname{arg}", r"\setminus": r"\smallsetminus"}


def mathml(display: str, around: str):
    """A visitor that writes formulas as browsers know them, so that nothing is loaded for them."""

    def visit(self, node):
        tex = node.astext()
        for unknown, known in INSTEAD.items():
            tex = tex.replace(unknown, known)
        self.body.append(around.format(latex2mathml.converter.convert(tex, display=display)))
        raise nodes.SkipNode  # or TeX would stand beside it

    return visit, None


def setup(app):
    block = '<div class="formula">{}</div>'
    app.add_html_math_renderer("mathml", mathml("inline", "{}"), mathml("block", block))


html_math_renderer = "mathml"
