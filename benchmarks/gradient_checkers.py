"""Show which wrong gradients each library's checker lets pass, and which right ones it rejects.

    python benchmarks/gradient_checkers.py --json checkers.json

The cases are in `checkers/`: faults planted on purpose, each in one rule that all libraries declare
in their own way; and right functions, many of them at kinks. Every checker runs in a process of its
own with its own defaults.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import harness
import report
from checkers import FAULTS, RIGHT, Case
from checkers.judges import ACCEPTED, DECLINED, JUDGES, NONE, REJECTED

KINDS = {"faults": (FAULTS, REJECTED), "right": (RIGHT, ACCEPTED)}

MANY = ("at a kink", "several kinks", "net")  # families of right functions that are only counted

# PyTorch's slow mode keeps a small result for each of 100 000 inputs between large ones that it
# frees: with glibc's own threshold the holes add up to as many gigabytes as the square of that.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536"}

Verdict = dict[str, Any]


def judge(checker: str, pattern: str) -> dict[str, Any]:
    """Return a checker's verdicts on all cases whose names contain `pattern`.

    If its library is not installed the name of that is all.
    """
    kind = JUDGES[checker]
    try:
        importlib.import_module(kind.module)
    except ModuleNotFoundError as error:
        return {"missing": error.name}
    chosen = kind()
    verdicts = {
        name: [chosen.verdict(case) for case in _chosen(cases, pattern)]
        for name, (cases, _) in KINDS.items()
    }
    return {"about": kind.about, **verdicts}


def _chosen(cases: Iterable[Case], pattern: str) -> list[Case]:
    return [case for case in cases if pattern in case.name]


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    add = parser.add_argument
    add("--checkers", nargs="+", choices=tuple(JUDGES), default=list(JUDGES), help="what to run")
    add("--cases", default="", metavar="TEXT", help="only those whose names contain this")
    add("--all", action="store_true", help="name the right functions with kinks too")
    settings = parser.parse_args(arguments)
    if not any(_chosen(cases, settings.cases) for cases, _ in KINDS.values()):
        parser.error(f"--cases: no name contains {settings.cases!r}.")
    found = {}
    for checker in settings.checkers:
        code = (
            "import gradient_checkers as g, json;"
            f"print(json.dumps(g.judge({checker!r}, {settings.cases!r})))"
        )
        found[checker] = harness.run_fresh(code, **MEMORY)
        if "missing" in found[checker]:
            missing = found[checker]["missing"]
            print(
                f"{checker}: a dash, {missing} is not installed. {report.INSTALL}", file=sys.stderr
            )
    print_all(found, settings)
    report.write_json(settings.json, settings, checkers=found)


def print_all(found: dict[str, Any], settings: argparse.Namespace) -> None:
    """Print both tables, the wrong verdicts of each checker, and what was called."""
    for kind, title in (("faults", "faults rejected"), ("right", "right functions accepted")):
        print(table(found, kind, title, settings.cases) + "\n")
    for checker, answer in found.items():
        if "missing" in answer:
            continue
        print(f"**{checker}** ({answer['about']}; {_seconds(answer):.0f} s)\n")
        for kind in KINDS:
            print(f"* {wrong_verdicts(answer[kind], kind, settings)}")
        print()
    print("In brackets: declined to judge, taking the point for a kink.")
    print(f"{report.machine_line()} 1 thread.")


def table(found: dict[str, Any], kind: str, title: str, pattern: str) -> str:
    """Return a table with a row for each family and a column for each checker."""
    cases = _chosen(KINDS[kind][0], pattern)
    families = {case.name: case.family for case in cases}
    sizes = Counter(families.values())
    rows = []
    for family in [*sizes, "all"]:
        row = [family, str(sizes.get(family, len(cases)))]
        for answer in found.values():
            verdicts = [v for v in answer.get(kind, ()) if family in ("all", families[v["case"]])]
            row.append(cell(verdicts, KINDS[kind][1]))
        rows.append(row)
    return report.markdown([title, "of", *found], rows)


def cell(verdicts: list[Verdict], wanted: str) -> str:
    """Return how many verdicts are right, of how many if not all were given, and the declined.

    >>> cell([{"outcome": "accepted"}, {"outcome": "none"}, {"outcome": "declined"}], "accepted")
    '1 of 2 (1)'
    """
    if not verdicts:
        return report.NONE
    outcomes = Counter(v["outcome"] for v in verdicts)
    judged = len(verdicts) - outcomes[NONE]
    if not judged:
        return report.NONE
    of = f" of {judged}" if outcomes[NONE] else ""
    declined = f" ({outcomes[DECLINED]})" if outcomes[DECLINED] else ""
    return f"{outcomes[wanted]}{of}{declined}"


def wrong_verdicts(verdicts: list[Verdict], kind: str, settings: argparse.Namespace) -> str:
    """Return a sentence that names the faults that passed, or the right functions that did not."""
    wanted = KINDS[kind][1]
    families = {case.name: case.family for case in (*FAULTS, *RIGHT)}
    wrong = [v["case"] for v in verdicts if v["outcome"] not in (wanted, NONE, DECLINED)]
    named = [name for name in wrong if settings.all or families[name] not in MANY]
    rest = [f"{len(wrong) - len(named)} at kinks"] if len(wrong) > len(named) else []
    verb = "accepted" if kind == "faults" else "rejected"
    what = "faults" if kind == "faults" else "right functions"
    return f"{what} {verb}: {'; '.join([*named, *rest]) or 'none'}."


def _seconds(answer: dict[str, Any]) -> float:
    return sum(v["seconds"] for kind in KINDS for v in answer[kind])


if __name__ == "__main__":
    main()
