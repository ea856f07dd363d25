"""Write each lesson as a Jupyter notebook, made from the page.

    python docs/make_notebooks.py            write what is out of date
    python docs/make_notebooks.py --check    write nothing; exit status 1 if something is

A notebook holds the page's text, its code without prompts, and the output that the page shows;
behind its first text stands a cell that says how to install microgrid. A picture below its code
becomes the output of a cell. The folded answer of an exercise stays one folded cell of text. The
same page and pictures give the same file, byte for byte: nothing is run.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

LESSONS = Path(__file__).resolve().parent / "lessons"
FOLDER = "notebooks"

# A folded answer, or a block of Python and the picture that follows it, if any.
PIECE = re.compile(
    r"^<details>\n.*?^</details>$"
    r"|^```python\n(?P<code>.*?)^```$(?:\n\n!\[[^\]]*\]\((?P<picture>[^)]+\.png)\))?",
    re.M | re.S,
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"^```.*?^```$|`[^`\n]*`|\]\((?P<target>[^)\s]+)\)", re.M | re.S)
LESSON = re.compile(r"(\d\d-[\w-]+)\.md(#.*)?")
DIRECTIVE = re.compile(r"\s*# doctest:.*$", re.M)

SETUP = """\
# If microgrid is not installed yet, run one of the next lines without its #.
# In a clone, from the folder of this notebook:
# %pip install '../../..[plot]'
# From a package index that has it:
# %pip install microgrid matplotlib
# The links to other pages work in a clone only.
%matplotlib inline"""
EXERCISE = "# Your answer"


class Statement(NamedTuple):
    """A statement of Python without prompts, and the output that a page shows for it."""

    source: str
    output: str


def main() -> int:
    """Write or check the notebooks; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    old = stale()
    if parser.parse_args().check:
        if old:
            print("out of date:", ", ".join(path.name for path in old), file=sys.stderr)
            print("Run python docs/make_notebooks.py.", file=sys.stderr)
        return int(bool(old))
    wanted = pages()
    for path in old:
        if path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(notebook(wanted[path]), "utf-8")
        else:
            path.unlink()
    return 0


def pages() -> dict[Path, Path]:
    """Return the page that each notebook is made from."""
    lessons = sorted(LESSONS.glob("[0-9]*.md"))
    return {LESSONS / FOLDER / f"{page.stem}.ipynb": page for page in lessons}


def stale() -> list[Path]:
    """Return the notebooks that are missing, differ from their page, or have none."""
    wanted = pages()
    differ = [path for path, page in wanted.items() if text_of(path) != notebook(page)]
    return differ + sorted({*(LESSONS / FOLDER).glob("*.ipynb")} - wanted.keys())


def text_of(path: Path) -> str:
    """Return what a file holds, and nothing if there is none."""
    return path.read_text("utf-8") if path.exists() else ""


# --- a page as cells -----------------------------------------------------------------------------


def notebook(page: Path) -> str:
    """Return the notebook of a page, as JSON of nbformat 4.5."""
    made = [*cells(page)]
    number_and_name(made)
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    whole = {"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def cells(page: Path) -> Iterator[dict[str, Any]]:
    """Yield the cells of a page, in order, without numbers and ids; the second one installs."""
    made = cells_of(page)
    yield next(made)
    yield code_cell(SETUP)
    yield from made


def cells_of(page: Path) -> Iterator[dict[str, Any]]:
    """Yield the cells that a page consists of; the first has its title."""
    text = page.read_text("utf-8")
    end = 0
    for match in PIECE.finditer(text):
        yield from text_cells(text[end : match.start()])
        end = match.end()
        if match["code"] is None:
            yield code_cell(EXERCISE)
            yield from text_cells(BLOCK.sub(without_prompts, match[0]))
        else:
            picture = page.parent / match["picture"] if match["picture"] else None
            yield from code_cells(match["code"], picture)
    yield from text_cells(text[end:])


def text_cells(text: str) -> Iterator[dict[str, Any]]:
    """Yield a cell of Markdown, whose links start from the folder of the notebooks; or none."""
    if text.strip():
        source = LINK.sub(moved, text.strip())
        yield {"cell_type": "markdown", "metadata": {}, "source": lines(source)}


def moved(match: re.Match[str]) -> str:
    """Return a link as it is in a notebook: to other notebooks, and to pages one folder up."""
    target = match["target"]
    if target is None or "://" in target or target.startswith("#"):
        return match[0]
    lesson = LESSON.fullmatch(target)
    return f"]({lesson[1]}.ipynb)" if lesson else f"](../{target})"


def code_cells(block: str, picture: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the cells of a block: each ends with an output, as a notebook shows only the last."""
    found = [*cut(statements(block))]
    if picture is not None:
        drawn = "figure" if re.search(r"^>>> figure\b.* = ", block, re.M) else "axes.figure"
        if found[-1].output:
            found.append(Statement(drawn, ""))
        else:
            found[-1] = Statement(joined([found[-1].source, drawn]), "")
    for source, output in found[:-1]:
        yield code_cell(source, outputs(source, output))
    source, output = found[-1]
    yield code_cell(source, outputs(source, output) if picture is None else image(picture))


def code_cell(source: str, shown: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return a cell of code with its outputs."""
    fails = any(output["output_type"] == "error" for output in shown or [])
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": ["raises-exception"]} if fails else {},  # "run all" goes on behind it
        "outputs": shown or [],
        "source": lines(source),
    }


def number_and_name(made: list[dict[str, Any]]) -> None:
    """Number the cells of code as if they had been run in order, and derive ids from contents."""
    seen: Counter[str] = Counter()
    number = 0
    for cell in made:
        content = "".join([cell["cell_type"], *cell["source"]])
        name = hashlib.sha256(content.encode()).hexdigest()[:12]
        seen[name] += 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
        if cell["cell_type"] == "code":
            number += 1
            cell["execution_count"] = number
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = number


# --- a block as statements -----------------------------------------------------------------------


def statements(block: str) -> Iterator[Statement]:
    """Yield the statements of a block with prompts."""
    source: list[str] = []
    output: list[str] = []
    for line in [*block.splitlines(), ">>>"]:
        if line.startswith(">>>"):
            if source:
                code = DIRECTIVE.sub("", "\n".join(source)).rstrip()
                yield Statement(code, "\n".join(output).rstrip().replace("<BLANKLINE>", ""))
            source, output = [line[4:]], []
        elif line.startswith("...") and not output:
            source.append(line[4:])
        else:
            output.append(line)


def cut(found: Iterator[Statement]) -> Iterator[Statement]:
    """Yield what stands up to each output, and what remains, as one statement each."""
    waiting: list[str] = []
    for source, output in found:
        waiting.append(source)
        if output:
            yield Statement(joined(waiting), output)
            waiting = []
    if waiting:
        yield Statement(joined(waiting), "")


def joined(sources: list[str]) -> str:
    """Return statements one below the other, with an empty line behind a compound one."""
    text = ""
    for source in sources:
        compound = text.rpartition("\n")[2].startswith(" ")
        text += ("\n\n" if compound else "\n" if text else "") + source
    return text


def without_prompts(match: re.Match[str]) -> str:
    """Return a fenced block with prompts as code, and its outputs in fences of their own."""
    shown = []
    for source, output in cut(statements(match[1])):
        shown.append(f"```python\n{source}\n```")
        if output:
            shown.append(f"```text\n{output}\n```")
    return "\n\n".join(shown)


# --- outputs -------------------------------------------------------------------------------------


def outputs(source: str, output: str) -> list[dict[str, Any]]:
    """Return the outputs of a cell: the value of its last line, what it printed, or an error."""
    if not output:
        return []
    if output.startswith("Traceback "):
        raised = next(line for line in output.splitlines()[1:] if not line.startswith(" "))
        name, _, message = raised.partition(": ")
        trace = {"ename": name.rpartition(".")[2], "evalue": message, "output_type": "error"}
        return [{**trace, "traceback": output.splitlines()}]
    if has_value(ast.parse(source).body[-1]):
        return [result({"text/plain": lines(output)})]
    return [{"name": "stdout", "output_type": "stream", "text": lines(output + "\n")}]


def has_value(node: ast.stmt) -> bool:
    """Return whether a notebook shows the value of a statement: of expressions but `print`."""
    if not isinstance(node, ast.Expr):
        return False
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return not (isinstance(called, ast.Name) and called.id == "print")


def image(path: Path) -> list[dict[str, Any]]:
    """Return a picture as the value of a cell; nothing if it is not drawn yet."""
    if not path.exists():
        return []
    png = path.read_bytes()
    width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    data = {
        "image/png": base64.b64encode(png).decode() + "\n",
        "text/plain": [f"<Figure size {width}x{height}>"],
    }
    return [result(data)]


def result(data: dict[str, Any]) -> dict[str, Any]:
    """Return a value as it is shown below a cell."""
    about: dict[str, Any] = {"metadata": {}, "output_type": "execute_result"}
    return {"data": data, "execution_count": None, **about}


def lines(text: str) -> list[str]:
    """Return text as nbformat keeps it, so that changes are seen line by line."""
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    sys.exit(main())
