"""Ctrl-C and termination as a request to the engine instead of an exception somewhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hilab.engine.runner import Engine
    from hilab.store import Run


def run_heeding_signals(engine: Engine) -> Run:
    """engine.run(); in a script's main thread a Ctrl-C ends the run safely, then KeyboardInterrupt is raised.

    Python's own handler would raise it wherever the main thread happens to be, and loses it in a destructor.
    A handler that the script set itself is left alone.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return engine.run()
    with abort_on_signal(engine) as received:
        run = engine.run()
    if signal.SIGTERM in received:
        raise SystemExit(128 + signal.SIGTERM)
    if received:
        raise KeyboardInterrupt
    return run


@contextmanager
def abort_on_signal(engine: Engine) -> Iterator[list[int]]:
    """While inside, SIGINT and SIGTERM abort the run; the second one makes the bench safe at once.

    Yields the list of the signals received so far.

    Main thread only (Python delivers signals nowhere else; ValueError otherwise). The handler touches
    plain attributes only, because it may interrupt a thread that holds any lock.
    """

    received: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        received.append(number)
        engine.abort("stopped by Ctrl-C" if number == signal.SIGINT else "stopped by the system (SIGTERM)")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, old in before.items():
            signal.signal(number, old)
