"""Sphinx configuration."""

import os
import sys
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
sys.path.append(str(Path(__file__).parent))

from docutils import nodes

import albu_diffusemix

project = "albu-diffusemix"
author = "the albu-diffusemix developers"
copyright = "2026, the albu-diffusemix developers"
release = albu_diffusemix.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.napoleon", "from_code"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "albu-diffusemix"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
smartquotes = False  # flags and messages stay as they are typed

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_custom_sections = [("Targets", "params_style"), ("Image types", "params_style")]
# Examples that write files do so in a folder of their own.
doctest_global_setup = """
import os, tempfile
os.chdir(tempfile.mkdtemp())
"""

# Names of other packages, whose inventories lie on the network, and short names of ours that docstrings use.
nitpick_ignore_regex = [
    ("py:.*", r"(?:.*\.)?(?:Box|Flaw|BaseMix|HostTransform|OpenJob|records\.Location|SourceFile|StoreError)"),
    ("py:.*", r"(A|np|numpy|pathlib|collections|typing|os|random)\..*|Path|Collection|Mapping"),
]


def setup(app):
    """Make each picture a link to itself, so that one can open it large."""
    app.connect("doctree-read", _set_width)


def _set_width(_app, doctree):
    # Sphinx links a picture to its file where the page scales it.
    for picture in doctree.findall(nodes.image):
        picture["width"] = "100%"
