"""Build the documentation site: Markdown pages, a reference from the docstrings, the source.

    pip install '.[docs]'
    python docs/site/build.py              into build/site; open build/site/index.html
    python docs/site/build.py --output D   into the folder D

Nothing is fetched, neither now nor by a reader. Exit status 1 if Sphinx has a warning, a link or a
picture leads nowhere, or a page would load something from a network.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(ROOT)]


def main() -> int:
    """Build the site and check it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ROOT / "build" / "site"
    parser.add_argument("--output", type=Path, default=default, help="default: build/site")
    output = parser.parse_args().output.resolve()
    start = time.monotonic()
    status = build(output)
    if status == 0:
        count = len(list(output.rglob("*.html")))
        print(f"{count} pages in {time.monotonic() - start:.1f} s: {output / 'index.html'}")
    return status


def build(output: Path) -> int:
    """Write the site into a folder, which is emptied first; return the exit status."""
    try:
        from sphinx.cmd.build import build_main
    except ImportError:
        print("build: Sphinx is not installed. Run pip install '.[docs]'.", file=sys.stderr)
        return 1
    from links import faults
    from pages import stage
    from sources import write_sources

    if output.exists() and any(output.iterdir()) and not (output / "searchindex.js").exists():
        print(f"build: {output} holds something else. Name another folder.", file=sys.stderr)
        return 1
    shutil.rmtree(output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        sources, doctrees = Path(folder, "sources"), Path(folder, "doctrees")
        stage(sources)
        options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE), "-d", str(doctrees)]
        status: int = build_main([*options, str(sources), str(output)])
    write_sources(output)
    for fault in () if status else faults(output):
        print(fault, file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
