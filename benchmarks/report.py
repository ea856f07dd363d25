"""What the benchmarks print and write: tables, ratios, the machine, JSON, charts."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

INSTALL = "pip install -e '.[bench]'"
TIMES = "\N{MULTIPLICATION SIGN}"
NONE = "\N{EN DASH}"

# The share of the time that a call's threads may wait for a core before other processes count as a
# disturbance: threads that spin for each other turn a small wait into a large one.
CALM = 0.05

LIBRARIES = ("numpy", "torch", "jax", "mygrad", "autograd", "scikit-learn", "micrograd")


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(x: float) -> str:
    """Return `x` to three digits, without an exponent.

    >>> number(0.12345), number(1234.5)
    ('0.123', '1 234')
    """
    if x >= 999.5:
        return f"{x:,.0f}".replace(",", " ")
    return f"{x:#.3g}".rstrip(".")


def against(time: float | None, own: float | None, unit: float) -> str:
    """Return a table's cell: a time in seconds times `unit`, and in brackets its ratio to `own`.

    >>> against(3e-6, 2e-6, 1e6), against(2e-6, 2e-6, 1e6)
    ('3.00 (1.50×)', '2.00')
    """
    if time is None:
        return NONE
    ratio = "" if own is None or own == time else f" ({number(time / own)}{TIMES})"
    return number(time * unit) + ratio


def agreement(rows: list[dict[str, Any]], what: str) -> str:
    """Say how well the peers' values agree, which shows that they did the same work."""
    worst, strays, first = 0.0, [], {}
    for row in rows:
        if math.isnan(row["value"]):
            continue
        reference = first.setdefault(json.dumps(row["case"]), row["value"])
        error = abs(row["value"] - reference) / abs(reference)
        worst = max(worst, error)
        if error > 1e-3:
            strays.append(
                f"{row['peer']} on {row['case']}: {row['value']:.6g}, not {reference:.6g}"
            )
    if strays:
        return f"Peers that disagree on {what}: {'; '.join(strays)}."
    return f"All peers agree on {what}, to a relative {worst:.0e}."


def steadiness(rows: list[dict[str, Any]]) -> str:
    """Say how far rounds of the same call lie apart, and which rows others disturbed."""
    if not rows:
        return ""
    spreads = [(max(row["rounds"]) - min(row["rounds"])) / row["median"] for row in rows]
    text = (
        f"The slowest and the fastest round typically lie {statistics.median(spreads):.0%} apart."
    )
    disturbed = [
        f"{row['peer']} on {row['case']}" for row in rows if statistics.median(row["waited"]) > CALM
    ]
    if not disturbed:
        return text
    return f"{text} Not to be trusted, as it had to wait for a core: {'; '.join(disturbed)}."


def scaled(time: float | None, unit: float) -> float | None:
    """Return a time in another unit, if there is one."""
    return None if time is None else time * unit


def machine() -> dict[str, Any]:
    """Describe the machine, the versions and the day."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name, version in versions.items() if version},
        "date": datetime.date.today().isoformat(),
    }


def machine_line() -> str:
    """Return the day, the machine and the versions in one line."""
    m = machine()
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    system = f"{m['cpu']}, {m['cores']} cores, {m['system']}"
    return f"{m['date']}, {system}, Python {m['python']}, {versions}."


def threads_line(threads: int, about: dict[str, Any]) -> str:
    """Return how many threads each peer had, and which kernels its matrix products used."""
    pools = [pool for peer in about.values() for pool in peer.get("threads", ())]
    kernels = sorted({f"{pool['library']} {pool['kernels']}" for pool in pools if pool["kernels"]})
    named = f" Kernels of the matrix products in NumPy: {', '.join(kernels)}." if kernels else ""
    return f"At most {threads} thread{'s' * (threads != 1)} for each peer.{named}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write_json(path: Path | None, settings: argparse.Namespace, **results: Any) -> None:
    """Write the results, the settings and the machine as JSON, if a path was given."""
    if path is None:
        return
    chosen = {k: v for k, v in vars(settings).items() if k not in ("json", "chart")}
    text = json.dumps({"machine": machine(), "settings": chosen, **results}, indent=1)
    path.write_text(text + "\n")


def draw_bars(
    path: Path | None, groups: Sequence[str], series: dict[str, list[float | None]], label: str
) -> None:
    """Draw horizontal bars on a logarithmic axis, one group for each case, if a path was given."""
    if path is None:
        return
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ModuleNotFoundError:
        raise SystemExit(f"--chart: matplotlib is not installed. {INSTALL}") from None
    pyplot.switch_backend("agg")
    height = 0.8 / len(series)
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.22 * len(groups) * len(series)))
    for k, (name, values) in enumerate(series.items()):
        known = [(i + k * height, v) for i, v in enumerate(values) if v is not None]
        axes.barh([i for i, _ in known], [v for _, v in known], height * 0.9, label=name)
    axes.set(xscale="log", xlabel=label)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(groups))], groups)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
