"""Ctrl-C and termination as a request to the engine instead of an exception somewhere."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hilab.engine.runner import Engine


@contextmanager
def abort_on_signal(engine: Engine) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM abort the run; the second one makes the bench safe at once.

    Main thread only (Python delivers signals nowhere else; ValueError otherwise). The handler touches
    plain attributes only, because it may interrupt a thread that holds any lock.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        engine.abort("stopped by Ctrl-C" if number == signal.SIGINT else "stopped by the system (SIGTERM)")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
