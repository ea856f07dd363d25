"""Ctrl-C, held back while parameters are being written: a step is done wholly or not at all."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interruption:
    """A context in which Ctrl-C waits while `held`; afterwards `release` raises it.

    Only the main thread receives signals, and a handler that the program has set itself is kept.
    """

    def __init__(self) -> None:
        self.held = False
        self.waiting = False
        self._installed = False

    def __enter__(self) -> Interruption:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._receive)
            self._installed = True
        return self

    def __exit__(self, *exception: object) -> None:
        if self._installed and signal.getsignal(signal.SIGINT) == self._receive:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._installed = False

    def hold(self) -> None:
        """Let Ctrl-C wait until the next `release`."""
        self.held = True

    def release(self) -> None:
        """End the holding; raise the KeyboardInterrupt that waited, if there is one."""
        self.held = False
        if self.waiting:
            self.waiting = False
            raise KeyboardInterrupt

    def _receive(self, signal_number: int, frame: FrameType | None) -> None:
        if not self.held:
            raise KeyboardInterrupt
        self.waiting = True
