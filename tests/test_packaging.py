import configparser
import doctest
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

import microgrid as mg
from microgrid import plot

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def setup():
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    return parsed


def blocks(page, language):
    """Return the fenced blocks in a language, each after as many empty lines as stand above it."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return [(text.count("\n", 0, block.start(1)), block[1]) for block in found]


# --- metadata ------------------------------------------------------------------------------------


def test_the_version_stands_in_one_place():
    assert setup()["metadata"]["version"] == "attr: microgrid.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", mg.__version__)


def test_the_installed_version_is_this_one():
    try:
        installed = metadata.version("microgrid")
    except metadata.PackageNotFoundError:
        pytest.skip("microgrid is not installed")
    assert installed == mg.__version__


def test_numpy_is_all_that_is_needed_at_run_time():
    assert setup()["options"]["install_requires"].split() == ["numpy>=2.0"]


def test_importing_microgrid_imports_none_of_the_extras():
    code = "import sys, microgrid, microgrid.plot; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    extras = {"matplotlib", "hypothesis", "pytest", "torch", "jax", "sklearn", "scipy", "autograd"}
    assert extras.isdisjoint(done.stdout.split())


def test_without_matplotlib_a_picture_is_refused_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = (
        "plot_history: matplotlib is not installed, and pictures need it. "
        "Install the extra: pip install 'microgrid[plot]'."
    )
    with pytest.raises(ImportError, match="^" + re.escape(message) + "$"):
        plot.plot_history({"loss": [1.0]})


def test_types_are_marked_as_present():
    assert resources.files("microgrid").joinpath("py.typed").is_file()


def test_the_digits_are_small_and_credited():
    folder = resources.files("microgrid.data")
    assert len(folder.joinpath("digits.npz").read_bytes()) < 150_000
    credit = folder.joinpath("digits.txt").read_text(encoding="utf-8")
    for needed in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "UCI"):
        assert needed in credit


# --- the README and the docs ---------------------------------------------------------------------


def test_the_first_two_commands_of_the_readme_run_the_job_and_the_tests():
    (_, run), (_, test) = blocks(ROOT / "README.md", "sh")[:2]
    assert run == "python -m pip install . && python -m microgrid\n"
    assert test == "python -m pip install '.[test]' && python -m pytest -q\n"


def test_ci_is_a_valid_script_that_runs_the_readme():
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "README.md" in script.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for line, code in blocks(page, "python"):
        if ">>>" not in code:
            exec(compile("\n" * line + code, str(page), "exec"), names)
            continue
        example = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        report = []
        runner.run(example, out=report.append, clear_globs=False)
        assert not runner.failures, "".join(report)
        names = example.globs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
