"""Docstrings as Markdown: sections become lists, examples become blocks, the rest stays prose."""

from __future__ import annotations

import re
import textwrap

SECTIONS = "Args|Attributes|Returns|Yields|Raises"
LABELS = "Source|Input shape|Output shape"
TITLES = {"Args": "Arguments"}


def to_markdown(doc: str) -> str:
    """Return a docstring in this project's style as Markdown."""
    starts = rf"^(?:(?:{SECTIONS}):\n|(?:{LABELS}): )"
    doc = re.sub(rf"\n(?={starts})", "\n\n", doc, flags=re.M)  # each starts a block of its own
    doc = re.sub(r"^(?!>>>|\.\.\. )(.+)\n(?=>>> )", _split_prose, doc, flags=re.M)
    blocks = re.split(r"\n\s*\n", doc.strip("\n"))
    return "\n\n".join(_block(block) for block in blocks if block.strip())


def escaped(text: str) -> str:
    """Return prose in which only `code` has a meaning to Markdown."""
    if text.count("`") % 2:
        return re.sub(r"([\\`*_<\[\]|#~{}$])", r"\\\1", text)
    parts = text.split("`")  # every second one is code
    parts[::2] = [re.sub(r"([\\*_<\[\]|#~{}$])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def first_sentence(doc: str) -> str:
    """Return the first sentence of a docstring, as Markdown on one line."""
    paragraph = " ".join(doc.strip().split("\n\n")[0].split())
    return escaped(re.split(r"(?<=[\w)`])\. (?=[A-Z`])", paragraph)[0].rstrip(".") + ".")


def _split_prose(match: re.Match[str]) -> str:
    # An output stands right above the next prompt too; prose is told from it by its full stop.
    return f"{match[1]}\n\n" if match[1].endswith(":") else match[0]


def _block(block: str) -> str:
    """Return the Markdown of what stands between two empty lines."""
    head, _, rest = block.partition("\n")
    if re.fullmatch(rf"(?:{SECTIONS}):", head):
        return _section(head.rstrip(":"), textwrap.dedent(rest))
    if block.lstrip().startswith(">>>"):
        return f"```python\n{textwrap.dedent(block)}\n```"
    if re.match(r"\s*[*-] ", head):
        return "\n".join(_entries(textwrap.dedent(block), "* "))
    if block.startswith("    "):  # set apart, as a formula or a command
        return f"```text\n{textwrap.dedent(block)}\n```"
    text = escaped(" ".join(block.split()))
    return re.sub(rf"^({LABELS}):", r"**\1:**", text)


def _section(title: str, body: str) -> str:
    """Return a section: a list of names, or prose."""
    shown = f"**{TITLES.get(title, title)}**"
    if title in ("Returns", "Yields"):
        return f"{shown}\n\n{escaped(' '.join(body.split()))}"
    return "\n".join([shown, "", *_entries(body, "")])


def _entries(body: str, mark: str) -> list[str]:
    """Return the entries of a list, each on one line; what is indented continues an entry."""
    entries: list[str] = []
    for line in body.splitlines():
        if line[:1].strip() and (not mark or line[:2] in ("* ", "- ")):
            entries.append(line.removeprefix("* ").removeprefix("- "))
        elif entries:
            entries[-1] += f" {line.strip()}"
    return [f"* {_named(entry)}" for entry in entries]


def _named(entry: str) -> str:
    """Return an entry with the names before its colon as code."""
    match = re.match(r"([\w*.]+(?:, [\w*.]+)*): (.*)", entry)
    if not match:
        return escaped(entry)
    names = ", ".join(f"`{name}`" for name in match[1].split(", "))
    return f"{names}: {escaped(match[2])}"
