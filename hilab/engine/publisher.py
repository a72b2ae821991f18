"""Tells subscribers what happened, on a thread of its own: nobody who listens can hold up a run for long."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from hilab.engine.notices import Notice, Subscriber
from hilab.engine.outcome import Caught, describe

QUEUE_LENGTH = 1000
PATIENCE_S = 5.0  # a subscriber that lets the queue stay full for so long is dropped


class Publisher:
    """Delivers notices in order. Who raises or hangs is dropped; `dropped(sentence)` is told."""

    def __init__(self, subscribers: Sequence[Subscriber], dropped: Callable[[str], None]):
        self._subscribers = list(subscribers)
        self._dropped = dropped
        self._patience_s = PATIENCE_S
        self._queue: queue.Queue[Notice | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._deliver, name="hilab-publish", daemon=True)
        if self._subscribers:
            self._thread.start()

    def publish(self, notice: Notice) -> None:
        """Hand over a notice; waits while the queue is full, but not for ever."""
        if not self._subscribers:
            return
        try:
            self._queue.put(notice, timeout=self._patience_s)
        except queue.Full:
            self._subscribers.clear()
            self._dropped(f"subscribers dropped: they took no notice for {self._patience_s:g} s")

    @property
    def busy(self) -> bool:
        """True if `publish` would have to wait."""
        return bool(self._subscribers) and self._queue.full()

    def hurry(self) -> None:
        """The run is ending: wait for nobody any more."""
        self._patience_s = 0.1

    def close(self, patience_s: float) -> None:
        """Deliver what is queued, for patience_s at most."""
        if not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=patience_s)
        except queue.Full:
            return
        self._thread.join(patience_s)

    def _deliver(self) -> None:
        while (notice := self._queue.get()) is not None:
            for subscriber in tuple(self._subscribers):
                with Caught() as caught:
                    subscriber(notice)
                if caught.error is not None:
                    self._subscribers.remove(subscriber)
                    self._dropped(f"subscriber {subscriber!r} dropped: {describe(caught.error)}")
