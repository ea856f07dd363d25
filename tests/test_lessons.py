"""The lessons: what each must show, how each is built, and the notebooks made from them."""

import ast
import base64
import codeop
import doctest
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIRST = DOCS / "lessons" / "README.md"
LESSONS = sorted((DOCS / "lessons").glob("[0-9]*.md"))
KILOBYTE = 1000

# What must come out, as the lesson's code shows it.
SHOWN = {
    "01": [("mg.relu(5)", "5"), ("mg.relu(-10)", "0")],
    "02": [
        ("mg.relu(x)", "array([ 0,  0,  0,  0,  0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10])"),
        ("x.grad", "array([0., 0., 0., 1., 1., 1.])"),
        ("x.grad", "array(0.)"),
    ],
    "03": [("int(node_1), int(node_2)", "(3, 9)"), ("float(output)", "0.9901095378334")],
    "04": [("hidden", "array([26,  0])"), ("np.dot(hidden, [2, 7])", "52")],
    "05": [
        ("(net(row)) for row in rows", "[52, 63, 0, 148]"),
        ("hidden @ output_weights", "array([ 52,  63,   0, 148])"),
    ],
    "06": [("for layers in (1, 2, 3)", "[52, 832, 1040]")],
    "07": [("A.grad", "array([0., 0., 0., 1., 1.])")],
    "08": [
        ("node(A, -100)", "[0, 0, 0]"),
        ("node(A, 100)", "[308, 310, 312]"),
        ("linear - risk", "1.31"),
        ("round(error, 3)", "0.001"),
    ],
    "09": [
        (
            "for place in inside",
            "[-1.91, -1.25, -1.0, -0.22, 0.26, 0.27, 0.97, 1.23, 1.47, 1.71, 1.95, 2.31]",
        )
    ],
    "10": [("t.grad", "array([0.3, 0.3, 1. , 1. ])"), ("slope.grad", "array(-3.)")],
}
PAGE = """\
# 01. A page

Prose with a [lesson](02-two.md#part), a [page](../guide.md#part), [Python](https://python.org),
`[code](a.md)` and [below](#end).

```python
>>> # what follows is a sum
>>> def double(x):
...     return 2 * x
>>> y = double(2)
>>> y
4
>>> print("a")
a
>>> for word in ("a", "b"):
...     print(word)
...     print()
a
<BLANKLINE>
b
<BLANKLINE>
>>> z = 3  # doctest: +SKIP
```

```python
>>> axes = draw()
```

![a picture](images/one.png)

```python
>>> axes = draw()
>>> figure, others = draw()
```

![another picture](images/one.png)

```python
>>> 1 / 0
Traceback (most recent call last):
    ...
ZeroDivisionError: division by zero
```

<details>
<summary>Answer</summary>

See [this](../kinks.md).

```python
>>> w = 1
>>> w + 1
2
```

</details>

The end.
"""

every_lesson = pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_notebooks", DOCS / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(script, tmp_path, monkeypatch):
    """A folder of two lessons, on which the script works."""
    picture = DOCS / "lessons" / "images" / "01-relu.png"
    (tmp_path / "images").mkdir()
    shutil.copy(picture, tmp_path / "images" / "one.png")
    (tmp_path / "01-one.md").write_text(PAGE, "utf-8")
    (tmp_path / "02-two.md").write_text("# 02. Two\n\nText.\n", "utf-8")
    monkeypatch.setattr(script, "LESSONS", tmp_path)
    return tmp_path


@pytest.fixture
def run(script, monkeypatch):
    """The script, called with arguments."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["make_notebooks.py", *arguments])
        return script.main()

    return call


@pytest.fixture
def cells(script, folder):
    """The cells of the page above."""
    return json.loads(script.notebook(folder / "01-one.md"))["cells"]


def examples(text):
    """Return the statements of a page and what it shows for them, by Python's own parser."""
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    return [ex for block in blocks for ex in doctest.DocTestParser().get_examples(block)]


def source(cell):
    return "".join(cell["source"])


def code(cells):
    return [source(cell) for cell in cells if cell["cell_type"] == "code"]


# --- lessons -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "of", "value"), [(n, *pair) for n, pairs in SHOWN.items() for pair in pairs]
)
def test_a_lesson_shows_the_number_that_it_is_about(number, of, value):
    (page,) = (page for page in LESSONS if page.name.startswith(number))
    shown = [ex.want.strip() for ex in examples(page.read_text("utf-8")) if of in ex.source]
    assert value in shown


def test_there_are_twenty_lessons_and_the_first_page_lists_each_with_its_notebook():
    row = r"^(\d+)\. \[.*\]\((.*)\.md\): .*\n +\(\[notebook\]\(notebooks/(.*)\.ipynb\)\)$"
    listed = re.findall(row, FIRST.read_text("utf-8"), re.M)
    assert listed == [(str(i), page.stem, page.stem) for i, page in enumerate(LESSONS, 1)]
    assert len(listed) == 20


@every_lesson
def test_a_lesson_has_a_number_a_figure_and_an_exercise_with_a_folded_answer(page):
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.name[:2]}. ")
    assert f"](images/{page.stem}.png)" in text
    answer = text.partition("\n## Exercise\n")[2]
    assert answer.count("<details>\n<summary>Answer</summary>\n\n") == 1
    assert answer.count("\n\n</details>\n") == 1
    assert ">>> " in answer


@every_lesson
def test_a_lesson_ends_with_links_to_its_neighbours_and_to_a_page_that_goes_deeper(page):
    end = page.read_text("utf-8").rpartition("</details>")[2]
    at = LESSONS.index(page)
    near = [LESSONS[i].name for i in (at - 1, at + 1) if 0 <= i < len(LESSONS)]
    assert [name for name in near if f"]({name})" not in end] == []
    assert "](../" in end


@every_lesson
def test_a_lesson_is_short(page):
    assert len(page.read_text("utf-8").splitlines()) <= 150


def test_the_pictures_of_lessons_take_little_room():
    sizes = {path.name: path.stat().st_size for path in (DOCS / "lessons/images").iterdir()}
    assert [name for name, size in sizes.items() if size > 40 * KILOBYTE] == []
    assert sum(sizes.values()) < 900 * KILOBYTE


# --- what is pasted ------------------------------------------------------------------------------

# The script asks for a browser at its end; its functions are there before that.
COPY = """\
const script = {};
try {
  require("vm").runInNewContext(require("fs").readFileSync(process.argv[1], "utf-8"), script);
} catch (error) {
  if (!script.withoutPrompts) throw error;
}
const sessions = JSON.parse(require("fs").readFileSync(0, "utf-8"));
console.log(JSON.stringify(sessions.map(script.withoutPrompts)));
"""


@pytest.fixture(scope="module")
def copied():
    """What the site's button copies: a function of blocks without their outputs, by Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")

    def copy(sessions):
        command = [node, "-e", COPY, str(DOCS / "site" / "static" / "site.js")]
        given = json.dumps(sessions)
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return copy


def typed_in(text):
    """Return the statements that Python's prompt makes of lines, and what waits for more."""
    found, waiting = [], []
    for line in text.splitlines():
        waiting.append(line)
        if codeop.compile_command("\n".join(waiting)) is not None:
            found += ast.parse("\n".join(waiting)).body
            waiting = []
    return found, waiting


def test_what_the_button_copies_can_be_pasted_into_python(copied):
    blocks = [
        doctest.DocTestParser().get_examples(block)
        for page in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    ]
    assert len(blocks) > 300
    sources = [[ex.source.splitlines() for ex in block] for block in blocks]
    sessions = [
        "".join(f"{'...' if i else '>>>'} {line}\n" for ex in block for i, line in enumerate(ex))
        for block in sources
    ]
    for block, pasted in zip(blocks, copied(sessions), strict=True):
        found, waiting = typed_in(pasted)
        assert waiting == []
        expected = ast.parse("".join(ex.source for ex in block)).body
        assert [*map(ast.dump, found)] == [*map(ast.dump, expected)]


def test_an_empty_line_ends_a_def_and_a_for_and_stands_nowhere_else(copied):
    session = ">>> def f(x):\n...     y = x\n... \n...     return y\n>>> f(1)\n>>> f(2)\n"
    loop = ">>> for i in (1, 2):\n...     print(i)\n... else:\n...     f(3)\n"
    assert copied([session, loop]) == [
        "def f(x):\n    y = x\n    return y\n\nf(1)\nf(2)\n",
        "for i in (1, 2):\n    print(i)\nelse:\n    f(3)\n\n",
    ]


# --- notebooks of the lessons --------------------------------------------------------------------


def test_notebooks_are_up_to_date(script):
    stale = [path.name for path in script.stale()]
    assert not stale, f"run python docs/make_notebooks.py: {stale}"


@every_lesson
def test_a_notebook_has_the_statements_of_its_page_in_their_order(script, page):
    text = re.sub(r"^<details>.*?^</details>$", "", page.read_text("utf-8"), flags=re.M | re.S)
    expected = "\n".join(example.source for example in examples(text))
    found = code(json.loads(script.notebook(page))["cells"])[1:]
    written = re.sub(r"^(axes\.)?figure$", "", "\n".join(found), flags=re.M)
    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(expected))


@every_lesson
def test_a_notebook_is_valid(script, page):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.reads(script.notebook(page), as_version=nbformat.NO_CONVERT))


@every_lesson
def test_cells_have_different_ids_of_the_letters_that_are_allowed(script, page):
    ids = [cell["id"] for cell in json.loads(script.notebook(page))["cells"]]
    assert len(ids) == len({*ids})
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in ids)


# --- how a page becomes a notebook ---------------------------------------------------------------


def test_code_is_cut_behind_each_output_and_has_no_prompts(cells):
    assert code(cells)[1:4] == [
        "# what follows is a sum\ndef double(x):\n    return 2 * x\n\ny = double(2)\ny",
        'print("a")',
        'for word in ("a", "b"):\n    print(word)\n    print()',
    ]
    assert code(cells)[4] == "z = 3"


def test_below_the_title_a_cell_tells_how_to_install_and_lets_figures_be_shown(cells):
    assert source(cells[0]).startswith("# 01. A page\n")
    assert "\n# %pip install microgrid" in source(cells[1])
    assert source(cells[1]).endswith("\n%matplotlib inline")


def test_a_value_a_print_and_an_error_are_stored_as_what_they_are(cells):
    value, printed, looped = (cell["outputs"] for cell in cells[2:5])
    assert [(o["output_type"], o["data"]) for o in value] == [
        ("execute_result", {"text/plain": ["4"]})
    ]
    assert printed == [{"output_type": "stream", "name": "stdout", "text": ["a\n"]}]
    assert [o["text"] for o in looped] == [["a\n", "\n", "b\n", "\n"]]
    (failed,) = (cell for cell in cells if source(cell) == "1 / 0")
    (error,) = failed["outputs"]
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert failed["metadata"] == {"tags": ["raises-exception"]}


def test_a_picture_is_the_value_of_its_cell(cells, folder):
    png = (folder / "images" / "one.png").read_bytes()
    drawn = [cell for cell in cells if source(cell).endswith("figure")]
    assert [source(cell).splitlines()[-1] for cell in drawn] == ["axes.figure", "figure"]
    for cell in drawn:
        (output,) = cell["outputs"]
        assert base64.b64decode(output["data"]["image/png"]) == png
    assert not any("![" in source(cell) for cell in cells)


def test_links_lead_to_notebooks_and_to_pages_one_folder_up(cells):
    assert source(cells[0]).endswith(
        "Prose with a [lesson](02-two.ipynb), a [page](../../guide.md#part), "
        "[Python](https://python.org),\n`[code](a.md)` and [below](#end)."
    )


def test_an_answer_is_one_folded_cell_below_an_empty_one(cells):
    (answer,) = (i for i, cell in enumerate(cells) if "<details>" in source(cell))
    assert source(cells[answer - 1]) == "# Your answer"
    assert source(cells[answer]) == (
        "<details>\n<summary>Answer</summary>\n\nSee [this](../../kinks.md).\n\n"
        "```python\nw = 1\nw + 1\n```\n\n```text\n2\n```\n\n</details>"
    )


def test_a_change_of_one_cell_leaves_the_ids_of_the_others(script, folder):
    def ids():
        return [cell["id"] for cell in json.loads(script.notebook(folder / "01-one.md"))["cells"]]

    before = ids()
    (folder / "01-one.md").write_text(PAGE.replace("The end.", "An end."), "utf-8")
    assert [i for i, (a, b) in enumerate(zip(before, ids(), strict=True)) if a != b] == [
        len(before) - 1
    ]


def test_check_fails_until_the_notebooks_are_written(folder, run, capsys):
    assert run("--check") == 1
    assert capsys.readouterr().err == (
        "out of date: 01-one.ipynb, 02-two.ipynb\nRun python docs/make_notebooks.py.\n"
    )
    assert run() == 0
    assert run("--check") == 0


@pytest.mark.parametrize("change", ["page", "picture", "strange"])
def test_a_changed_page_a_changed_picture_and_a_strange_notebook_are_found(folder, run, change):
    run()
    if change == "page":
        (folder / "01-one.md").write_text(PAGE.replace("Prose", "Text"), "utf-8")
    elif change == "picture":
        with (folder / "images" / "one.png").open("ab") as file:
            file.write(b"more")
    else:
        (folder / "notebooks" / "03-three.ipynb").write_text("{}", "utf-8")
    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0
    names = [path.name for path in sorted((folder / "notebooks").iterdir())]
    assert names == ["01-one.ipynb", "02-two.ipynb"]
