"""The site: `scripts/docs` builds it into build/docs, with every warning an error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pictures import draw_all

from unspool import __version__

project = "unspool"
release = version = __version__
copyright = "the authors of unspool"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "unspool"
html_static_path = ["_static"]
exclude_patterns = ["_static"]
autodoc_default_options = {
    "members": True,
    "inherited-members": False,
    "show-inheritance": True,
    "exclude-members": "set_fit_request,set_score_request",  # scikit-learn's, with references into its own manual
}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_use_ivar = True
nitpicky = False

draw_all(Path(__file__).parent / "_static" / "cells")
