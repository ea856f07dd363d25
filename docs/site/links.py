"""Checks of the built site: links and pictures lead somewhere, nothing comes from a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

# What a browser fetches by itself, in contrast to <a href>.
LOADED = {"src", "srcset", "poster", "data", "background"}
LINKED = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest", "preconnect"}
REMOTE = re.compile(r"(?:https?:)?//", re.I)
IN_STYLES = re.compile(r"(?:@import\s+(?:url\()?|url\()\s*['\"]?((?:https?:)?//[^'\")\s;]+)", re.I)
IN_SCRIPTS = re.compile(
    r"(?:import\s*\(|from\s*|import\s*|fetch\(|importScripts\(|Worker\(|\.open\([^,()]*,\s*"
    r"|\.(?:src|href)\s*=\s*|EventSource\(|WebSocket\()\s*[\"'`]((?:https?:|wss?:)?//[^\"'`]+)"
)
# Most tags of a page of source colour words, and have nothing to be checked.
COLOURS = re.compile(r'<span class="[\w -]*">|</span>')


class Page(HTMLParser):
    """What one page links to, loads, and can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.code = {"style": "", "script": ""}
        self.within = ""
        self.feed(COLOURS.sub("", text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag points to."""
        values = {key: value or "" for key, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        self.within = tag if tag in self.code else ""
        self.loads += [values[key] for key in LOADED & values.keys() if tag != "a"]
        self.code["style"] += values.get("style", "")
        if "href" in values:
            fetched = tag in ("use", "image") or LINKED & set(values.get("rel", "").split())
            (self.loads if fetched and tag != "a" else self.links).append(values["href"])

    def handle_data(self, data: str) -> None:
        """Collect what stands in styles and scripts."""
        if self.within:
            self.code[self.within] += data

    def handle_endtag(self, tag: str) -> None:
        """Leave a style or a script."""
        self.within = ""


def faults(site: Path) -> list[str]:
    """Return what is wrong with a built site, a line for each fault."""
    files = sorted(path for path in site.rglob("*") if path.is_file())
    pages = {path: Page(path.read_text("utf-8")) for path in files if path.suffix == ".html"}
    found = [f"{path.relative_to(site)}: {fault}" for path in pages for fault in dead(path, pages)]
    for path in files:
        urls = remote_loads(path, pages.get(path))
        found += [f"{path.relative_to(site)}: loads {url}" for url in dict.fromkeys(urls)]
    return found


def dead(path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Yield the links and pictures of a page that lead nowhere."""
    page = pages[path]
    for link in dict.fromkeys(page.links + page.loads):
        if re.match(r"[a-z]+:|//", link):
            continue
        target, _, anchor = link.partition("#")
        target = unquote(target.partition("?")[0])
        file = (path.parent / target).resolve() if target else path
        if not file.is_file():
            yield f"no file for {link}"
        elif anchor and file in pages and unquote(anchor) not in pages[file].anchors:
            yield f"no anchor for {link}"


def remote_loads(path: Path, page: Page | None = None) -> list[str]:
    """Return what a browser would fetch from elsewhere to show a file."""
    if path.suffix in (".html", ".svg"):
        page = page or Page(path.read_text("utf-8"))
        urls = [url for url in page.loads if REMOTE.match(url)]
        return urls + in_code(page.code["style"], page.code["script"])
    if path.suffix in (".css", ".js"):
        text = path.read_text("utf-8")
        return in_code(text, "") if path.suffix == ".css" else in_code("", text)
    return []


def in_code(styles: str, scripts: str) -> list[str]:
    """Return the addresses that styles and scripts load."""
    return IN_STYLES.findall(styles) + IN_SCRIPTS.findall(scripts)
