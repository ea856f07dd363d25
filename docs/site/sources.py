"""The source as pages of the site, with a link for each line: an extension of Sphinx."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer, TextLexer

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("microgrid/**/*.py", "microgrid/**/*.txt", "benchmarks/**/*.py", "docs/*.py", "LICENSE")


def source_files() -> list[Path]:
    """Return the files that have a page, in order."""
    return sorted({path for pattern in SHOWN for path in ROOT.glob(pattern)})


def source_pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, content and template of each page, as `html-collect-pages` asks for them."""
    names = [path.relative_to(ROOT).as_posix() for path in source_files()]
    for name in names:
        yield f"source/{name}", {"title": name, "body": page(name)}, "page.html"
    yield "source/index", {"title": "Source", "body": listing(names)}, "page.html"


def page(name: str) -> str:
    """Return a file with its syntax in colour and an anchor for each line."""
    lexer = PythonLexer() if name.endswith(".py") else TextLexer()
    formatter: Any = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True)
    text = (ROOT / name).read_text("utf-8")
    return f"<h1>{escape(name)}</h1>{highlight(text, lexer, formatter)}"


def listing(names: list[str]) -> str:
    """Return a list of all files, by folders, which links can lead to."""
    parts = ["<h1>Source</h1>"]
    folders = sorted({name.rpartition("/")[0] for name in names})
    for folder in folders:
        within = [name for name in names if name.rpartition("/")[0] == folder]
        rows = [f'<li><a href="{name}.html">{name}</a></li>' for name in within]
        title = escape(folder or "the top")
        parts.append(f'<h2 id="{escape(folder)}">{title}</h2><ul>{"".join(rows)}</ul>')
    return "".join(parts)


def setup(app: Any) -> dict[str, bool]:
    """Register the pages with Sphinx."""
    app.connect("html-collect-pages", source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
