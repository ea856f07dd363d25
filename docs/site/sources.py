"""The source as pages of the site: light ones without a sidebar, with an anchor for each line."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, TextLexer

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("microgrid/**/*.py", "microgrid/**/*.txt", "benchmarks/**/*.py", "docs/*.py", "LICENSE")

# Furo's styles, and its way of remembering what the reader chose: light, dark, or the system's.
SHELL = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - microgrid</title>
<link rel="icon" href="{top}/_static/icon.svg">
<link rel="stylesheet" href="{top}/_static/styles/furo.css">
<link rel="stylesheet" href="{top}/_static/pygments.css">
<link rel="stylesheet" href="{top}/_static/site.css">
</head>
<body class="source">
<script>document.body.dataset.theme = localStorage.getItem("theme") || "auto";</script>
<p><a href="{top}/index.html">microgrid</a> / <a href="{top}/source/index.html">source</a></p>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def write_sources(site: Path) -> None:
    """Write a page for each file of source, and one that lists them."""
    files = sorted({path for pattern in SHOWN for path in ROOT.glob(pattern)})
    names = [path.relative_to(ROOT).as_posix() for path in files]
    for name in names:
        write(site / "source" / f"{name}.html", name, highlighted(name), site)
    write(site / "source" / "index.html", "Source", listing(names), site)


def write(path: Path, title: str, body: str, site: Path) -> None:
    """Write one page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    top = Path(os.path.relpath(site, path.parent)).as_posix()
    path.write_text(SHELL.format(title=escape(title), body=body, top=top), "utf-8")


def highlighted(name: str) -> str:
    """Return a file with its syntax in colour and an anchor for each line."""
    lexer = PythonLexer() if name.endswith(".py") else TextLexer()
    formatter: Any = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True)
    text: str = highlight((ROOT / name).read_text("utf-8"), lexer, formatter)
    return text


def listing(names: list[str]) -> str:
    """Return a list of all files, by folders, which links can lead to."""
    parts = []
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        within = [name for name in names if name.rpartition("/")[0] == folder]
        rows = [f'<li><a href="{name}.html">{name}</a></li>' for name in within]
        title = escape(folder or "the top")
        parts.append(f'<h2 id="{escape(folder)}">{title}</h2><ul>{"".join(rows)}</ul>')
    return "".join(parts)
