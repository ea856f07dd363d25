"""A graph as text that other programs draw: Graphviz's DOT, and Mermaid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from .core import Tensor
from .nodes import Names, is_number, names_of, nodes_of, title


class _Box(NamedTuple):
    """What is drawn for a node: a kind, and lines of text in it."""

    kind: str  # "leaf" requires a gradient, "constant" does not, "result" has an op
    lines: tuple[str, ...]


def to_dot(y: Tensor, names: Names = None) -> str:
    r"""Return the graph of y in Graphviz's language DOT, as text; no other program is needed.

    Leaves that require a gradient are boxes, constants plain text, results of ops ellipses. Each
    node is drawn once, however often it is used.

    Args:
        y: any[...], computed from Tensors that require a gradient.
        names: a Module, or Tensors by name, to show instead of "leaf" and "constant".

    Raises:
        TypeError: y is no Tensor, or names no Module and no dict of Tensors.
        GraphError: y has no graph, it was released, or a leaf was written to since.

    Source: graphviz.org/doc/info/lang.html, for the grammar.

    >>> import microgrid as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> print(mg.to_dot(3 * x, names={"x": x}))
    digraph {
      n0 [shape=box, label="x\n(2,) float64"];
      n1 [shape=plaintext, label="3.0"];
      n2 [shape=ellipse, label="multiply\n(2,) float64"];
      n1 -> n2;
      n0 -> n2;
    }
    """
    shapes = {"leaf": "box", "constant": "plaintext", "result": "ellipse"}
    lines = _drawn(
        "to_dot",
        y,
        names,
        lambda i, box: f'n{i} [shape={shapes[box.kind]}, label="{_dot_text(box.lines)}"];',
        lambda start, end: f"n{start} -> n{end};",
    )
    return "\n".join(["digraph {", *lines, "}"])


def to_mermaid(y: Tensor, names: Names = None) -> str:
    """Return the graph of y as a Mermaid flowchart, which GitHub and notebooks draw in Markdown.

    Leaves that require a gradient are rectangles, constants slanted, results of ops rounded. Each
    node is drawn once. Mermaid itself refuses charts of more than 500 arrows unless told otherwise.

    Args:
        y: any[...], computed from Tensors that require a gradient.
        names: a Module, or Tensors by name, to show instead of "leaf" and "constant".

    Raises:
        TypeError: y is no Tensor, or names no Module and no dict of Tensors.
        GraphError: y has no graph, it was released, or a leaf was written to since.

    Source: mermaid.js.org/syntax/flowchart.html, for shapes and escapes.

    >>> import microgrid as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> print(mg.to_mermaid(3 * x, names={"x": x}))
    flowchart TD
      n0["x<br/>(2,) float64"]
      n1[/"3.0"/]
      n2("multiply<br/>(2,) float64")
      n1 --> n2
      n0 --> n2
    """
    shapes = {"leaf": '["{}"]', "constant": '[/"{}"/]', "result": '("{}")'}
    lines = _drawn(
        "to_mermaid",
        y,
        names,
        lambda i, box: f"n{i}" + shapes[box.kind].format(_mermaid_text(box.lines)),
        lambda start, end: f"n{start} --> n{end}",
    )
    return "\n".join(["flowchart TD", *lines])


def _drawn(
    who: str,
    y: Tensor,
    names: Names,
    node_line: Callable[[int, _Box], str],
    edge_line: Callable[[int, int], str],
) -> Iterator[str]:
    """Return the lines for nodes and then for the arrows between them, indented."""
    known = names_of(who, names)
    nodes = nodes_of(who, y)
    number = {node: i for i, node in enumerate(nodes)}
    lines = [node_line(i, _box(node, known)) for i, node in enumerate(nodes)]
    for i, node in enumerate(nodes):
        lines += [edge_line(number[x], i) for x in node.inputs or ()]
    return (f"  {line}" for line in lines)


def _box(node: Tensor, names: Mapping[Tensor, str]) -> _Box:
    if is_number(node, names):
        return _Box("constant", (str(node._data),))
    kind = "result" if node.op is not None else "leaf" if node._requires_grad else "constant"
    return _Box(kind, (title(node, names), f"{node.shape} {node.dtype}"))


def _dot_text(lines: tuple[str, ...]) -> str:
    """Return lines as they stand between quotes in DOT, which knows HTML's entities too."""
    parts = (part for line in lines for part in line.splitlines())
    meaning = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})
    return "\\n".join(part.translate(meaning) for part in parts)


def _mermaid_text(lines: tuple[str, ...]) -> str:
    """Return lines as they stand between quotes in Mermaid: what means something by its number."""
    parts = (part for line in lines for part in line.splitlines())
    return "<br/>".join("".join(map(_mermaid_character, part)) for part in parts)


def _mermaid_character(character: str) -> str:
    if character.isalnum() or character in " _.,:=+-/()[]{}'":
        return character
    return f"#{ord(character)};"
