"""Time on real instruments."""

from __future__ import annotations

import threading
import time


class WallClock:
    """Seconds since the bench was opened."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._start

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))

    def wait(self, event: threading.Event | None, timeout_s: float) -> bool:
        """Wait for timeout_s or until event is set; True if it is set."""
        if event is None:
            self.sleep(timeout_s)
            return False
        return event.wait(max(0.0, timeout_s))
