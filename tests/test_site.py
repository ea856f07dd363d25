"""The documentation site: what it is made from, the checks of what was built, and its order."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import microgrid as mg

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(autouse=True)
def _scripts_of_the_site(monkeypatch):
    """Let the scripts of docs/site import each other, and leave no trace of their short names."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.syspath_prepend(str(DOCS / "site"))
    yield
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(DOCS):
            del sys.modules[name]


@pytest.fixture(scope="module")
def reference():
    """The pages of the reference, by path."""
    sys.path[:0] = [str(DOCS / "site"), str(DOCS)]
    try:
        from reference import reference_pages

        return reference_pages()
    finally:
        del sys.path[:2]


# --- public names --------------------------------------------------------------------------------


def test_every_name_that_modules_show_has_an_entry(reference):
    text = "".join(reference.values())
    spaces = {"mg": mg, "mg.nn": mg.nn, "mg.optim": mg.optim}
    spaces |= {"mg.testing": mg.testing, "mg.errors": mg.errors, "mg.datasets": mg.datasets}
    for prefix, space in spaces.items():
        for name in dir(space):
            value = getattr(space, name)
            if name.startswith("_") or inspect.ismodule(value):
                continue
            if str(getattr(value, "__module__", "")).startswith("microgrid"):
                shown = f"}} {prefix}.{name}"
                assert any(f"{shown}{end}" in text for end in "(\n"), f"{prefix}.{name}"


def test_a_second_name_points_to_the_first(reference):
    entry = reference["reference/init.md"].partition("} mg.nn.init.kaiming_normal(")[2]
    assert "Another name of `mg.nn.init.he_normal`." in entry.partition("`````")[0]


def test_no_name_has_two_entries(reference):
    text = "".join(reference.values())
    entries = [line for line in text.splitlines() if line.startswith("`````{py:")]
    assert len(entries) == len(set(entries)) > 200


def test_every_name_is_where_its_source_link_leads():
    from public import file_of, public_names

    for name in public_names():
        line = file_of(f"microgrid.{name.home}").read_text("utf-8").splitlines()[name.line - 1]
        own = getattr(name.value, "__name__", name.last)
        assert name.last in line or own in line, name


def test_an_op_is_shown_with_its_signature_formula_picture_and_words(reference):
    text = reference["reference/ops.md"]
    entry = text[text.index("{py:function} mg.relu(") :].partition("`````\n")[0]
    assert "mg.relu(x, /)\n" in entry
    assert "![relu and its slope](../images/relu.svg)" in entry
    assert entry.count("Value: `max(x, 0)`.") == 1
    assert "The rectified linear unit. The slope at the kink x = 0 is 0." in entry


def entry_of(text, name):
    """Return an entry of the reference."""
    start = text.index(f"}} {name}(")
    return text[start : text.index("\n`````", start)]


def test_a_layer_links_to_its_op_and_base_and_hides_what_they_explain(reference):
    entry = entry_of(reference["reference/nn.md"], "mg.nn.ELU")
    assert "Applies {py:obj}`mg.elu`. Has the methods of {py:obj}`mg.nn.Module` too." in entry
    assert "{py:method}" not in entry


def test_a_method_that_differs_from_its_bases_is_shown(reference):
    page = reference["reference/optim.md"]
    assert "{py:method} mg.optim.LBFGS.step(" in entry_of(page, "mg.optim.LBFGS")
    assert "{py:method}" not in entry_of(page, "mg.optim.Adam")


def test_a_method_that_no_base_explains_is_shown(reference):
    entry = entry_of(reference["reference/plot.md"], "mg.plot.DecisionMovie")
    assert entry.count("{py:method}") == entry.count("{py:method} mg.plot.DecisionMovie.save(") == 1


def test_every_elementwise_op_with_a_gradient_has_a_picture():
    from make_ops import NO_PICTURE, PUBLIC, picture_of, pictured

    for name in PUBLIC:
        op = mg.OPS.get(name)
        if op and op.has_gradient and op.signature in ("()->()", "(),()->()"):
            assert name in NO_PICTURE or (name in pictured() and picture_of(name).exists()), name


@pytest.mark.parametrize("name", ["sum", "mean", "var", "prod", "max", "min"])
def test_a_slice_through_a_reduction_is_over_the_first_of_two_numbers(name):
    from op_pictures import SLICES

    slices = SLICES[name]
    for value in slices.values:
        expected = [getattr(np, name)([x, value]) for x in (-2.0, 0.5)]
        assert slices.function(mg.tensor([-2.0, 0.5]), value=value).tolist() == expected


def test_a_picture_has_its_caption_its_labels_and_no_needless_digits(tmp_path):
    pytest.importorskip("matplotlib")
    from op_pictures import draw

    draw("norm", tmp_path / "norm.svg", "what it shows")
    text = (tmp_path / "norm.svg").read_text("utf-8")
    assert ">what it shows<" in text
    assert [label in text for label in (">norm([x, b])<", ">b = 0<", ">b = 2<")] == [True] * 3
    assert not re.search(r' [dxy]="[^"]*\.\d\d', text)


def test_a_signature_has_types_without_quotes_and_classes_by_name():
    from reference import signature

    shown = signature(mg.nn.init.he_normal)
    assert shown.startswith("(shape: Sequence[int], rng: Rng = None, dtype: DTypeLike = float32)")


# --- docstrings ----------------------------------------------------------------------------------


def test_formulas_in_docstrings_stay_what_they_are():
    from docstrings import to_markdown

    assert to_markdown("x**2 * |x| < a_b[0], in `code**2`.") == (
        r"x\*\*2 \* \|x\| \< a\_b\[0\], in `code**2`."
    )


def test_sections_become_lists_and_examples_become_blocks():
    from docstrings import to_markdown

    doc = """Return it.

    Args:
        a, b: what goes in,
            and more.

    Returns:
        float[n].

    >>> 1 + 1
    2"""
    assert to_markdown(inspect.cleandoc(doc)) == (
        "Return it.\n\n**Arguments**\n\n* `a`, `b`: what goes in, and more.\n\n"
        "**Returns**\n\nfloat\\[n\\].\n\n```python\n>>> 1 + 1\n2\n```"
    )


# --- pages and links -----------------------------------------------------------------------------


def test_every_page_is_in_the_sidebar_once(tmp_path):
    from pages import stage

    stage(tmp_path)
    names = [page.relative_to(tmp_path).with_suffix("") for page in tmp_path.rglob("*.md")]
    listed = []
    for page in tmp_path.rglob("*.md"):
        for block in page.read_text("utf-8").split("```{toctree}")[1:]:
            lines = [line for line in block.partition("```")[0].split("\n") if line]
            entries = [line.rpartition("<")[2].rstrip(">") for line in lines if line[0] != ":"]
            listed += [(page.parent / entry).relative_to(tmp_path) for entry in entries]
    assert sorted(listed) == sorted(set(names) - {Path("index")})


def test_the_sidebar_begins_with_how_to_install(tmp_path):
    from pages import stage

    stage(tmp_path)
    first = (tmp_path / "index.md").read_text("utf-8").partition(":caption: Learn\n\n")[2]
    assert first.startswith("Install and README <readme>\nGuide <guide>\n")


def test_lessons_are_picked_up_in_order(tmp_path):
    from pages import add_lessons

    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "02-slopes.md").write_text("# Slopes\n")
    (folder / "01-numbers.md").write_text("# Numbers\n")
    add_lessons(tmp_path)
    assert (folder / "index.md").read_text() == (
        "# Lessons\n\n1. [Numbers](01-numbers.md)\n1. [Slopes](02-slopes.md)\n"
        "\n```{toctree}\n:hidden:\n\n01-numbers\n02-slopes\n```\n"
    )


def test_recipes_are_in_the_order_of_their_first_page(tmp_path):
    from pages import add_recipes

    folder = tmp_path / "cookbook"
    folder.mkdir()
    for name in ("baking", "cooking"):
        (folder / f"{name}.md").write_text("# A recipe\n")
    links = "[2](cooking.md) [1](baking.md#oven) [2](cooking.md) [no recipe](../data.md)\n"
    (tmp_path / "data.md").write_text("# Data\n")
    (folder / "README.md").write_text(links)
    add_recipes(tmp_path)
    expected = links + "\n```{toctree}\n:hidden:\n\ncooking\nbaking\n```\n"
    assert (folder / "README.md").read_text() == expected


@pytest.mark.parametrize(
    ("origin", "link", "expected"),
    [
        ("docs/a.md", "[x](b.md#c)", "[x](b.md#c)"),
        ("docs/a.md", "[x](../README.md)", "[x](readme.md)"),
        ("docs/lessons/01.md", "[x](../../benchmarks/README.md)", "[x](../benchmarks.md)"),
        ("docs/a.md", "[`x`](../LICENSE)", '<a href="source/LICENSE.html">`x`</a>'),
        ("docs/a.md", "[x](../benchmarks/)", '<a href="source/index.html#benchmarks">x</a>'),
        ("docs/a.md", "[x](https://a.b/c)", "[x](https://a.b/c)"),
        ("docs/a.md", "`[x](../README.md)`", "`[x](../README.md)`"),
    ],
)
def test_a_link_out_of_the_pages_leads_to_its_place_in_the_site(origin, link, expected):
    from pages import with_links_mended

    assert with_links_mended(link, origin) == expected


# --- checks of what was built --------------------------------------------------------------------


def test_dead_links_anchors_and_pictures_are_found(tmp_path):
    from links import faults

    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">1</a><a href="b.html#there">2</a><a href="none.html">3</a>'
        '<img src="none.png"><a href="https://elsewhere.org">a link is no load</a>'
    )
    assert faults(tmp_path) == [
        "a.html: no anchor for b.html#there",
        "a.html: no file for none.html",
        "a.html: no file for none.png",
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.html", '<script src="https://cdn.net/x.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="//fonts.net/x.css">'),
        ("a.html", '<img src="http://pictures.net/x.png">'),
        ("a.html", "<style>@import url(https://fonts.net/x.css);</style>"),
        ("a.html", "<script>fetch('https://spy.net/')</script>"),
        ("a.html", '<p style="background: url(https://pictures.net/x.png)">'),
        ("a.css", "body { background: url('https://pictures.net/x.png') }"),
        ("a.js", 'import x from "https://cdn.net/x.js"'),
        ("a.js", 'script.src = "https://cdn.net/x.js"'),
        ("a.svg", '<svg><image href="https://pictures.net/x.png"/></svg>'),
    ],
)
def test_whatever_comes_from_a_network_is_found(tmp_path, file, text):
    from links import faults

    (tmp_path / file).write_text(text)
    assert len([fault for fault in faults(tmp_path) if "loads " in fault]) == 1


def test_links_and_addresses_in_words_are_no_loads(tmp_path):
    from links import faults

    (tmp_path / "a.html").write_text('<a href="https://a.org">a</a><p>https://b.org</p>')
    (tmp_path / "a.js").write_text('// see https://c.org\nconst home = "https://d.org";')
    assert faults(tmp_path) == []


def built(folder, text):
    """Build a site of one page and a picture; return how it ended, and the page."""
    for needed in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(needed)
    script = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import build, pages, sources\n"
        "def stage(folder):\n"
        "    (folder / 'images/pictures').mkdir(parents=True)\n"
        "    (folder / 'images/pictures/a.svg').write_text('<svg/>')\n"
        "    (folder / 'index.md').write_text(sys.argv[3])\n"
        "pages.stage, sources.SHOWN = stage, ()\n"
        "sys.exit(build.build(pathlib.Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", script, str(DOCS / "site"), str(folder / "site"), text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    page = folder / "site" / "index.html"
    return done, page.read_text("utf-8") if page.exists() else ""


def test_a_build_with_a_broken_reference_fails(tmp_path):
    done, _ = built(tmp_path, "# Home\n\n[a link](none.md)\n")
    assert done.returncode == 1
    assert "'none.md'" in done.stderr


def test_short_code_and_sizes_in_tables_and_pictures_to_invert_are_marked(tmp_path):
    table = f"| net, batch | code |\n|---|---|\n| 64-32-10, 1 | `f(a, b)`, `{'f(a) + ' * 9}` |\n"
    done, page = built(tmp_path, f"# Home\n\n{table}\n![a picture](images/pictures/a.svg)\n")
    assert done.returncode == 0, done.stderr
    assert '<td class="net"><p>64-32-10, 1<' in page
    assert page.count('<code class="short ') == 1
    assert '<code class="docutils' in page
    assert '<img alt="a picture" class="turns" ' in page


def test_the_folder_of_something_else_is_not_emptied(tmp_path, capsys):
    pytest.importorskip("sphinx")
    import build

    (tmp_path / "precious.txt").write_text("")
    assert build.build(tmp_path) == 1
    assert (tmp_path / "precious.txt").exists()
    assert capsys.readouterr().err == (
        f"build: {tmp_path} holds something else. Name another folder.\n"
    )
