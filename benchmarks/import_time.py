"""Measure what `import microgrid` adds to `import numpy`, and what installing it adds to the disk.

    python benchmarks/import_time.py --json import.json

Fresh processes import the one and the other in turn; the first of each, which compiles, does not
count. The wheel is built from a copy of this clone.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import harness
import report

SOURCES = ("microgrid", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def seconds_to_import(module: str, bytecode: str) -> float:
    code = (
        "import time; started = time.perf_counter()\n"
        f"import {module}\n"
        "print(time.perf_counter() - started)"
    )
    # Compiled once and kept, as pip does on installing, whatever the environment says here.
    variables = {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    return float(harness.run_fresh(code, **variables))


def import_times(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each import, round by round; the first, which compiles, is left out."""
    times: dict[str, list[float]] = {"numpy": [], "microgrid": []}
    with tempfile.TemporaryDirectory() as bytecode:
        for _ in range(rounds + 1):
            for module, seen in times.items():
                seen.append(seconds_to_import(module, bytecode))
    return {module: seen[1:] for module, seen in times.items()}


def wheel_sizes() -> dict[str, int]:
    """Build the wheel of a copy of this clone; return its size and that of what it unpacks to."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        clone.mkdir()
        for name in SOURCES:
            source = harness.ROOT / name
            if source.is_dir():
                shutil.copytree(source, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, clone)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder]
        subprocess.run([*build, str(clone)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        return {"wheel": wheel.stat().st_size, "unpacked": unpacked}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    parser.add_argument(
        "--rounds", type=harness.count, default=21, help="processes for each of the two"
    )
    parser.add_argument("--no-wheel", action="store_true", help="do not build the wheel")
    settings = parser.parse_args(arguments)
    times = import_times(settings.rounds)
    figures = [statistics.median, min]
    numpy, own = ([1e3 * figure(seen) for figure in figures] for seen in times.values())
    beyond = [mine - its for mine, its in zip(own, numpy, strict=True)]
    lines = [
        [what, *(f"{report.number(ms)} ms" for ms in row)]
        for what, row in (
            ("import numpy", numpy),
            ("import microgrid, numpy included", own),
            ("import microgrid beyond numpy", beyond),
        )
    ]
    print(report.markdown(["what", "median", "fastest"], lines))
    sizes = {} if settings.no_wheel else wheel_sizes()
    for name, size in sizes.items():
        print(f"\nSize of the {name} files: {size / 1e3:.0f} kB.")
    print(f"\n{report.machine_line()}")
    report.write_json(settings.json, settings, imports=times, beyond_ms=beyond, bytes=sizes)


if __name__ == "__main__":
    main()
