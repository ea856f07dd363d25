import ast
import configparser
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

import microgrid as mg
from microgrid import plot

ROOT = Path(__file__).parents[1]


def setup():
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    return parsed


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
        "plot.history: matplotlib is not installed, and pictures need it. "
        "Install the extra: pip install 'microgrid[plot]'."
    )
    with pytest.raises(ImportError, match="^" + re.escape(message) + "$"):
        plot.history({"loss": [1.0]})


def test_types_are_marked_as_present():
    assert resources.files("microgrid").joinpath("py.typed").is_file()


def test_the_digits_are_small_and_credited():
    folder = resources.files("microgrid.data")
    assert len(folder.joinpath("digits.npz").read_bytes()) < 150_000
    credit = folder.joinpath("digits.txt").read_text(encoding="utf-8")
    for needed in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "UCI"):
        assert needed in credit


@pytest.mark.parametrize(
    "statement",
    [
        "from microgrid.datasets import load_digits, train_test_split",
        "import microgrid.datasets; microgrid.datasets.load_digits",
        "import microgrid.nn.init; microgrid.nn.init.he_normal",
        "from microgrid.nn.init import he_normal",
    ],
)
def test_public_names_can_be_imported_by_their_path(statement):
    subprocess.run([sys.executable, "-c", statement], check=True)


# --- the README and CI ---------------------------------------------------------------------------


def test_the_first_two_commands_of_the_readme_run_the_job_and_the_tests():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    run, test = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)[:2]
    assert run == "python -m pip install . && python -m microgrid\n"
    assert test == "python -m pip install '.[test]' && python -m pytest -q\n"


def test_ci_is_a_valid_script_that_runs_the_readme():
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "README.md" in script.read_text(encoding="utf-8")


def test_names_that_are_imported_later_are_what_a_type_checker_sees():
    source = Path(mg.__file__).read_text("utf-8")
    (block,) = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    seen = {node.names[0].name: node.module for node in block.body}
    assert seen == mg._LATER


def test_import_leaves_out_what_few_programs_need():
    code = "import sys, microgrid; print(*(m for m in sys.modules if m.startswith('microgrid.')))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    later = {f"microgrid.{module or name}" for name, module in mg._LATER.items()}
    assert not later & set(loaded.stdout.split())


def test_a_star_imports_the_names_that_are_imported_later_too():
    names = {}
    exec("from microgrid import *", names)
    assert set(mg._LATER) <= set(names)
