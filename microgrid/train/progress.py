"""What a training shows while it runs: a bar on a terminal, lines in a file, or nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

Results = Mapping[str, float]

SECONDS_BETWEEN_DRAWINGS = 0.1
BAR_WIDTH = 20


class Progress:
    """The silent one, and the base: `fit` tells it what happens, it decides what to show."""

    def __init__(self, epochs: int, batches: int | None) -> None:
        self.epochs = epochs
        self.batches = batches
        self.started = perf_counter()

    def begin_epoch(self, epoch: int) -> None:
        """Hear that an epoch begins; epochs count from 0."""
        self.epoch = epoch
        self.started = perf_counter()

    def after_batch(self, done: int, results: Callable[[], Results]) -> None:
        """Hear that `done` batches of this epoch are done; `results()` are its means so far."""

    def end_epoch(self, results: Results) -> None:
        """Hear that the epoch has ended."""

    def stop(self, reason: str = "") -> None:
        """Hear that training has ended, in the middle of an epoch if there is a reason."""


class Lines(Progress):
    """One line per epoch, without control characters."""

    def end_epoch(self, results: Results) -> None:
        """Write the line of this epoch."""
        self._write(f"{self._line(results)}\n")

    def stop(self, reason: str = "") -> None:
        """Write the reason, if there is one."""
        if reason:
            self._write(f"{reason}\n")

    def _line(self, results: Results) -> str:
        seconds = perf_counter() - self.started
        return f"{self._place()}  {_shown(results)}  {seconds:.2f} s"

    def _place(self) -> str:
        return f"epoch {self.epoch + 1:{len(str(self.epochs))}}/{self.epochs}"

    def _write(self, text: str) -> None:
        # Looked up now: it may have been redirected, or closed, since.
        if sys.stdout is not None and not getattr(sys.stdout, "closed", False):
            sys.stdout.write(text)
            sys.stdout.flush()


class Bar(Lines):
    """A bar that grows in place, on a terminal, and leaves one line per epoch."""

    def __init__(self, epochs: int, batches: int | None) -> None:
        super().__init__(epochs, batches)
        self.drawn = 0  # columns in use on the current line
        self.due = perf_counter() + SECONDS_BETWEEN_DRAWINGS

    def begin_epoch(self, epoch: int) -> None:
        """Hear that an epoch begins, in which a resumed run may have batches behind it."""
        super().begin_epoch(epoch)
        self.before: int | None = None

    def after_batch(self, done: int, results: Callable[[], Results]) -> None:
        """Redraw the bar if that is due."""
        if self.before is None:
            self.before = done - 1
        now = perf_counter()
        if now < self.due:
            return
        self.due = now + SECONDS_BETWEEN_DRAWINGS
        self._redraw(f"{self._place()} {self._way(done, now)}  {_shown(results())}")

    def _way(self, done: int, now: float) -> str:
        """Return how far the epoch has come, and how long the rest will take."""
        if self.batches is None:
            return f"{done} batches"
        filled = BAR_WIDTH * done // self.batches
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        rest = (now - self.started) / (done - (self.before or 0)) * (self.batches - done)
        return f"[{bar}] {done}/{self.batches}  {_duration(rest)} left"

    def end_epoch(self, results: Results) -> None:
        """Replace the bar by the line of this epoch."""
        # The line stays, so it may wrap. Blanks wipe out what the bar left behind.
        line = self._line(results).ljust(self.drawn)
        self._write(f"\r{line}\n" if self.drawn else f"{line}\n")
        self.drawn = 0

    def stop(self, reason: str = "") -> None:
        """Leave the bar as it is, and write the reason below, if there is one."""
        self._end_line()
        super().stop(reason)

    def _redraw(self, text: str) -> None:
        import shutil  # here, because it is slow to import and few bars are drawn

        # Text that wraps could not be drawn over.
        shown = text[: max(shutil.get_terminal_size().columns - 1, 1)]
        # Blanks wipe out what a longer text left behind; not every terminal knows escape codes.
        self._write(f"\r{shown.ljust(self.drawn)}")
        self.drawn = len(shown)

    def _end_line(self) -> None:
        if self.drawn:
            self._write("\n")
            self.drawn = 0


def make_progress(who: str, verbose: int | str, epochs: int, batches: int | None) -> Progress:
    """Return what shows the training: `verbose` is 0 (nothing), 1 (a bar), 2 (lines) or "auto".

    A bar needs a terminal or a notebook: elsewhere lines are written.

    Raises:
        ValueError: `verbose` is something else.
    """
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f'{who}: verbose={verbose!r} was given; it must be 0, 1, 2 or "auto".')
    if verbose == 0:
        return Progress(epochs, batches)
    return (Bar if verbose != 2 and _can_redraw() else Lines)(epochs, batches)


def _can_redraw() -> bool:
    stream = sys.stdout
    if type(stream).__module__.partition(".")[0] == "ipykernel":
        return True  # a notebook is no terminal, but obeys \r
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # None, something written by hand, or closed
        return False


def _duration(seconds: float) -> str:
    """Return a length of time, rounded up.

    >>> _duration(4.2), _duration(70), _duration(7000)
    ('5 s', '1:10', '1:56:40')
    """
    whole = math.ceil(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}" if minutes else f"{whole} s"


def _shown(results: Results) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in results.items())


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"
