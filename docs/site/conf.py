"""How Sphinx builds the site. docs/site/build.py calls it, on a copy of docs/."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import microgrid  # noqa: E402

project = "microgrid"
author = "the microgrid authors"
project_copyright = author
version = release = microgrid.__version__

extensions = ["myst_parser"]
root_doc = "index"
nitpicky = True
smartquotes = False  # quotes in docstrings are Python's
myst_heading_anchors = 6
myst_links_external_new_tab = False
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
# Types in signatures are words to read: many are private, or NumPy's.
nitpick_ignore_regex = [(r"py:class", r".*")]

html_theme = "furo"
html_title = f"microgrid {version}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = str(HERE / "static" / "icon.svg")
html_logo = html_favicon
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "default"
pygments_dark_style = "github-dark"


class LinkNames(SphinxPostTransform):
    """Make `mg.relu` in running text a link to where it is explained."""

    default_priority = 200

    def run(self, **kwargs: Any) -> None:
        """Wrap each literal that is a public name, unless it is in a link or a title already."""
        objects = self.env.get_domain("py").objects
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removesuffix("()")
            around = literal.parent
            while around and not isinstance(around, (nodes.reference, nodes.title)):
                around = around.parent
            found = objects.get(name)
            if found and not around:
                page = self.env.docname
                link = make_refnode(
                    self.app.builder, page, found.docname, found.node_id, literal.deepcopy()
                )
                literal.replace_self(link)


class MarkCells(SphinxPostTransform):
    """Mark what is not to break within tables: short code, and sizes as 64-32-10; and sentences."""

    default_priority = 100

    def run(self, **kwargs: Any) -> None:
        """Give such code and such cells a class."""
        for cell in self.document.findall(nodes.entry):
            if re.fullmatch(r"\d+(-\d+)+(, \d+)?", cell.astext()):
                cell["classes"].append("net")
            elif len(cell.astext()) > 60 and cell.parent.index(cell):
                cell["classes"].append("prose")
            for literal in cell.findall(nodes.literal):
                if len(literal.astext()) <= 20:
                    literal["classes"].append("short")


class MarkPictures(SphinxPostTransform):
    """Mark the pictures that a dark page may show inverted.

    Not those of the lessons, whose text speaks of black dots, nor weights, where light is 0.
    """

    default_priority = 1  # before pictures move into one folder

    def run(self, **kwargs: Any) -> None:
        """Give them a class."""
        for image in self.document.findall(nodes.image):
            if re.search(r"images/(pictures|cookbook)/(?!weights)", image["uri"]):
                image["classes"].append("turns")


def setup(app: Any) -> dict[str, bool]:
    """Register what this file adds to Sphinx."""
    for transform in (LinkNames, MarkCells, MarkPictures):
        app.add_post_transform(transform)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
