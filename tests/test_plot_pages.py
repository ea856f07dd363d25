"""The pictures of the pages are drawn by the code that the pages show."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = """\
# A page

```python
>>> import microgrid as mg
>>> axes = mg.plot.op("relu")
```

![relu](images/small/relu.png)

Prose.

```python
>>> movie = mg.plot.DecisionMovie(lambda p: p[:, 0], [[0, 0], [1, 1]], [0, 1], resolution=5)
>>> movie()
```

![a film](images/small/film.gif)
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_pictures", DOCS / "make_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(script, tmp_path_factory):
    """A page whose pictures the script has drawn."""
    pytest.importorskip("matplotlib")
    place = tmp_path_factory.mktemp("docs")
    (place / "page.md").write_text(PAGE, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "DOCS", place.resolve())
        patch.setattr(sys, "argv", ["make_pictures.py"])
        assert script.main() == 0
    return place


@pytest.fixture
def drawn(script, folder, tmp_path, monkeypatch):
    """The script, working on a copy of that page."""
    copy = shutil.copytree(folder, tmp_path / "docs")
    monkeypatch.setattr(script, "DOCS", copy.resolve())
    return script


def names(paths):
    return [path.name for path in paths]


def test_pictures_are_drawn_by_the_code_that_the_pages_show(script):
    assert not script.stale(), f"run python docs/make_pictures.py: {names(script.stale())}"


def test_every_picture_of_the_page_stands_below_its_code(script):
    page = DOCS / "pictures.md"
    shown = page.read_text("utf-8").count("](images/")
    assert shown == sum(block.picture is not None for block in script.blocks(page)) > 10


def test_what_is_missing_is_drawn_with_the_mark_of_its_code(drawn):
    from PIL import Image

    assert drawn.stale() == []
    folder = drawn.DOCS / "images" / "small"
    with Image.open(folder / "relu.png") as picture, Image.open(folder / "film.gif") as film:
        assert picture.info["Description"].startswith("code ")
        assert (picture.format, film.format) == ("PNG", "GIF")
        film.load()  # with its comment it is still whole


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('op("relu")', 'op("tanh")', ["film.gif", "relu.png"]),  # blocks build on those above
        ("resolution=5", "resolution=6", ["film.gif"]),
        ("Prose.", "Other prose.", []),
        ("![a film](images/small/film.gif)", "", ["film.gif"]),
    ],
)
def test_a_change_of_the_code_or_a_picture_that_is_not_shown_is_found(
    drawn, monkeypatch, old, new, found
):
    page = drawn.DOCS / "page.md"
    page.write_text(page.read_text("utf-8").replace(old, new), "utf-8")
    assert names(drawn.stale()) == found
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", "--check"])
    assert drawn.main() == int(bool(found))


def test_a_block_that_draws_nothing_is_refused(drawn):
    page = drawn.DOCS / "page.md"
    page.write_text(PAGE.replace("axes = ", "other = "), "utf-8")
    with pytest.raises(ValueError, match=r"^make_pictures: the block of page\.md above relu\.png "):
        drawn.draw(page)
