"""Look at every page of the built site in headless Chromium, as a reader's browser shows it.

    python docs/site/build.py && python docs/site/check_in_browser.py
    python docs/site/check_in_browser.py --browser /usr/bin/chromium --screenshots shots

Each page is opened from a server on this machine, wide and narrow: no errors in the console, no
request to anywhere else, pictures there, nothing wider than a phone, and on a wide screen no code
or table that has to be scrolled. The search is asked from the server and from the file. The
screenshots show whole pages, light and dark. It needs playwright (pip install playwright) and a
Chromium, its own or the machine's; without them it says so, and exits with status 0.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
WIDTHS = {"wide": 1280, "phone": 390}
SHOWN = (
    *("index", "readme", "guide", "lessons/01-relu", "cookbook/README", "cookbook/regression"),
    *("compile", "checking_gradients", "kinks", "layers", "ops", "pictures", "comparison"),
    *("reference/index", "reference/nn", "reference/ops", "source/index"),
)
QUERY, ANSWER = "leaky_relu", "reference/ops"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")

MISSING_PICTURES = """() => [...document.images]
    .filter(image => !(image.complete && image.naturalWidth)).map(image => image.src)"""
COPIED = "() => typed(document.querySelector('div.highlight-python pre'))"
CUT_OFF = """() => [...document.querySelectorAll("article pre, article .table-wrapper")]
    .filter(block => block.scrollWidth > block.clientWidth)
    .map(block => [block.scrollWidth - block.clientWidth, block.innerText.slice(0, 50)])"""
TOO_WIDE = "() => document.documentElement.scrollWidth - window.innerWidth"


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that does not tell what it serves."""

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


def main() -> int:
    """Check the site; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--site", type=Path, default=SITE, help="default: build/site")
    parser.add_argument("--browser", help="the program; default: playwright's own, or one on PATH")
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of main pages")
    options = parser.parse_args()
    if not (options.site / "index.html").exists():
        print(f"check_in_browser: {options.site} is not built. Run python docs/site/build.py.")
        return 1
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        print("skipped: playwright is not installed (pip install playwright).")
        return 0
    with sync_playwright() as playwright:
        try:
            browser = launched(playwright.chromium, options.browser)
        except Error as error:
            print(f"skipped: no Chromium could be started: {str(error).splitlines()[0]}")
            return 0
        found = list(findings(browser, options.site.resolve(), options.screenshots))
        browser.close()
    print("\n".join(found) if found else "Nothing to find fault with.")
    return int(bool(found))


def launched(chromium: Any, program: str | None) -> Any:
    """Return a browser: the one named, or playwright's own, or one that the machine has."""
    own = Path(chromium.executable_path).exists()
    on_path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    program = program or (None if own else on_path)
    return chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])


def findings(browser: Any, site: Path, shots: Path | None) -> Iterator[str]:
    """Yield a line for each fault."""
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    names = [name for name in names if not name.startswith("_static")]
    with served(site) as address:
        for label, width in WIDTHS.items():
            page = Watched(browser, width, address)
            for name in names:
                yield from page.visit(name)
            yield from search(page, address)
            yield from copy(page)
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                take_pictures(page, shots, label)
            print(f"{label}: {len(names)} pages, {page.pictures} pictures, search for {QUERY}")
        page = Watched(browser, WIDTHS["wide"], site.as_uri())
        yield from search(page, site.as_uri())
        print(f"from the file: search for {QUERY}")


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine; give its address."""
    handler = functools.partial(Quiet, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class Watched:
    """A page of a browser, with all that its console and its requests tell."""

    def __init__(self, browser: Any, width: int, address: str) -> None:
        size = {"width": width, "height": 844}
        self.page = browser.new_context(viewport=size).new_page()
        self.address = address
        self.width = width
        self.pictures = 0
        self.heard: list[str] = []
        self.page.on("console", self.note_error)
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("requestfailed", self.note_failure)
        self.page.on("request", self.note)

    def note_error(self, said: Any) -> None:
        """Remember an error in the console."""
        if said.type == "error":
            self.heard.append(said.text)

    def note(self, request: Any) -> None:
        """Remember a request that leaves the machine."""
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.heard.append(f"asked for {request.url}")

    def note_failure(self, request: Any) -> None:
        """Remember a request without an answer, unless the page was left before it came."""
        if request.failure != "net::ERR_ABORTED":
            self.heard.append(f"failed: {request.url}")

    def visit(self, name: str) -> Iterator[str]:
        """Open a page, and yield what is wrong with it."""
        self.heard.clear()
        self.page.goto(f"{self.address}/{name}", wait_until="load")
        self.page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
        yield from (f"{name}: {text}" for text in self.heard)
        missing = self.page.evaluate(MISSING_PICTURES)
        yield from (f"{name}: the picture {address} is missing" for address in missing)
        self.pictures += self.page.evaluate("document.images.length")
        beyond = self.page.evaluate(TOO_WIDE)
        if beyond > 0:
            yield f"{name}: {beyond} px wider than a screen of {self.width}"
        for beyond, text in self.page.evaluate(CUT_OFF) if self.width >= WIDTHS["wide"] else ():
            yield f"{name}: a block cut off by {beyond} px on a screen of {self.width}: {text!r}"


def search(watched: Watched, address: str) -> Iterator[str]:
    """Type a name into the search, and yield a fault unless it is found."""
    from playwright.sync_api import Error

    watched.heard.clear()
    page = watched.page
    page.goto(f"{address}/index.html")
    try:
        if not page.locator(".sidebar-search").is_visible():
            page.goto(f"{address}/search.html?q={QUERY}")  # a phone has it behind the menu
        else:
            page.fill(".sidebar-search", QUERY)
            page.press(".sidebar-search", "Enter")
        page.wait_for_selector(f"#search-results a[href*='{ANSWER}']", timeout=20_000)
    except Error as error:
        yield f"search: {QUERY} was not found: {str(error).splitlines()[0]}"
    yield from (f"search: {text}" for text in watched.heard)


def copy(watched: Watched) -> Iterator[str]:
    """Yield a fault if the button that copies code would take prompts or outputs along."""
    watched.page.goto(f"{watched.address}/guide.html")
    copied = watched.page.evaluate(COPIED)
    if copied != "import numpy as np\nimport microgrid as mg\n":
        yield f"guide.html: the first block would be copied as {copied!r}"


def take_pictures(watched: Watched, shots: Path, label: str) -> None:
    """Write pictures of main pages from top to bottom, light and dark."""
    for name in SHOWN:
        for scheme in ("light", "dark"):
            watched.page.emulate_media(color_scheme=scheme)
            watched.page.goto(f"{watched.address}/{name}.html", wait_until="load")
            file = f"{name.replace('/', '-')}-{label}-{scheme}.png"
            watched.page.screenshot(path=shots / file, full_page=True)


if __name__ == "__main__":
    sys.exit(main())
