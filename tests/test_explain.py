"""explain, to_dot and to_mermaid: what a graph is, as a table and as text that others draw."""

from __future__ import annotations

import gc
import html
import re
import weakref
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import microgrid as mg
from microgrid.errors import GraphError, ShapeError

Function = Callable[..., Any]
INF, NAN = np.inf, np.nan
DEEP = 20_000  # Python's recursion ends at 1000

FUNCTIONS = [mg.explain, mg.to_dot, mg.to_mermaid]
each = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


def leaf(value: Any, dtype: Any = float) -> mg.Tensor:
    return mg.tensor(np.array(value, dtype), requires_grad=True)


def table(y: mg.Tensor, *args: Any, **options: Any) -> list[str]:
    return str(mg.explain(y, *args, **options)).splitlines()


def chain(x: mg.Tensor, depth: int) -> mg.Tensor:
    for _ in range(depth):
        x = x + 1.0
    return x


# --- the table -----------------------------------------------------------------------------------


def test_the_table_of_a_small_network() -> None:
    x = mg.tensor([[1.0, 2.0], [-3.0, 0.5]])
    w = leaf([[1.0, -1.0], [0.0, 2.0]])
    loss = (mg.relu(x @ w) * 0.5).mean()
    # x @ w is [[1, 3], [-3, 4]], each relu that passes has the gradient 0.5 / 4 = 0.125, so that of
    # w is x.T @ [[1, 1], [0, 1]] / 8 = [[1, -2], [2, 2.5]] / 8.
    norm = np.sqrt(1 + 4 + 4 + 6.25) / 8
    assert table(loss, names={"x": x, "w": w}) == [
        "#  result             inputs   shape   dtype    values   zeros  gradient",
        "0  x                           (2, 2)  float64  -3 to 2",
        f"1  w                           (2, 2)  float64  -1 to 2    25%    {norm:.4f}",
        "2  matmul             #0, #1   (2, 2)  float64  -3 to 4           0.2165",
        "3  relu               #2       (2, 2)  float64  0 to 4     25%      0.25",
        "4  multiply           #3, 0.5  (2, 2)  float64  0 to 2     25%       0.5",
        "5  mean(axis=(0, 1))  #4       ()      float64  1                      1",
        "4 results of ops, 2 leaves.",
    ]


def test_the_repr_is_the_table_too() -> None:
    explanation = mg.explain(leaf(1.0) * 2)
    assert repr(explanation) == str(explanation)


def test_rows_hold_what_the_table_shows() -> None:
    x = leaf([[3.0, 0.0, 4.0]])
    row = mg.explain(mg.negative(x), [[3.0, 4.0, 0.0]], names={"y": x}).rows[1]
    assert (row.number, row.result, row.inputs, row.shape) == (1, "negative", "#0", (1, 3))
    assert (row.dtype, row.values, row.gradient) == ("float64", "-4 to 0", 5)
    assert row.zeros == pytest.approx(1 / 3, abs=1e-15)  # one rounding


@pytest.mark.parametrize("names", [None, "module", "dict"])
def test_parameters_show_by_their_names(names: Any) -> None:
    model = mg.nn.MLP([2, 3, 1], rng=0)
    given = {"module": model, "dict": dict(model.named_parameters())}.get(names)
    loss = model(mg.ones((4, 2), dtype=np.float32)).sum()
    shown = [row.result for row in mg.explain(loss, names=given).rows if "bias" in row.result]
    assert shown == ([] if names is None else ["0.bias", "1.bias"])


def test_leaves_without_a_name_show_whether_they_get_a_gradient() -> None:
    rows = mg.explain(leaf([1.0]) + mg.ones(1)).rows
    assert [row.result for row in rows] == ["leaf", "constant", "add"]


def test_a_result_shows_by_name_and_op_and_the_first_name_counts() -> None:
    x = leaf(1.0)
    y = mg.exp(x)
    shown = mg.explain(y, names={"y": y, "x": x, "again": x}).rows
    assert [row.result for row in shown] == ["x", "y = exp"]


def test_numbers_in_the_code_stand_among_the_inputs_unless_they_have_a_name() -> None:
    c = mg.tensor(3.0)
    y = 2 * leaf(1.0) + c
    assert [row.inputs for row in mg.explain(y).rows] == ["", "2.0, #0", "#1, 3.0"]
    assert [row.inputs for row in mg.explain(y, names={"c": c}).rows] == [
        "", "", "2.0, #1", "#2, #0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "result"),
    [
        (lambda x: x.sum(), "sum(axis=(0, 1))"),
        (lambda x: x.sum(axis=1, keepdims=True), "sum(axis=(1,), keepdims=True)"),
        (lambda x: x.astype(np.float32), "astype(dtype=dtype('float32'))"),
        (lambda x: mg.leaky_relu(x, 0.25), "leaky_relu(negative_slope=0.25)"),
        (lambda x: mg.clip(x, None, 2), "clip(a_max=2)"),
        (lambda x: x[:, [0, 0, 1]], "gather(index=(slice(None, None, None), int64(3,), Ellipsis))"),
        (lambda x: x.reshape(4), "reshape(shape=(4,))"),
    ],
)
def test_an_op_shows_with_what_it_was_told(make: Function, result: str) -> None:
    assert mg.explain(make(leaf(np.ones((2, 2))))).rows[-1].result == result


def test_a_long_parameter_is_shortened() -> None:
    y = mg.piecewise_linear(leaf(1.0), list(range(100)), [0.5, 1.5] * 50 + [2])
    assert len(mg.explain(y).rows[-1].result) < 80


@pytest.mark.parametrize(
    ("values", "dtype", "shown", "zeros"),
    [
        ([], float, "none", ""),
        ([7.0], float, "7", ""),
        ([7.0, 7.0], float, "7", ""),
        ([1e-9, 123456.0], float, "1e-09 to 1.235e+05", ""),
        ([0, 0, 0, 5], np.float32, "0 to 5", "75%"),
        ([-0.0, -2.0], float, "-2 to 0", "50%"),
        ([1.0, NAN, 2.0, NAN], float, "1 to 2, 2 nan", ""),
        ([INF, -INF, -INF, NAN], np.float16, "1 nan, 1 inf, 2 -inf", ""),
        ([Fraction(1, 2), Fraction(3)], object, "0.5 to 3", ""),
    ],
)
def test_values_show_as_a_range_of_the_finite_ones_and_counts_of_others(
    values: Any, dtype: Any, shown: str, zeros: str
) -> None:
    row = mg.explain(leaf(values, dtype)).rows[0]
    assert (row.values, row.cells()[6]) == (shown, zeros)


def test_truth_values_and_integers_have_ranges_too() -> None:
    mask, index = mg.tensor([True, False]), mg.tensor([[1, 2]])
    y = mg.where(mask, leaf([1.0, 2.0]), index)
    shown = {row.dtype: (row.values, row.gradient) for row in mg.explain(y, [[1, 1]]).rows[:3]}
    assert shown == {"bool": ("0 to 1", None), "float64": ("1 to 2", 1), "int64": ("1 to 2", None)}


# --- gradients -----------------------------------------------------------------------------------


def test_norms_are_those_that_backward_leaves() -> None:
    model = mg.nn.MLP([3, 5, 2], rng=0)
    x = np.random.default_rng(0).normal(size=(7, 3))
    loss = mg.mse_loss(model(x), np.ones((7, 2)))
    norms = {row.result: row.gradient for row in mg.explain(loss, names=model).rows}
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    for name, p in model.named_parameters():
        # The squares are added up in float64, in another order.
        assert norms[name] == pytest.approx(np.linalg.norm(p.grad.astype(float)), rel=1e-12)


def test_grad_and_graph_stay_as_they_were() -> None:
    x = leaf(3.0)
    (x * x).backward()
    y = x * x
    mg.explain(y)
    assert x.grad == 6
    y.backward()
    assert x.grad == 12


def test_without_one_element_or_a_gradient_the_column_is_empty() -> None:
    assert {row.gradient for row in mg.explain(leaf([1.0, 2.0]) * 2).rows} == {None}
    assert {row.gradient for row in mg.explain(leaf([[1.0]]) * 2).rows} == {2.0, 1.0}


def test_norms_neither_overflow_nor_vanish() -> None:
    for scale in (1e300, 1e-300):
        x = leaf([1.0, 1.0])
        row = mg.explain(x * 1.0, [3 * scale, 4 * scale]).rows[0]
        assert row.gradient == pytest.approx(5 * scale, rel=1e-15)  # a few roundings


def test_what_is_not_finite_is_flagged_with_the_first() -> None:
    y = mg.log(leaf([4.0, 0.0])).sum()
    assert table(y)[-3:] == [
        "2 results of ops, 1 leaf.",
        "Not finite: the values of 2 rows, first #1.",
        "Not finite: the gradients of 1 row, first #0.",
    ]


def test_the_first_gradient_is_the_one_that_backward_comes_to_first() -> None:
    x = leaf(0.0)
    root = mg.sqrt(x * 2.0)
    lines = table(root * 3.0)
    assert [line.split()[-1] for line in lines[1:5]] == ["inf", "inf", "3", "1"]
    assert lines[-1] == "Not finite: the gradients of 2 rows, first #1."


def test_where_anomalies_raise_an_explanation_still_shows_them() -> None:
    x = leaf(0.0)
    with mg.detect_anomaly():
        y = mg.sqrt(x)
        assert mg.explain(y).rows[0].gradient == INF
    with mg.no_grad():
        assert mg.explain(y).rows[0].gradient == INF


# --- large graphs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "numbers", "line", "left_out"),
    [
        (1, [10], 1, "... 10 rows left out, #0 to #9 ..."),
        (2, [0, 10], 2, "... 9 rows left out, #1 to #9 ..."),
        (5, [0, 1, 8, 9, 10], 3, "... 6 rows left out, #2 to #7 ..."),
        (10, [*range(5), *range(6, 11)], 6, "... 1 row left out, #5 ..."),
    ],
)
def test_what_does_not_fit_is_left_out_in_the_middle(
    limit: int, numbers: list[int], line: int, left_out: str
) -> None:
    explanation = mg.explain(chain(leaf(1.0), 10), max_rows=limit)
    assert [row.number for row in explanation.rows] == numbers
    assert explanation.omitted == 11 - limit
    assert str(explanation).splitlines()[line] == left_out


@pytest.mark.parametrize("limit", [11, 12, None])
def test_what_fits_is_shown_whole(limit: int | None) -> None:
    explanation = mg.explain(chain(leaf(1.0), 10), max_rows=limit)
    assert len(explanation.rows) == 11
    assert not explanation.omitted
    assert "left out" not in str(explanation)


def test_rows_left_out_are_flagged_too() -> None:
    x = leaf(0.0)
    y = chain(mg.log(chain(x, 5) - 5.0), 5)
    assert table(y, max_rows=2)[-2:] == [
        "Not finite: the values of 6 rows, first #7.",
        "Not finite: the gradients of 7 rows, first #6.",
    ]


def test_depth_costs_no_stack() -> None:
    y = chain(leaf(1.0), DEEP)
    assert table(y)[-1] == f"{DEEP:,} results of ops, 1 leaf."
    assert mg.to_dot(y).count(" -> ") == mg.to_mermaid(y).count(" --> ") == 2 * DEEP


@each
def test_no_cycle_keeps_the_graph_alive(function: Function) -> None:
    def program() -> tuple[Any, weakref.ref[mg.Tensor]]:
        x = leaf([1.0, 2.0])
        y = mg.exp(x).sum()
        return function(y, names={"x": x}), weakref.ref(x)

    gc.collect()
    gc.disable()
    try:
        result, x = program()
        assert x() is None
        assert str(result)
        assert gc.collect() == 0
    finally:
        gc.enable()


# --- errors --------------------------------------------------------------------------------------


@each
def test_a_released_graph_is_an_error(function: Function) -> None:
    y = leaf(1.0) * 2
    y.backward()
    text = (
        f"{function.__name__}: this graph was already used and released. Call "
        "backward(retain_graph=True) the first time to use it twice."
    )
    with pytest.raises(GraphError, match=f"^{re.escape(text)}$"):
        function(y)


@each
@pytest.mark.parametrize("make", [lambda: mg.ones(2) * 2, lambda: mg.tensor(1.0)])
def test_without_a_graph_there_is_nothing_to_show(function: Function, make: Function) -> None:
    text = (
        f"{function.__name__}: the Tensor has no graph: it was not computed from one with "
        "requires_grad=True, or under no_grad(), or by a compiled function. Set "
        "requires_grad=True on the leaves first; compile the function that calls backward."
    )
    with pytest.raises(GraphError, match=f"^{re.escape(text)}$"):
        function(make())


@each
def test_a_leaf_written_to_since_is_an_error(function: Function) -> None:
    x = leaf(1.0)
    y = x * 2
    x.data = 3.0
    with pytest.raises(GraphError, match=rf"^{function.__name__}: an input of multiply"):
        function(y)


@each
def test_what_is_no_tensor_is_an_error(function: Function) -> None:
    text = (
        f"{function.__name__}: a float was given; it needs a Tensor. Compute it by ops on Tensors."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        function(1.0)


@each
@pytest.mark.parametrize(
    ("names", "what"),
    [
        (
            ["x"],
            "names of type list were given; it needs a Module, or a dict of Tensors by name. Pass "
            "dict(x=x).",
        ),
        (
            {"x": np.ones(2)},
            "names['x'] is of type ndarray; it needs a Tensor. Leave it out, or make it one before "
            "it is used.",
        ),
    ],
)
def test_names_that_are_none_are_an_error(function: Function, names: Any, what: str) -> None:
    text = f"{function.__name__}: {what}"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        function(leaf(1.0) * 2, names=names)


def test_a_gradient_of_another_shape_is_an_error() -> None:
    text = (
        "explain: a gradient of shape (3,) was given for a result of shape (2,); the shapes must "
        "be equal. Broadcast it first."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(text)}$"):
        mg.explain(leaf([1.0, 2.0]) * 2, np.ones(3))


def test_a_number_of_rows_below_1_is_an_error() -> None:
    text = "explain: max_rows=0 was given; it must be at least 1."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        mg.explain(leaf(1.0) * 2, max_rows=0)


# --- DOT -----------------------------------------------------------------------------------------

TOKEN = re.compile(r'\s*(->|[{}\[\]=,;]|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|\Z)', re.DOTALL)


def parsed_dot(text: str) -> tuple[dict[str, dict[str, str]], list[tuple[str, str]]]:
    """Return nodes with attributes, and edges: the part of DOT's grammar that graphs need.

    graph: "digraph" "{" (statement ";"?)* "}"
    statement: ID ("->" ID)* attributes?; attributes: "[" (ID "=" ID ","?)* "]"
    """
    tokens = TOKEN.findall(text)
    assert "".join(tokens) == re.sub(r'("(?:[^"\\]|\\.)*")|\s+', r"\1", text), "not all was read"
    assert tokens[:2] == ["digraph", "{"]
    nodes: dict[str, dict[str, str]] = {}
    edges = []
    at = 2
    while tokens[at] != "}":
        path = [tokens[at]]
        at += 1
        while tokens[at] == "->":
            path.append(tokens[at + 1])
            at += 2
        attributes = {}
        if tokens[at] == "[":
            at += 1
            while tokens[at] != "]":
                name, equals, value = tokens[at : at + 3]
                assert equals == "="
                attributes[name] = value
                at += 3 + (tokens[at + 3] == ",")
            at += 1
        assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in path)
        edges += list(pairwise(path))
        if len(path) == 1:
            assert path[0] not in nodes, "a node is drawn once"
            nodes[path[0]] = attributes
        at += tokens[at] == ";"
    assert [t for t in tokens[at:] if t] == ["}"]
    assert {end for edge in edges for end in edge} <= set(nodes)
    return nodes, edges


def dot_label(attributes: dict[str, str]) -> list[str]:
    """Return the lines that Graphviz shows: \\n parts lines, \\\\ and \\" are characters."""
    quoted = attributes["label"]
    assert quoted[0] == quoted[-1] == '"'
    marked = re.sub(
        r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], quoted[1:-1], flags=re.DOTALL
    )
    return html.unescape(marked).split("\n")


def shared() -> tuple[mg.Tensor, dict[str, mg.Tensor]]:
    """A graph in which x is used three times, and a result twice."""
    x, c = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0])
    y = x * x
    return (y + y * c * 0.5 - x).sum(), {"x": x, "c": c}


NODES = ["x", "c", "multiply", "multiply", "0.5", "multiply", "add", "subtract", "sum(axis=(0,))"]
EDGES = {
    ("x", "multiply"): 2, ("multiply", "multiply"): 2, ("c", "multiply"): 1, ("0.5", "multiply"): 1,
    ("multiply", "add"): 2, ("add", "subtract"): 1, ("x", "subtract"): 1,
    ("subtract", "sum(axis=(0,))"): 1,
}  # fmt: skip


def counted(labels: dict[str, list[str]], edges: list[tuple[str, str]]) -> dict[Any, int]:
    pairs = [(labels[start][0], labels[end][0]) for start, end in edges]
    return {pair: pairs.count(pair) for pair in pairs}


def test_dot_has_each_node_once_and_an_arrow_for_each_use() -> None:
    y, names = shared()
    nodes, edges = parsed_dot(mg.to_dot(y, names))
    labels = {name: dot_label(attributes) for name, attributes in nodes.items()}
    assert sorted(lines[0] for lines in labels.values()) == sorted(NODES)
    assert counted(labels, edges) == EDGES
    shapes = {lines[0]: nodes[name]["shape"] for name, lines in labels.items()}
    assert shapes["x"] == "box"
    assert shapes["c"] == shapes["0.5"] == "plaintext"
    assert shapes["add"] == shapes["multiply"] == "ellipse"
    assert ["c", "(2,) float64"] in labels.values()


NASTY = [
    'a "quoted" name', "back\\slash", 'both \\" of them', "ends in \\", "\\n no line", "&lt;b&gt;",
    "<b>bold</b>", "{a|b}", "]; n0 -> n1", "#quot; %% `code`", "größe ∇ 数", "1. list", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_dot_shows_any_name_as_it_is(name: str) -> None:
    x = leaf([1.0])
    nodes, _ = parsed_dot(mg.to_dot(x * 2, {name: x}))
    assert dot_label(nodes["n0"]) == [name or "leaf", "(1,) float64"]


@pytest.mark.parametrize("function", [mg.to_dot, mg.to_mermaid])
def test_a_name_of_two_lines_stays_within_its_node(function: Function) -> None:
    x = leaf([1.0])
    text = function(x * 2, {"a\nb\r\nc": x})
    between = re.escape("\\n" if function is mg.to_dot else "<br/>")
    assert re.search(between.join(["a", "b", "c", r"\(1,\)"]), text)
    assert len(text.splitlines()) == len(function(x * 2).splitlines())


def test_a_parser_of_graphviz_reads_it_too() -> None:
    pydot = pytest.importorskip("pydot")
    y, names = shared()
    (graph,) = pydot.graph_from_dot_data(mg.to_dot(y, names))
    assert len(graph.get_edges()) == sum(EDGES.values())


def test_the_parser_of_these_tests_finds_faults() -> None:
    good = 'digraph {\n  n0 [label="a\\"b"];\n  n1 [shape=box];\n  n0 -> n1;\n}'
    nodes, edges = parsed_dot(good)
    assert list(nodes) == ["n0", "n1"]
    assert edges == [("n0", "n1")]
    for fault in ('n0 [label="a"b"];', "n0 [label=a b];", "n0 -> n7;", "n1 [shape=box];", "n 0;"):
        with pytest.raises((AssertionError, IndexError, ValueError)):
            parsed_dot(good.replace("n0 -> n1;", fault))


# --- Mermaid -------------------------------------------------------------------------------------

MERMAID_NODE = re.compile(r'  (n\d+)(\["|\("|\[/")([^"]*)("\]|"\)|"/\])')
MERMAID_EDGE = re.compile(r"  (n\d+) --> (n\d+)")


def parsed_mermaid(text: str) -> tuple[dict[str, tuple[str, list[str]]], list[tuple[str, str]]]:
    """Return the shape and the lines of each node, and the edges."""
    first, *lines = text.split("\n")
    assert first == "flowchart TD"
    nodes: dict[str, tuple[str, list[str]]] = {}
    edges = []
    for line in lines:
        if edge := MERMAID_EDGE.fullmatch(line):
            edges.append((edge[1], edge[2]))
            continue
        node = MERMAID_NODE.fullmatch(line)
        assert node, line
        assert node[1] not in nodes
        parts = node[3].split("<br/>")
        assert not re.search(r"[<>&`%;\\|]", re.sub(r"#\d+;", "", "".join(parts)))
        shown = [re.sub(r"#(\d+);", lambda m: chr(int(m[1])), part) for part in parts]
        nodes[node[1]] = (node[2] + node[4], shown)
    return nodes, edges


def test_mermaid_has_each_node_once_and_an_arrow_for_each_use() -> None:
    y, names = shared()
    nodes, edges = parsed_mermaid(mg.to_mermaid(y, names))
    labels = {name: lines for name, (_, lines) in nodes.items()}
    assert sorted(lines[0] for lines in labels.values()) == sorted(NODES)
    assert counted(labels, edges) == EDGES
    shapes = {lines[0]: shape for shape, lines in nodes.values()}
    assert shapes["x"] == '[""]'
    assert shapes["c"] == shapes["0.5"] == '[/""/]'
    assert shapes["add"] == shapes["multiply"] == '("")'


@pytest.mark.parametrize("name", NASTY)
def test_mermaid_shows_any_name_as_it_is(name: str) -> None:
    x = leaf([1.0])
    nodes, _ = parsed_mermaid(mg.to_mermaid(x * 2, {name: x}))
    assert nodes["n0"][1] == [name or "leaf", "(1,) float64"]
