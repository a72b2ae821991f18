"""The protocol's thread: iterates its steps, message by message."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from hilab.engine.messages import Message
from hilab.engine.outcome import Caught
from hilab.engine.protocol import Protocol
from hilab.errors import Aborted

PAUSE_POLL_S = 0.05


class Worker:
    """Runs `protocol.steps(bench)` on a daemon thread; `done` is set when it came back, `error` says how."""

    def __init__(
        self,
        protocol: Protocol[Any],
        bench: Any,
        handle: Callable[[Message], None],
        unpaused: threading.Event,
    ):
        self.done = threading.Event()
        self.error: BaseException | None = None
        self._protocol = protocol
        self._bench = bench
        self._handle = handle
        self._unpaused = unpaused
        self._lock = threading.Lock()
        self._when_late: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name=f"hilab-{protocol.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Count as done if it was never started."""
        if self._thread.ident is None:
            self.done.set()

    def abandon(self, when_late: Callable[[], None]) -> bool:
        """Wait for it no longer; False if it came back just now.

        When it comes back after all, the bench is made safe once more, then when_late() is called.
        """
        with self._lock:
            if not self.done.is_set():
                self._when_late = when_late
            return not self.done.is_set()

    def _run(self) -> None:
        with Caught() as caught, getattr(self._bench.clock, "registered", nullcontext)():
            self._iterate()
        with self._lock:
            self.error = caught.error
            self.done.set()
        if self._when_late is not None:
            self._bench.make_safe()
            self._when_late()

    def _iterate(self) -> None:
        steps = self._protocol.steps(self._bench)
        try:
            for message in steps:
                self._handle(message)
                self._hold()
        finally:
            close = getattr(steps, "close", None)
            if close is not None:
                close()

    def _hold(self) -> None:
        """Wait here while paused; Aborted if the run is to stop."""
        if not self._unpaused.is_set():
            with getattr(self._bench.clock, "blocked", nullcontext)():
                while not self._unpaused.wait(PAUSE_POLL_S) and not self._bench.stop.is_set():
                    pass
        if self._bench.stop.is_set():
            raise Aborted("the run was told to stop")
