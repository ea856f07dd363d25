"""What the site is made from: the pages of docs/ as they are, those made from code, and the order.

docs/ is copied to another folder, where links that lead out of docs/ are turned to their place in
the site, and the generated pages are added. Nothing is written to docs/.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from reference import reference_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INCLUDED = {"README.md": "readme.md", "benchmarks/README.md": "benchmarks.md"}

# The order in the sidebar. A pattern may match nothing yet; a page that none matches is under More.
NAVIGATION = {
    "Learn": ["readme", "guide", "lessons/index", "lessons/README", "cookbook/README"],
    "Look up": ["reference/index", "ops", "kinks", "layers", "losses", "metrics", "callbacks"],
    "Use": [
        *["checking_gradients", "transforms", "compile", "training", "optimisers", "files"],
        *["doctor", "debugging", "pictures", "data", "second_order", "custom_ops", "strategies"],
    ],
    "More": [],
    "About": ["design", "CHANGELOG", "comparison", "when_not", "benchmarks"],
}
LABELS = {"readme": "Install and README"}  # where the title does not say what to find
FENCE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)
LINK = re.compile(r"\[((?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*)\]\(([^)\s]+)\)")


def stage(folder: Path) -> None:
    """Write all that Sphinx reads into an empty folder."""
    ignored = shutil.ignore_patterns("site", "*.py", "__pycache__")
    shutil.copytree(DOCS, folder, ignore=ignored, dirs_exist_ok=True)
    for path in sorted(folder.rglob("*.md")):
        relative = path.relative_to(folder).as_posix()
        path.write_text(with_links_mended(path.read_text("utf-8"), f"docs/{relative}"), "utf-8")
    for origin, page in INCLUDED.items():
        text = (ROOT / origin).read_text("utf-8")
        (folder / page).write_text(with_links_mended(text, origin, f"docs/{page}"), "utf-8")
    for page, text in reference_pages().items():
        (folder / page).parent.mkdir(exist_ok=True)
        (folder / page).write_text(text, "utf-8")
    add_lessons(folder)
    add_recipes(folder)
    index = folder / "index.md"
    index.write_text(index.read_text("utf-8") + contents(folder), "utf-8")


# --- links ---------------------------------------------------------------------------------------


def with_links_mended(text: str, origin: str, place: str = "") -> str:
    """Return a page with links that lead in the site to where they lead in the repository.

    Args:
        text: Markdown.
        origin: where the page lies in the repository.
        place: where it will lie, as if docs/ were the site; `origin` if it does not move.
    """
    place = place or origin
    code = [match.span() for match in FENCE.finditer(text)]

    def mended(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in code):
            return match[0]
        label, target = match[1], match[2]
        if LINK.search(label):  # a picture that is a link
            label = LINK.sub(mended, label)
        return new_link(label, target, origin, place)

    return LINK.sub(mended, text)


def new_link(label: str, target: str, origin: str, place: str) -> str:
    """Return one link, as Markdown to a page and as HTML to a file of the repository."""
    path, hash_, anchor = target.partition("#")
    if "://" in target or target.startswith("mailto:") or not path:
        return f"[{label}]({target})"
    meant = os.path.normpath(os.path.join(os.path.dirname(origin), path))
    here = os.path.dirname(place)
    if meant in INCLUDED:
        return f"[{label}]({os.path.relpath('docs/' + INCLUDED[meant], here)}{hash_}{anchor})"
    if meant.startswith("docs/") and not meant.endswith(".py"):
        return f"[{label}]({os.path.relpath(meant, here)}{hash_}{anchor})"
    page = f"{meant}.html" if (ROOT / meant).is_file() else f"index.html#{meant}"
    return f'<a href="{os.path.relpath(f"docs/source/{page}", here)}">{label}</a>'


# --- the sidebar ---------------------------------------------------------------------------------


def add_lessons(folder: Path) -> None:
    """Put the lessons below the first page of their folder; if there is none, write one."""
    lessons = sorted(path.stem for path in (folder / "lessons").glob("[0-9]*.md"))
    index, readme = folder / "lessons" / "index.md", folder / "lessons" / "README.md"
    if not lessons:
        return
    first = readme if readme.exists() and not index.exists() else index
    shown = first.read_text("utf-8") if first.exists() else listed(folder / "lessons", lessons)
    first.write_text(shown + toctree("", lessons), "utf-8")


def add_recipes(folder: Path) -> None:
    """Put the recipes below the first page of the cookbook, in the order in which it names them."""
    first = folder / "cookbook" / "README.md"
    if first.exists():
        text = first.read_text("utf-8")
        targets = (match[2].partition("#")[0] for match in LINK.finditer(text))
        recipes = [target for target in targets if (first.parent / target).is_file()]
        names = [Path(target).stem for target in dict.fromkeys(recipes) if "/" not in target]
        first.write_text(text + toctree("", names), "utf-8")


def listed(folder: Path, lessons: list[str]) -> str:
    """Return a page that lists lessons by their titles."""
    titles = {name: title_of(folder / f"{name}.md") for name in lessons}
    rows = [f"1. [{titles[name]}]({name}.md)" for name in lessons]
    return "\n".join(["# Lessons", "", *rows]) + "\n"


def title_of(page: Path) -> str:
    """Return the first title of a page."""
    found = re.search(r"^# (.+)$", page.read_text("utf-8"), re.M)
    return found[1] if found else page.stem


def contents(folder: Path) -> str:
    """Return the sidebar as directives: every page is in it once."""
    within = ("lessons/", "cookbook/", "reference/")  # their first pages list the others
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md")]
    first = ("/index", "/README")
    waiting = {name for name in names if name.endswith(first) or not name.startswith(within)}
    waiting.remove("index")
    sections: dict[str, list[str]] = {}
    for caption, patterns in NAVIGATION.items():
        sections[caption] = []
        for pattern in patterns:
            found = sorted(name for name in waiting if Path(name).match(pattern))
            found = [name for name in found if name.count("/") == pattern.count("/")]
            sections[caption] += found
            waiting -= {*found}
    sections["More"] += sorted(waiting)
    labelled = {
        caption: [f"{label_of(folder / f'{page}.md')} <{page}>" for page in pages]
        for caption, pages in sections.items()
    }
    return "".join(toctree(caption, pages) for caption, pages in labelled.items() if pages)


def label_of(page: Path) -> str:
    """Return the title of a page as far as its colon, which is enough in the sidebar."""
    return LABELS.get(page.stem) or title_of(page).partition(":")[0]


def toctree(caption: str, pages: list[str]) -> str:
    """Return a directive that puts pages into the sidebar."""
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"\n```{{toctree}}\n{options}\n" + "\n".join(pages) + "\n```\n"
