"""Write docs/ops.md, its pictures and the table in docs/kinks.md from the records of the ops.

    python docs/make_ops.py            write what is not up to date
    python docs/make_ops.py --check    write nothing; exit status 1 if something is not

The pictures need matplotlib (extra `plot`); checking does not.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
if str(DOCS) not in sys.path:  # as when a test loads this file
    sys.path.append(str(DOCS))

from op_pictures import MINUS, SLICES, draw  # noqa: E402

import microgrid as mg  # noqa: E402
from microgrid.ops import PUBLIC  # noqa: E402
from microgrid.pieces import Pieces  # noqa: E402

GROUPS = {
    "Arithmetic": "add subtract multiply divide negative power reciprocal square sqrt exp expm1 "
    "log log1p sin cos tanh",
    "Piecewise linear": "relu leaky_relu prelu rrelu relu6 hardtanh hardsigmoid clip absolute "
    "sign softshrink piecewise_linear maximum minimum maxout crelu",
    "Smooth activations": "sigmoid softplus softsign elu selu celu gelu silu mish hardswish "
    "softmax log_softmax logaddexp",
    "Comparisons and choice": "greater greater_equal less less_equal equal not_equal isfinite "
    "argmax argmin where",
    "Reductions": "sum mean var std prod max min norm logsumexp cumsum",
    "Products of vectors and matrices": "matmul dot outer einsum affine",
    "Losses": "mean_squared_error",
    "Shape": "reshape transpose swapaxes moveaxis squeeze expand_dims broadcast_to flip "
    "concatenate stack split pad copy astype",
    "Indexing": "getitem take take_along_axis one_hot",
}
NO_PICTURE = {"copy", "astype"}  # a straight line tells nothing

INTRO = """\
<!-- Written by docs/make_ops.py from the records of the ops. Change those, not this file. -->

# The ops

Every op is a function in `microgrid`: `mg.relu(x)`. If its first argument is `x` or `a`, it is a
method of a Tensor too: `t.relu()`. Given numbers it returns a number, given arrays an array, and
with a Tensor among its inputs a Tensor.

* Below the name stand the **shapes**, as NumPy writes them for generalised functions. `()` is one
  number: such an op works element by element, and broadcasts. `(n,k)` is a matrix, with any
  dimensions in front of it. A dimension with a question mark may be missing. `(...)` takes any
  shape.
* **Slope at kinks**: the slopes left and right of each kink, and in bold the one that a gradient
  uses at the kink. [Kinks](kinks.md) has the rule.
* In the **pictures** the full line is the value and the broken line is the slope. At a kink the
  slope jumps: open dots are the slopes on its two sides, the filled dot is the one that is used.
  Of an op of several numbers you see slices, a colour each: over one of them, with another held.

`mg.OPS` holds the records by name. [Your own op](custom_ops.md) shows how to declare one.
"""

PRIVATE_INTRO = """
## Ops that serve rules only

The rules of derivatives are written in ops too. These have no public name, but you meet them in
`mg.OPS`, in error messages, and in what `print(t)` shows of a gradient that can be differentiated.

| op | value | what to know |
|---|---|---|
"""

MARKERS = (
    "<!-- Written by docs/make_ops.py from the records of the ops. -->",
    "<!-- The end of what docs/make_ops.py wrote. -->",
)

# Parameters whose slopes differ in kind from those of the defaults.
FURTHER_KINKS: dict[str, list[dict[str, Any]]] = {
    "leaky_relu": [{"negative_slope": 2.0}, {"negative_slope": -0.5}],
    "clip": [{"a_min": 0.0, "a_max": None}],
    "piecewise_linear": [{"pieces": Pieces((0.0,), (-1.0, -0.5), (-2.0, 0.0))}],
}


def main() -> int:
    """Write or check the pages and pictures; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check = parser.parse_args().check
    stale = list(stale_pages()) + list(stale_pictures())
    if not check:
        update()
    elif stale:
        print("out of date:", ", ".join(path.name for path in stale), file=sys.stderr)
        print("Run python docs/make_ops.py.", file=sys.stderr)
    return int(check and bool(stale))


def stale_pages() -> Iterator[Path]:
    """Yield the pages that are not what the records say."""
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            yield path


def stale_pictures() -> Iterator[Path]:
    """Yield the pictures that are missing, not needed, or drawn from another record.

    Not by their bytes, which depend on the version of matplotlib.
    """
    wanted = {picture_of(name): caption(name) for name in pictured()}
    for path, text in wanted.items():
        if not path.exists() or f">{text}<" not in path.read_text("utf-8"):
            yield path
    yield from (path for path in sorted(IMAGES.glob("*.*")) if path not in wanted)


def update() -> None:
    """Write all that is not up to date."""
    stale = {*stale_pages(), *stale_pictures()}
    IMAGES.mkdir(exist_ok=True)
    for path, text in pages().items():
        if path in stale:
            path.write_text(text, "utf-8")
    wanted = {picture_of(name): name for name in pictured()}
    for path in stale & {*IMAGES.glob("*.*"), *wanted}:
        if path in wanted:
            draw(wanted[path], path, caption(wanted[path]))
        else:
            path.unlink()


def pages() -> dict[Path, str]:
    """Return the text of each page by its path."""
    kinks = DOCS / "kinks.md"
    before, rest = kinks.read_text("utf-8").split(MARKERS[0])
    after = rest.split(MARKERS[1])[1]
    table = f"{before}{MARKERS[0]}\n\n{kink_table()}\n{MARKERS[1]}{after}"
    return {DOCS / "ops.md": op_page(), kinks: table}


# --- the table of ops ----------------------------------------------------------------------------


def op_page() -> str:
    """Return the page of all ops.

    Raises:
        ValueError: a public op belongs to no group, or a group names one that does not exist.
    """
    listed = [name for names in GROUPS.values() for name in names.split()]
    if sorted(listed) != sorted(PUBLIC):
        wrong = ", ".join(sorted({*listed} ^ {*PUBLIC}))
        raise ValueError(f"make_ops: GROUPS and the public ops differ in {wrong}. Correct GROUPS.")
    parts = [INTRO.rstrip("\n")]
    for title, names in GROUPS.items():
        parts.append(f"\n## {title}\n")
        parts += op_table(names.split())
    rows = (f"| `{op.name}` | {code(op.formula)} | {text_of(op.doc)} |" for op in private_ops())
    return "\n".join(parts) + "\n" + PRIVATE_INTRO + "\n".join(rows) + "\n"


def op_table(names: list[str]) -> list[str]:
    """Return the lines of a table; the last two columns only where an op has something there."""
    kinked = any(has_pieces(name) for name in names)
    drawn = any(name in pictured() for name in names)
    titles = ["op", "value", "what to know"]
    titles += ["slope at kinks"] * kinked + ["picture"] * drawn
    lines = [row(titles), "|" + "---|" * len(titles)]
    for name in names:
        cells = [f"`{call(name)}`<br>{shapes(name)}", *meaning(name)]
        cells += [slopes_at_kinks(name)] * kinked
        cells += [f"![{name}](images/{name}.svg)" if name in pictured() else ""] * drawn
        lines.append(row(cells))
    return lines


def row(cells: list[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def private_ops() -> list[Any]:
    """Return the records that only serve rules, by name."""
    return sorted((op for op in mg.OPS.values() if op.private), key=lambda op: str(op.name))


def call(name: str) -> str:
    """Return how the op is called: its arguments and their defaults, without types."""
    shown = []
    for argument in inspect.signature(PUBLIC[name]).parameters.values():
        star = "*" * (argument.kind is argument.VAR_POSITIONAL)
        value = argument.default
        default = "" if value is argument.empty else f"={short(value)}"
        shown.append(f"{star}{argument.name}{default}")
    return f"{name}({', '.join(shown)})"


def short(value: Any) -> str:
    """Return a default value in few letters."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value.__name__ if isinstance(value, type) else repr(value)


def shapes(name: str) -> str:
    """Return the shapes that the op takes and gives."""
    if name not in mg.OPS:
        return "composed of other ops"
    return code(mg.OPS[name].signature)


def meaning(name: str) -> list[str]:
    """Return the value as a formula, and the conventions in words."""
    if name not in mg.OPS:  # a function that calls ops
        first = (inspect.getdoc(PUBLIC[name]) or "").split("\n\n")[0].removeprefix("Return ")
        # A sentence starts with a capital, but x and relu(x) are names.
        return ["", text_of(re.sub("^(a|the) ", lambda word: word[0].capitalize(), first))]
    op = mg.OPS[name]
    unsaid = not op.has_gradient and "no gradient" not in op.doc
    return [code(op.formula), text_of(op.doc) + " No gradient." * unsaid]


def code(text: str) -> str:
    """Return the text as code within a table."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def text_of(doc: str) -> str:
    """Return the words of a docstring, without its examples, as Markdown within a table."""
    words = " ".join(doc.split(">>>")[0].split())
    parts = words.split("`")  # every second one is code
    parts[::2] = [re.sub(r"([*_\\])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts).replace("|", "\\|")


# --- kinks ---------------------------------------------------------------------------------------


def has_pieces(name: str) -> bool:
    """Return whether the op is piecewise linear in one variable."""
    return name in mg.OPS and mg.OPS[name].pieces is not None


def kinks_of(name: str, params: dict[str, Any]) -> list[tuple[Any, Any, Any, float]]:
    """Return for each kink where it is, the slopes left and right, and the one that is used."""
    op = mg.OPS[name]
    pieces = op.pieces(**params)
    found = []
    for knot, left, right in zip(pieces.knots, pieces.slopes, pieces.slopes[1:], strict=False):
        x = mg.tensor(float(knot), requires_grad=True)
        found.append((knot, left, right, mg.gradients(op(x, **params), x).item()))
    return found


def slopes_at_kinks(name: str) -> str:
    """Return the cell of the op table, for the default parameters."""
    if not has_pieces(name):
        return ""
    return "<br>".join(
        f"at {number(knot)}, between {number(left)} and {number(right)}: **{number(used)}**"
        for knot, left, right, used in kinks_of(name, first_params(name))
    )


def first_params(name: str) -> dict[str, Any]:
    """Return the parameters that the record lists first."""
    return dict(mg.OPS[name].params((1,))[0])


def kink_table() -> str:
    """Return the table of all kinks that the records know."""
    lines = ["| op | kink at | slope to the left | slope to the right | slope used |"]
    lines.append("|---|---|---|---|---|")
    for name in (name for names in GROUPS.values() for name in names.split() if has_pieces(name)):
        for params in [first_params(name), *FURTHER_KINKS.get(name, [])]:
            for knot, left, right, used in kinks_of(name, params):
                numbers = (number(value) for value in (knot, left, right))
                shown = ", ".join([given(params)] if params else [])
                label = f"`{name}`" + (f" with {shown}" if shown else "")
                lines.append(row([label, *numbers, f"**{number(used)}**"]))
    return "\n".join(lines) + "\n"


def given(params: dict[str, Any]) -> str:
    """Return parameters as a call has them."""
    if "pieces" in params:
        pieces = params["pieces"]
        params = {"knots": pieces.knots, "slopes": pieces.slopes}
    return ", ".join(f"`{key}={plain(value)}`" for key, value in params.items())


def plain(value: Any) -> str:
    """Return a parameter's value without needless digits."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(plain, value))}]"
    return str(value) if value is None else f"{value:g}"


def number(value: Any) -> str:
    """Return a number as the page shows it, with a proper minus."""
    if isinstance(value, Fraction):
        return str(value).replace("-", MINUS)
    return f"{value + 0:g}".replace("-", MINUS)  # + 0 turns -0.0 into 0


# --- pictures ------------------------------------------------------------------------------------


def pictured() -> list[str]:
    """Return the ops that have a slope to draw: of one number, or as slices."""
    return [
        name
        for name, op in mg.OPS.items()
        if name in PUBLIC
        and op.signature == "()->()"
        and op.has_gradient
        and name not in NO_PICTURE
    ] + list(SLICES)


def picture_of(name: str) -> Path:
    """Return where the picture of an op is kept."""
    return IMAGES / f"{name}.svg"


def caption(name: str) -> str:
    """Return what the picture shows: it is written into the file, and tells whether it is stale."""
    if name in SLICES:
        return f"Value and slope: {SLICES[name].caption}"
    op = mg.OPS[name]
    domain = op.domains[0]
    parts = [name, *([given(first_params(name)).replace("`", "")] if first_params(name) else [])]
    parts.append(f"from {domain.low:g} to {domain.high:g}")
    if op.pieces:
        pieces = op.pieces(**first_params(name))
        parts.append(f"knots {plain_all(pieces.knots)}, slopes {plain_all(pieces.slopes)}")
    return f"Value and slope: {'; '.join(parts)}"


def plain_all(values: tuple[Any, ...]) -> str:
    """Return numbers in a row."""
    return " ".join(str(value) for value in values)


if __name__ == "__main__":
    sys.exit(main())
