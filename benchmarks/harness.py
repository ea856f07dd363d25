"""Workers that take turns: how the benchmarks compare libraries fairly.

A worker is a process that holds one library and one prepared call. The parent asks the workers in
turn, round after round, for a short timed chunk, so that whatever disturbs the machine disturbs all
of them; only the ratios within one run mean something.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

# Every pool of threads that a library here may start reads one of these; NPROC is XLA's.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC",
)  # fmt: skip

# torch.compile starts anew, so that how long it takes does not depend on earlier runs.
NO_CACHES = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}


# --- the parent's side ---------------------------------------------------------------------------


def options(
    description: str | None,
    peers: Iterable[str],
    *,
    seconds: float,
    threads: int,
    leave_out: Iterable[str] = (),
) -> argparse.ArgumentParser:
    """Return a parser with the options that all interleaved benchmarks have."""
    parser = parser_of(description)
    default = [peer for peer in peers if peer not in leave_out]
    add = parser.add_argument
    add("--peers", nargs="+", choices=tuple(peers), default=default, help="what to measure")
    add("--rounds", type=count, default=9, help="turns of each peer")
    add("--seconds", type=duration, default=seconds, help="length of one turn")
    add("--threads", type=count, default=threads, help="threads that each peer may use")
    add("--repeats", type=repeats, default=3, help="of a turn that other processes disturbed")
    add("--best", action="store_true", help="tables of the fastest round, not of the median one")
    add("--chart", type=Path, metavar="FILE.png", help="draw a bar chart")
    return parser


def count(text: str, least: int = 1) -> int:
    """Read a whole number from 1 (or another least one) up, for argparse."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(
            f"{text!r} was given; a whole number from {least} up is needed."
        )
    return int(text)


def repeats(text: str) -> int:
    """Read a whole number from 0 up, for argparse."""
    return count(text, 0)


def duration(text: str) -> float:
    """Read a number of seconds, for argparse."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} was given; a number above 0 is needed.")
    return seconds


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=(description or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    return parser


class Worker:
    """A process in which one peer of one benchmark waits for its turns."""

    def __init__(self, module: str, peer: str, threads: int) -> None:
        self.peer = peer
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import harness, {module} as m; harness.serve(m.PEERS, {peer!r})",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads),
            cwd=HERE,  # `python -c` would look for modules in any other folder first
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer, which may be an "error"."""
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()  # type: ignore[union-attr]
        except BrokenPipeError:
            answer = ""
        if not answer:
            return {"error": f"its process ended with status {self.process.wait()}"}
        return json.loads(answer)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the process end: it does when its input does."""
        self.process.communicate()


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a measured process: this clone's microgrid, so many threads."""
    path = os.pathsep.join([str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")])
    counts = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return os.environ | NO_CACHES | counts | {"PYTHONPATH": path}


def run_fresh(code: str, **variables: str) -> Any:
    """Run `code` in a process of its own, on one thread; return what it printed, read as JSON."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment(1) | variables, cwd=HERE, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{code!r} ended with status {done.returncode}.")
    return json.loads(done.stdout)


def interleave(
    module: str, cases: dict[str, Any], settings: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure every case with every peer, in turns.

    Args:
        module: where `PEERS` maps each name to the library to import and to `build(case)`. That
            returns the call to be timed and a function that returns what the call has led to, as a
            float; or None if the library cannot do that case.
        cases: by their names what to measure, anything that JSON can carry.
        settings: `peers`, `rounds`, `seconds` of a turn, `threads` of each peer.

    Returns:
        One row for each case and peer: for each round the seconds per call, and the share of the
        time that threads had to wait for a core; the median and the best round; the CPU seconds
        burnt while others had their turn and the cores kept busy in its own (the most of all
        rounds); the seconds until it was ready, with imports and compiling. And what each peer
        said about itself.
    """
    workers = [Worker(module, peer, settings.threads) for peer in settings.peers]
    try:
        about = {worker.peer: worker.ask() for worker in workers}
        ready = [worker for worker in workers if not complain(worker.peer, about[worker.peer])]
        rows: list[dict[str, Any]] = []
        for name, case in cases.items():
            rows += _take_turns(ready, name, case, settings)
        return rows, about
    finally:
        for worker in workers:
            worker.close()


def _take_turns(
    workers: list[Worker], name: str, case: Any, settings: argparse.Namespace
) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for worker in workers:
        answer = worker.ask(case=case)
        if not complain(worker.peer, answer, name) and answer["able"]:
            row = {"name": name, "case": case, "peer": worker.peer, "rounds": [], "waited": []}
            rows[worker.peer] = row | answer
    shuffle = random.Random(0).shuffle
    for _ in range(settings.rounds):
        taking_part = [worker for worker in workers if worker.peer in rows]
        shuffle(taking_part)  # nobody always follows the same neighbour
        for worker in taking_part:
            answer = _undisturbed_turn(worker, settings)
            if complain(worker.peer, answer, name):
                del rows[worker.peer]
                continue
            row = rows[worker.peer]
            row["rounds"].append(answer["per_call"])
            row["waited"].append(answer["waited"])
            for key in ("idle_cpu", "cores_busy"):
                row[key] = max(answer[key], row.get(key, 0.0))
    for worker in workers:
        worker.ask(case=None)  # give the memory back
    for row in rows.values():
        row["median"] = statistics.median(row["rounds"])
        row["best"] = min(row["rounds"])
    return list(rows.values())


def _undisturbed_turn(worker: Worker, settings: argparse.Namespace) -> dict[str, Any]:
    """Let the worker take its turn, again if other processes disturbed it; return the calmest."""
    calmest: dict[str, Any] = {}
    for _ in range(1 + settings.repeats):
        answer = worker.ask(seconds=settings.seconds)
        if "error" in answer:
            return answer
        if not calmest or answer["waited"] < calmest["waited"]:
            calmest = answer
        if calmest["waited"] <= report.CALM:
            break
        time.sleep(settings.seconds)
    return calmest


def complain(peer: str, answer: dict[str, Any], case: str = "") -> bool:
    """Return whether the peer could not do what it was asked, and print why."""
    if "missing" in answer:
        print(
            f"{peer}: skipped, {answer['missing']} is not installed. {report.INSTALL}",
            file=sys.stderr,
        )
    elif "error" in answer:
        where = f" on {case}" if case else ""
        print(f"{peer}: failed{where}: {answer['error']}", file=sys.stderr)
    return "missing" in answer or "error" in answer


# --- the worker's side ---------------------------------------------------------------------------


def serve(peers: dict[str, tuple[str, Callable[[Any], Any]]], peer: str) -> None:
    """Answer the parent's requests until it closes the pipe."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not land among the replies
    bench = Bench(*peers[peer])
    for line in sys.stdin:
        try:
            reply = bench.answer(json.loads(line))
        except ModuleNotFoundError as error:
            reply = {"missing": error.name}
        except Exception as error:  # the other peers go on
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


class Bench:
    """One library with one prepared call, in a worker."""

    def __init__(self, library: str, build: Callable[[Any], Any]) -> None:
        self.library = library
        self.build = build
        self.step: Any = None
        self.estimate = 0.0
        self.cpu = 0.0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what was asked: introduce itself, prepare a case, or take a timed turn."""
        if "seconds" in request:
            return self.turn(request["seconds"])
        if "case" in request:
            return self.prepare(request["case"])
        importlib.import_module(self.library)
        return {"threads": thread_pools()}

    def prepare(self, case: Any) -> dict[str, Any]:
        """Build the call, run it until it is warm and see how long it takes."""
        self.step = None
        started = time.perf_counter()
        built = None if case is None else self.build(case)
        if built is None:
            return {"able": False}
        self.step, check = built
        value = check()
        ready = time.perf_counter() - started
        started += ready
        calls = 0
        while calls < 20 and time.perf_counter() - started < 0.2:
            self.step()
            calls += 1
        self.estimate = self.time(max(1, calls // 2))
        self.cpu = fall_asleep()
        return {"able": True, "value": value, "ready": ready}

    def turn(self, seconds: float) -> dict[str, Any]:
        """Return the seconds per call over about `seconds`, the caches warmed beforehand."""
        idle_cpu = time.process_time() - self.cpu
        self.time(max(1, int(0.1 * seconds / self.estimate)))
        calls = max(1, int(seconds / self.estimate))
        cpu, waited = time.process_time(), seconds_waited()
        self.estimate = self.time(calls)
        elapsed = self.estimate * calls
        cores = (time.process_time() - cpu) / elapsed
        waited = (seconds_waited() - waited) / elapsed
        self.cpu = fall_asleep()
        return {
            "per_call": self.estimate, "idle_cpu": idle_cpu, "cores_busy": cores, "waited": waited,
        }  # fmt: skip

    def time(self, calls: int) -> float:
        """Return the seconds that a call takes, over so many of them."""
        step = self.step
        started = time.perf_counter()
        for _ in repeat(None, calls):
            step()
        return (time.perf_counter() - started) / calls


def fall_asleep(limit: float = 2.0) -> float:
    """Wait until no thread of this process works or spins; return the CPU time used so far."""
    # OpenBLAS and OpenMP let idle threads spin for a while, which would slow the next peer down.
    deadline = time.perf_counter() + limit
    before = time.process_time()
    while True:
        time.sleep(0.01)
        now = time.process_time()
        if now - before < 0.001 or time.perf_counter() > deadline:
            return now
        before = now


def seconds_waited() -> float:
    """Return how long threads of this process had work but no core; 0 where Linux does not tell."""
    nanoseconds = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            nanoseconds += int(path.read_text().split()[1])
    return nanoseconds / 1e9


def thread_pools() -> list[dict[str, Any]]:
    """Return the pools of threads in this process, as far as threadpoolctl knows them."""
    try:
        info = importlib.import_module("threadpoolctl").threadpool_info()
    except ModuleNotFoundError:
        return []
    return [
        {
            "library": pool["internal_api"],
            "threads": pool["num_threads"],
            "kernels": pool.get("architecture", ""),
        }
        for pool in info
    ]
