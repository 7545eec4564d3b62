"""Sphinx: sphinx-build -W --keep-going -b html docs docs/_build/html"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import pictures  # noqa: E402

import noisysim  # noqa: E402

project, author, copyright = "noisysim", "The noisysim developers", "The noisysim developers"
version = release = noisysim.__version__
extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_gallery.gen_gallery",
    "docstrings", "declared", "mathml", "page_code",
]  # fmt: skip
exclude_patterns = ["_build", "_ext", "tutorials", "gallery", "physics", "generated/*/*.ipynb", "generated/*/*.zip"]
html_theme, html_title, html_math_renderer = "furo", "noisysim", "mathml"
html_copy_source = False
html_static_path, html_css_files = ["_static"], ["pages.css"]
pygments_style, pygments_dark_style = "friendly", "monokai"
default_role = "py:obj"

# Markdown
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

# docstrings
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
napoleon_preprocess_types = False

# figures and examples that run
os.environ.setdefault("NOISYSIM_THREADS", "1")
GALLERIES = ["tutorials", "gallery", "physics"]
sphinx_gallery_conf = {
    "examples_dirs": [pictures.scratch(HERE / name) for name in GALLERIES],
    "gallery_dirs": [f"generated/{name}" for name in GALLERIES],
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("pictures.scrape",),
    "reset_modules": ("pictures.reset",),
    "reset_modules_order": "both",
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"matplotlib|Figure",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "min_reported_time": 10**6,
    "plot_gallery": "True",
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
