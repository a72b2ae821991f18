"""From messages to the run file and to the subscribers, in this order.

Rows are committed to the file at once where the last commit is COMMIT_S ago or many wait; rows that follow
faster wait for each other. Nobody is told of a row before it is in the file.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hilab.engine.messages import Checkpoint, Message, Progress, Reading, Result
from hilab.engine.notices import (
    CheckpointStored,
    Happened,
    Notice,
    ResultStored,
    Rows,
    Subscriber,
    TimeLeft,
)
from hilab.engine.outcome import Caught
from hilab.engine.publisher import Publisher
from hilab.errors import HilabError
from hilab.store.writer import RunWriter

COMMIT_S = 0.02
COMMIT_ROWS = 1 << 15
TICK_S = 0.05
PROGRESS_S = 0.05  # progress is passed on no faster than this


class Recorder:
    """Records one run. `handle` is called by the protocol's thread, `tick` and the rest by any."""

    def __init__(
        self,
        writer: RunWriter,
        subscribers: Sequence[Subscriber],
        bench_now: Callable[[], float],
        checkpoint_extras: Callable[[], Mapping[str, Any]],
    ):
        self._writer = writer
        self._publisher = Publisher(subscribers, lambda text: self._note("subscriber", text))
        self._bench_now = bench_now
        self._checkpoint_extras = checkpoint_extras
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._failure: BaseException | None = None  # of a commit outside the protocol's thread
        self._last_commit = 0.0
        self._last_progress = 0.0
        self._started_wall = time.monotonic()
        self._started_bench = bench_now()
        # Not on the caller's thread: a KeyboardInterrupt there must not fall into a half-written block.
        threading.Thread(target=self._tick_on, name="hilab-commit", daemon=True).start()

    def handle(self, message: Message) -> None:
        """Record one message of the protocol. HilabError for anything that is none."""
        if self._failure is not None:
            raise self._failure
        if isinstance(message, Reading):
            self._reading(message)
        elif isinstance(message, Progress):
            self._progress(message)
        elif isinstance(message, Checkpoint):
            self._checkpoint(message)
        elif isinstance(message, Result):
            self._result(message)
        else:
            raise HilabError(
                f"the protocol yielded a {type(message).__name__}; it may yield Reading, Progress, "
                "Checkpoint and Result"
            )

    def tick(self) -> None:
        """Commit rows that wait while the protocol is busy with something long; never waits itself."""
        if self._publisher.busy or not self._lock.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._last_commit >= COMMIT_S:
                self._commit()
            self._writer.beat(1.0)
        finally:
            self._lock.release()

    def happened(self, kind: str, text: str) -> None:
        """Record an event and tell the subscribers."""
        self._note(kind, text)
        self.publish(Happened(kind, text))

    def publish(self, notice: Notice) -> None:
        self._publisher.publish(notice)

    def wind_up(self, hurry: bool) -> None:
        """Commit and publish what waits, unless the protocol's thread hangs in here."""
        self._ended.set()
        if hurry:
            self._publisher.hurry()
        if self._lock.acquire(timeout=0.5):
            try:
                self._commit()
            finally:
                self._lock.release()
        if self._failure is not None:
            raise self._failure

    def close(self, patience_s: float) -> None:
        """Let the subscribers have what is queued."""
        self._publisher.close(patience_s)

    @property
    def elapsed_bench_s(self) -> float:
        return self._bench_now() - self._started_bench

    def commit(self) -> None:
        """Write and publish what waits."""
        with self._lock:
            self._commit()

    def _tick_on(self) -> None:
        while not self._ended.wait(TICK_S):
            with Caught() as caught:
                self.tick()
            if caught.error is not None:
                self._failure = caught.error
                return

    def _reading(self, message: Reading) -> None:
        with self._lock:
            waiting = self._writer.append(message.stream, message.columns)
            if waiting >= COMMIT_ROWS or time.monotonic() - self._last_commit >= COMMIT_S:
                self._commit()

    def _progress(self, message: Progress) -> None:
        now = time.monotonic()
        if message.done < message.total and now - self._last_progress < PROGRESS_S:
            return
        self._last_progress = now
        share = message.done / message.total if message.total > 0 else math.nan
        left = (1 - share) / share if share > 0 else math.nan
        wall_s, bench_s = left * (now - self._started_wall), left * self.elapsed_bench_s
        self._writer.progress(message.done, message.total, message.text, wall_s, bench_s)
        self.publish(TimeLeft(message.done, message.total, message.text, wall_s, bench_s))

    def _checkpoint(self, message: Checkpoint) -> None:
        self.commit()
        try:
            sequence = self._writer.checkpoint({"state": message.state, **self._checkpoint_extras()})
        except TypeError as error:
            raise HilabError(f"the protocol's checkpoint cannot be stored: {error}") from error
        self.publish(CheckpointStored(sequence))

    def _result(self, message: Result) -> None:
        self.commit()
        self.publish(ResultStored(self._writer.results(message.values)))

    def _commit(self) -> None:
        for block in self._writer.commit():
            self.publish(Rows(block.stream, block.first_row, block.columns))
        self._last_commit = time.monotonic()

    def _note(self, kind: str, text: str) -> None:
        self._writer.event(kind, text, self._bench_now())


class RunLog(logging.Handler):
    """Sends what the program logs during a run (INFO and above) into the run file."""

    def __init__(self, writer: RunWriter):
        super().__init__(logging.INFO)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.log(record.levelname, record.getMessage())
        except (OSError, HilabError, TypeError, ValueError):
            self.handleError(record)

    def __enter__(self) -> RunLog:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *ended: object) -> None:
        logging.getLogger().removeHandler(self)
