"""How Sphinx makes the site of these pages; `./scripts/docs` runs it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import fastbp

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import reference  # noqa: E402  it stands in _ext

project = "fastbp"
author = "The fastbp developers"
project_copyright = author
version = release = fastbp.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "reference",
    "navigation",
]
exclude_patterns = ["_build", "_vendor"]
nitpicky = True

# -- pages -----------------------------------------------------------------------------------------

myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# -- the reference ---------------------------------------------------------------------------------

templates_path = ["_templates"]
default_role = "py:obj"  # single backticks in docstrings: see _ext/reference.py
shutil.rmtree(HERE / "api" / "generated", ignore_errors=True)  # pages of names that are gone
autosummary_generate = True
autosummary_context = reference.context()
smartquotes = False  # "sgd" is what is typed, and so is --help
autodoc_typehints = "none"  # docstrings tell types, with shapes and units
autodoc_member_order = "groupwise"
autodoc_inherit_docstrings = False  # a hook that a callback has is told once, with Callback
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for these: fastbp's own names lead to their pages
numpydoc_xref_aliases = reference.aliases()

# -- how it looks ----------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_search_scorer = str(HERE / "_ext" / "scorer.js")
html_css_files = ["fastbp.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "fastbp"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "show_toc_level": 2,
    "navigation_with_keys": False,  # the arrows would leave a page that is being read
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# Prompts are not copied with what is typed.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
