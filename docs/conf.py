"""Sphinx configuration."""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albu_diffusemix

project = "albu-diffusemix"
author = "the albu-diffusemix developers"
copyright = "2026, the albu-diffusemix developers"
release = albu_diffusemix.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "albu-diffusemix"

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
    ("py:.*", r"(?:.*\.)?(?:Box|Flaw|BaseMix|SourceFile|StoreError)"),
    ("py:.*", r"(A|np|numpy|pathlib|collections|typing|os|random)\..*|Path|Collection|Mapping"),
]
