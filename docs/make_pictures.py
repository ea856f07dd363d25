"""Draw the pictures of the pages by the code that stands above them.

    python docs/make_pictures.py            draw what is missing, or whose code has changed
    python docs/make_pictures.py --all      draw all
    python docs/make_pictures.py --check    draw nothing; exit status 1 if something is out of date

A picture belongs to a block of Python if it follows it directly, and its name ends in .png or .gif.
It shows the `figure` or the `axes` that the block makes, or saves the `movie`. A file keeps a mark
of the code that drew it, its block and those before it; checking compares these marks.

Drawing needs matplotlib (extra `plot`); checking does not.
"""

from __future__ import annotations

import argparse
import doctest
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(\n!\[[^\]]*\]\((?P<path>[^)]+)\))?", re.M | re.S
)
DRAWN = ".png", ".gif"
DPI, COLOURS = 96, 256


class Block(NamedTuple):
    """A block of Python, the mark of it and all above, and the picture that follows it, if any."""

    code: str
    mark: str
    picture: Path | None


def main() -> int:
    """Draw or check the pictures; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="draw nothing; fail if out of date")
    parser.add_argument("--all", action="store_true", help="draw what is up to date, too")
    options = parser.parse_args()
    old = stale()
    if options.check:
        if old:
            print("out of date:", ", ".join(path.name for path in old), file=sys.stderr)
            print("Run python docs/make_pictures.py.", file=sys.stderr)
        return int(bool(old))
    for page in pages():
        wanted = {block.picture for block in blocks(page) if block.picture}
        if wanted and (options.all or wanted & set(old)):
            draw(page)
    for path in set(old) - needed().keys():
        path.unlink()
    return 0


def pages() -> list[Path]:
    """Return all pages, in order."""
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of Python of a page."""
    above = hashlib.sha256()
    for match in BLOCK.finditer(page.read_text("utf-8")):
        above.update(match["code"].encode())
        path = match["path"] or ""
        picture = (page.parent / path).resolve() if path.endswith(DRAWN) else None
        yield Block(match["code"], f"code {above.hexdigest()[:16]}", picture)


def needed() -> dict[Path, str]:
    """Return the mark of each picture that a page shows below its code."""
    return {b.picture: b.mark for page in pages() for b in blocks(page) if b.picture}


def stale() -> list[Path]:
    """Return the pictures that are missing, drawn by other code, or shown nowhere.

    Not by their bytes, which depend on the version of matplotlib.
    """
    marks = needed()
    folders = {path.parent for path in marks} - {DOCS / "images"}  # those are of make_ops.py
    there = {path for folder in folders if folder.exists() for path in folder.iterdir()}
    return sorted(
        path
        for path in {*marks, *there}
        if path not in marks or not path.exists() or marks[path].encode() not in path.read_bytes()
    )


def draw(page: Path) -> None:
    """Run the code of a page, and write its pictures."""
    names: dict[str, Any] = {}
    for block in blocks(page):
        before = {name: names.get(name) for name in ("figure", "axes", "movie")}
        for example in doctest.DocTestParser().get_examples(block.code):
            exec(compile(example.source, page.name, "exec"), names)
        if block.picture is not None:
            made = {name for name, value in before.items() if names.get(name) is not value}
            block.picture.parent.mkdir(parents=True, exist_ok=True)
            write(page, block, names, made)
            print(block.picture.relative_to(DOCS), block.picture.stat().st_size, "bytes")


def write(page: Path, block: Block, names: dict[str, Any], made: set[str]) -> None:
    """Write one picture.

    Raises:
        ValueError: the block makes none.
    """
    path: Any = block.picture
    if path.suffix == ".gif" and "movie" in made:
        names["movie"].save(path)
        add_comment(path, block.mark)
    elif path.suffix == ".png" and made & {"figure", "axes"}:
        figure = names["figure"] if "figure" in made else names["axes"].figure
        write_png(figure, path, block.mark)
    else:
        raise ValueError(
            f"make_pictures: the block of {page.name} above {path.name} makes neither figure nor "
            "axes, nor a movie for a .gif. Give what it draws one of these names."
        )


def write_png(figure: Any, path: Path, mark: str) -> None:
    """Write a figure in few colours, which takes a third of the room."""
    import io

    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    about = PngInfo()
    about.add_text("Description", mark)
    with Image.open(buffer) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(path, optimize=True, pnginfo=about)


def add_comment(path: Path, text: str) -> None:
    """Write a comment at the end of a GIF: what it is, its length, itself, no more of it."""
    film = path.read_bytes()
    comment = text.encode()
    path.write_bytes(
        film[:-1] + b"\x21\xfe" + bytes([len(comment)]) + comment + b"\x00" + film[-1:]
    )


if __name__ == "__main__":
    sys.exit(main())
