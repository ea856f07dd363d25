"""Check every op with a gradient by many calls: `mg.testing.check_op`, far beyond what tests do.

    python benchmarks/every_op.py --examples 2000 --json every_op.json

2 000 calls of each take two to four hours of one core. Names as arguments are those of the ops to
check, all of them without. The exit status is 1 if a check failed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import harness
import report

sys.path.insert(0, str(harness.ROOT))  # the clone that this script lies in

import microgrid as mg


def outcome_of(name: str, examples: int) -> dict[str, Any]:
    """Check one op; return how long it took, and what failed if something did."""
    started, failure = time.process_time(), ""
    try:
        mg.testing.check_op(name, max_examples=examples)
    except Exception as error:  # whatever it is, the other ops are checked too
        failure = f"{type(error).__name__}: {error}"
        print(f"{name}: {failure}", file=sys.stderr)
    return {"op": name, "seconds": time.process_time() - started, "failure": failure}


def main(arguments: list[str] | None = None) -> None:
    parser = harness.parser_of(__doc__)
    parser.add_argument("ops", nargs="*", metavar="op", help="names of ops")
    parser.add_argument("--examples", type=harness.count, default=2000, help="calls of each op")
    settings = parser.parse_args(arguments)
    names = settings.ops or sorted(op.name for op in mg.OPS.values() if op.has_gradient)
    unknown = sorted({*names} - {*mg.OPS})
    if unknown:
        parser.error(f"there is no op {unknown[0]!r}; mg.OPS has the names")
    rows = [outcome_of(name, settings.examples) for name in names]
    lines = [[r["op"], f"{r['seconds']:.0f}", r["failure"][:60] or "none"] for r in rows]
    print(report.markdown(["op", "seconds of one core", "failure"], lines))
    failed = sum(bool(row["failure"]) for row in rows)
    print(f"\n{settings.examples} calls of each of {len(rows)} ops; {failed} failed.")
    print(f"\n{report.machine_line()}")
    report.write_json(settings.json, settings, ops=rows)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
