"""Sphinx reads this: `make docs`."""

project = "gcrl_zoo"
author = "gcrl_zoo contributors"
copyright = author

extensions = ["myst_parser", "sphinx_copybutton", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # links to headings, as on GitHub
myst_fence_as_directive = ["mermaid"]  # GitHub's way to write a diagram

html_theme = "furo"
html_title = "gcrl_zoo"
