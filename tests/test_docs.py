"""What the documentation says is so: code, outputs, links, and the pages made from records."""

import doctest
import importlib.util
import inspect
import re
import shutil
import sys
from pathlib import Path

import pytest

import microgrid as mg

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LANGUAGES = {"python", "sh", "text"}
SPACES = [
    mg, mg.nn, mg.nn.init, mg.nn.constraints, mg.nn.penalties, mg.optim, mg.datasets, mg.metrics,
    mg.callbacks, mg.testing, mg.errors,
]  # fmt: skip
KILOBYTE = 1000

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(autouse=True)
def _ops_as_they_were(monkeypatch):
    """Let no op that an example declares outlive its test."""
    before = dict(mg.OPS)
    yield
    for name in set(mg.OPS) - set(before):
        del mg.OPS[name]


# --- code and output -----------------------------------------------------------------------------


def fences(text):
    """Return (line number, language, content) of each fenced block."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: m.start(2)].count("\n"), m[1], m[2]) for m in found]


def wrong_outputs(name, text):
    """Run the Python blocks of a page one after another; return what did not come out as shown."""
    reports, shared = [], {}
    runner = doctest.DocTestRunner(verbose=False)
    for line, language, content in fences(text):
        if language == "python":
            test = doctest.DocTestParser().get_doctest(content, {}, f"{name} {line}", name, line)
            test.globs = shared  # a page goes on where its last block stopped
            runner.run(test, out=reports.append, clear_globs=False)
    return "".join(reports)


@every_page
def test_code_gives_the_output_that_the_page_shows(page):
    text = page.read_text("utf-8")
    if any(
        re.search(r"mg\.plot|matplotlib", content)
        for _, language, content in fences(text)
        if language == "python"
    ):
        pytest.importorskip("matplotlib")
    report = wrong_outputs(page.name, text)
    assert not report, report


@every_page
def test_every_block_names_its_language_and_python_has_prompts(page):
    for line, language, content in fences(page.read_text("utf-8")):
        assert language in LANGUAGES, f"{page.name}, line {line}: language {language!r}"
        if language == "python":
            assert content.startswith(">>> "), f"{page.name}, line {line}: code without a prompt"


def test_an_output_that_the_code_does_not_give_is_found():
    page = "```python\n>>> x = 1 + 1\n```\nand\n```python\n>>> x\n3\n```\n"
    report = wrong_outputs("page", page)
    assert re.search(r'File "page", line 6.*Expected:\s+3\s+Got:\s+2', report, re.DOTALL)


# --- links ---------------------------------------------------------------------------------------


def links(text):
    """Return the targets of links and pictures, but not what code contains."""
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)


def anchors(text):
    """Return what a link may point at within a page, by GitHub's rule."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page):
    broken = []
    for link in links(page.read_text("utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            broken.append(link)
    return broken


@every_page
def test_links_within_the_project_lead_somewhere(page):
    assert broken_links(page) == []


def test_every_page_can_be_reached_from_the_index():
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = [link.partition("#")[0] for link in links(page.read_text("utf-8"))]
        paths = {(page.parent / target).resolve() for target in targets if target.endswith(".md")}
        waiting += paths - reached
    assert {page.name for page in set(PAGES) - reached} == set()


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](#another) [c](none.md) `[d](code)` [e](page.md)")
    assert broken_links(page) == ["#another", "none.md"]


# --- what is made from the records ---------------------------------------------------------------


@pytest.fixture
def make_ops():
    spec = importlib.util.spec_from_file_location("make_ops", DOCS / "make_ops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copied(make_ops, tmp_path, monkeypatch):
    """The generator, working on a copy of the pages."""
    for page in ("ops.md", "kinks.md"):
        shutil.copy(DOCS / page, tmp_path)
    shutil.copytree(DOCS / "images", tmp_path / "images")
    monkeypatch.setattr(make_ops, "DOCS", tmp_path)
    monkeypatch.setattr(make_ops, "IMAGES", tmp_path / "images")
    return make_ops


def test_pages_made_from_the_records_are_up_to_date(make_ops):
    stale = [path.name for path in (*make_ops.stale_pages(), *make_ops.stale_pictures())]
    assert not stale, f"run python docs/make_ops.py: {stale}"


def test_every_public_op_has_a_row(make_ops):
    text = (DOCS / "ops.md").read_text("utf-8")
    for name in make_ops.PUBLIC:
        assert text.count(f"\n| `{name}(") == 1, name


def test_pictures_take_little_room():
    sizes = [path.stat().st_size for path in (DOCS / "images").rglob("*.*")]
    assert sum(sizes) < 1000 * KILOBYTE


def test_check_fails_on_a_changed_page_a_missing_picture_and_a_strange_file(copied, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_ops.py", "--check"])
    assert copied.main() == 0
    page, picture = copied.DOCS / "ops.md", copied.IMAGES / "relu.svg"
    page.write_text(page.read_text("utf-8").replace("rectified", "rectifying"), "utf-8")
    assert copied.main() == 1
    assert [path.name for path in copied.stale_pages()] == ["ops.md"]
    picture.write_text(picture.read_text("utf-8").replace("slopes 0 1<", "slopes 0 2<"), "utf-8")
    (copied.IMAGES / "tanh.svg").unlink()
    (copied.IMAGES / "strange.svg").write_text("", "utf-8")
    stale = sorted(path.name for path in copied.stale_pictures())
    assert stale == ["relu.svg", "strange.svg", "tanh.svg"]


def test_the_generator_repairs_what_is_out_of_date(copied, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys, "argv", ["make_ops.py"])
    (copied.DOCS / "ops.md").unlink()
    (copied.IMAGES / "relu.svg").unlink()
    (copied.IMAGES / "strange.svg").write_text("", "utf-8")
    assert copied.main() == 0
    assert [*copied.stale_pages(), *copied.stale_pictures()] == []


# --- docstrings ----------------------------------------------------------------------------------


def is_error(kind):
    return issubclass(kind, BaseException)


def is_ours(value):
    return getattr(value, "__module__", "").startswith("microgrid")


def public_names():
    """Return {name: object} of all that users call, the methods of classes included."""
    found = {}
    for space in SPACES:
        for name, value in ((name, getattr(space, name)) for name in dir(space)):
            if not name.startswith("_") and is_ours(value):
                found[f"{space.__name__}.{name}"] = value
    for name, value in list(found.items()):
        for member, method in list(vars(value).items()) if inspect.isclass(value) else ():
            known = inspect.isfunction(method) or isinstance(method, property)
            if known and not member.startswith("_"):
                found[f"{name}.{member}"] = method
    return found


NAMES = public_names()


def test_every_public_name_has_a_docstring():
    bare = [name for name, value in NAMES.items() if not (inspect.getdoc(value) or "").strip()]
    assert bare == []


def test_every_module_has_a_docstring():
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "microgrid"]
    assert [module.__name__ for module in modules if not (module.__doc__ or "").strip()] == []


SPACED = {f"{space.__name__}.{name}" for space in SPACES for name in dir(space)}
CALLED = {name: NAMES[name] for name in sorted(SPACED & set(NAMES)) if callable(NAMES[name])}
ERRORS = {name for name, value in CALLED.items() if inspect.isclass(value) and is_error(value)}
# What nobody can call wrongly, or what only holds what it is given.
RAISES_NOTHING = {
    "microgrid.EachInput", "microgrid.History", "microgrid.callbacks.Callback",
    "microgrid.callbacks.TerminateOnNaN", "microgrid.datasets.load_digits",
    "microgrid.is_grad_enabled", "microgrid.nn.Identity",
    "microgrid.testing.Report",
}  # fmt: skip


def test_every_public_class_and_function_has_an_example():
    assert len(CALLED) > 250
    assert [name for name, value in CALLED.items() if ">>>" not in inspect.getdoc(value)] == []


def test_every_public_class_and_function_says_what_it_raises():
    silent = {name for name in CALLED if "Raises:" not in inspect.getdoc(CALLED[name])}
    here_too = {name for name in silent if CALLED[name] is mg.Tensor}  # modules import it
    assert silent - ERRORS - here_too == RAISES_NOTHING


def takes_arrays(value):
    """Return whether an argument is declared to be an array or a Tensor."""
    try:
        arguments = inspect.signature(value).parameters.values()
    except ValueError:
        return False
    return any(re.search(r"Operand|Array", str(argument.annotation)) for argument in arguments)


def test_whatever_takes_arrays_tells_their_shapes():
    taking = {name: value for name, value in CALLED.items() if takes_arrays(value)}
    assert len(taking) > 80
    shape = re.compile(r"\b(any|float|int|bool|number)(s|32|64)?\[")
    assert [name for name, value in taking.items() if not shape.search(inspect.getdoc(value))] == []


def examples():
    """Return {name: docstring} of all with an example; a method shares that of its function."""
    docs = {f"OPS[{name!r}].doc": op.doc for name, op in mg.OPS.items()}
    for name in sorted(NAMES, key=len, reverse=True):
        docs[name] = inspect.getdoc(NAMES[name])
    shortest = {doc: name for name, doc in docs.items()}
    return {name: doc for doc, name in shortest.items() if doc and ">>>" in doc}


@pytest.mark.parametrize("name", sorted(examples()))
def test_examples_in_docstrings_run(name):
    value = NAMES.get(name)
    if isinstance(value, property):
        value = value.fget
    # What is called by its public name is shown so that it runs when pasted, with its imports.
    globs = dict(vars(sys.modules[value.__module__])) if value and name not in SPACED else {}
    test = doctest.DocTestParser().get_doctest(examples()[name], globs, name, None, 0)
    reports = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=reports.append)
    assert not reports, "".join(reports)
