"""A compiled step as a table for people."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .program import Call


def explained(replay: Any) -> str:
    """Return what a program does, what it needs, and what was saved."""
    plan, program = replay.plan, replay.plan.program
    calls = [step.line for step in plan.steps if isinstance(step.line, Call)]
    views = sum(1 for _ in program.calls()) - len(calls)
    counts = Counter(call.op.name for call in calls)
    notes = ", ".join(f"{count} {word}" for word, count in program.notes.items())
    most = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    table, lines = replay.rewritten, []
    if table is not None:
        lines.append(
            f"in the table: {table.in_table} statements as {table.rows} rows, in {table.runs} "
            f"run{'s' * (table.runs != 1)}; {table.left} stay Python"
        )
    return "\n".join(
        [
            f"{len(plan.steps)} lines, of which {len(calls)} are calls of ops: {most}",
            f"left out: {notes}; {views} views found once",
            f"memory: {len(replay.pieces)} buffers of {replay.nbytes - plan.gradient_bytes} bytes, "
            f"{plan.gradient_bytes} bytes of gradients",
            f"used again: {plan.pool.reused} times memory that was free, "
            f"{plan.in_place} times that of an operand",
            f"checked before each replay: {replay.conditions} conditions",
            *lines,
        ]
    )
