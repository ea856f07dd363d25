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

LIBRARIES = (
    "numpy", "torch", "jax", "mygrad", "autograd", "scikit-learn", "micrograd", "pytensor", "numba",
)  # fmt: skip


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


def times_of(
    rows: Iterable[dict[str, Any]], best: bool, figure: str = ""
) -> dict[tuple[str, str], float]:
    """Return the seconds by case and peer, of the median round or the best, or another figure."""
    figure = figure or ("best" if best else "median")
    return {(row["name"], row["peer"]): row[figure] for row in rows}


def comparison(
    what: str,
    cases: Iterable[str],
    peers: Iterable[str],
    times: dict[tuple[str, str], float],
    own: str = "microgrid",
    unit: float = 1e6,
) -> str:
    """Return a table with a line for each case and a column for each peer that was measured.

    Args:
        what: the cases are, the head of their column.
        cases: their names.
        peers: in the order of the columns.
        times: by case and peer, in seconds.
        own: the peer that the others are compared with.
        unit: what a second is multiplied with.

    >>> print(comparison("net", ["a"], ["x", "y"], {("a", "x"): 1e-6, ("a", "y"): 2e-6}, "x"))
    | net | x | y |
    | --- | --- | --- |
    | a | 1.00 | 2.00 (2.00×) |
    """
    measured = {peer for _, peer in times}
    columns = [peer for peer in peers if peer in measured]
    lines = []
    for case in cases:
        mine = times.get((case, own))
        lines.append([case, *(against(times.get((case, peer)), mine, unit) for peer in columns)])
    return markdown([what, *columns], lines)


def notes(
    settings: argparse.Namespace, rows: list[dict[str, Any]], about: dict[str, Any], what: str
) -> str:
    """Say where and with how many threads it was measured, and how far the figures can be trusted.

    `what` the peers must agree on names their values.
    """
    place = f"{machine_line()} {threads_line(settings.threads, about)}"
    return "\n".join([place, agreement(rows, what), steadiness(rows)])


def agreement(rows: list[dict[str, Any]], what: str) -> str:
    """Say how well the peers' values agree, which shows that they did the same work."""
    worst, strays, first = 0.0, [], {}
    for row in rows:
        if math.isnan(row["value"]):
            continue
        reference = first.setdefault(row["name"], row["value"])
        error = abs(row["value"] - reference) / abs(reference)
        worst = max(worst, error)
        if error > 1e-3:
            strays.append(
                f"{row['peer']} on {row['name']}: {row['value']:.6g}, not {reference:.6g}"
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
        f"{row['peer']} on {row['name']}" for row in rows if statistics.median(row["waited"]) > CALM
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


def draw_times(
    path: Path | None,
    groups: dict[str, str],
    peers: Iterable[str],
    times: dict[tuple[str, str], float],
    label: str,
    unit: float = 1e6,
) -> None:
    """Draw the times of each peer as bars, if a path was given.

    Args:
        path: of the PNG.
        groups: the names of the groups of bars, and the cases they are of.
        peers: whose bars are drawn.
        times: by case and peer, in seconds.
        label: of the axis.
        unit: what a second is multiplied with.
    """
    series = {
        peer: [scaled(times.get((case, peer)), unit) for case in groups.values()] for peer in peers
    }
    draw_bars(path, list(groups), series, label)


def draw_bars(
    path: Path | None, groups: Sequence[str], series: dict[str, list[float | None]], label: str
) -> None:
    """Draw horizontal bars on a logarithmic axis, one group for each case, if a path was given."""
    if path is None:
        return
    pyplot = _pyplot()
    series = {name: values for name, values in series.items() if any(values)}
    height = 0.8 / len(series)
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.22 * len(groups) * len(series)))
    for k, (name, values) in enumerate(series.items()):
        known = [(i + k * height, v) for i, v in enumerate(values) if v is not None]
        colour, hatch = COLOURS[k % len(COLOURS)], ("", "////")[k // len(COLOURS) % 2]
        axes.barh(
            [i for i, _ in known], [v for _, v in known], height * 0.9, label=name, color=colour,
            hatch=hatch, edgecolor="white", linewidth=0,
        )  # fmt: skip
    axes.set(xscale="log", xlabel=label)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(groups))], groups)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def draw_lines(
    path: Path | None, panels: dict[str, dict[str, list[tuple[float, float]]]], label: str
) -> None:
    """Draw curves on logarithmic axes, if a path was given.

    Args:
        path: of the PNG.
        panels: by the label of the x-axis, the curves by their names, each as points (x, y).
        label: of the y-axis, which the panels share.
    """
    if path is None:
        return
    pyplot = _pyplot()
    figure, row = pyplot.subplots(
        1, len(panels), figsize=(4 * len(panels), 4), sharey=True, squeeze=False
    )
    for axes, (what, curves) in zip(row[0], panels.items(), strict=True):
        axes.axhline(1, color="black", linewidth=1, linestyle=":")
        for k, (name, points) in enumerate(curves.items()):
            axes.plot(
                [x for x, _ in points], [y for _, y in points], label=name,
                color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)],
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", subs=[2, 5])  # minor ticks, which have labels too
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_xlabel(what)
        axes.grid(alpha=0.3, which="both")
    row[0][0].set_ylabel(label)
    row[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


# Source: Okabe and Ito (2008), "Color Universal Design", told apart without red or green cones.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = "osD^vPX*"


def _pyplot() -> Any:
    try:
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ModuleNotFoundError:
        raise SystemExit(f"--chart: matplotlib is not installed. {INSTALL}") from None
    pyplot.switch_backend("agg")
    return pyplot
