"""The bench's time: virtual for a simulated bench in process, wall time where people or sockets wait."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

RECHECK_S = 0.02  # real time after which a waiter looks again whether its event was set without wake()


@dataclass(eq=False)
class _Waiter:
    """One thread inside `VirtualClock.wait`."""

    thread: int
    deadline: float
    event: threading.Event | None

    def waits(self, now: float) -> bool:
        """False as soon as the thread has a reason to run on."""
        return self.deadline > now and not (self.event is not None and self.event.is_set())


class VirtualClock:
    """Time that passes only while everybody waits.

    Threads that work on the bench register (`with clock.registered():`). Time jumps to the earliest
    deadline as soon as every registered thread waits; with none or one registered, whoever sleeps just
    advances it. A registered thread that is going to block on something else than the clock (a lock,
    a queue, a join) does so inside `with clock.blocked():`, or the others wait for it in vain.
    """

    def __init__(self, start_s: float = 0.0):
        self._now = float(start_s)
        self._condition = threading.Condition()
        self._registered: Counter[int] = Counter()
        self._blocked: Counter[int] = Counter()
        self._waiters: list[_Waiter] = []

    def now(self) -> float:
        """Bench time (s)."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of bench time pass."""
        self.wait(None, seconds)

    def wait(self, event: threading.Event | None, timeout_s: float) -> bool:
        """Wait for timeout_s of bench time or until event is set; True if it is set."""
        if event is not None and event.is_set():
            return True
        if timeout_s <= 0:
            return False
        with self._condition:
            if not self._waiters and len(self._registered) <= 1:  # nobody to agree with
                self._now += timeout_s
                return event is not None and event.is_set()
            waiter = _Waiter(threading.get_ident(), self._now + timeout_s, event)
            self._waiters.append(waiter)
            try:
                while waiter.waits(self._now):
                    if not self._advance():
                        self._condition.wait(RECHECK_S)
            finally:
                self._waiters.remove(waiter)
                self._condition.notify_all()
        return event is not None and event.is_set()

    def wake(self) -> None:
        """Make every waiter look at its event now (call it after setting one from another thread)."""
        with self._condition:
            self._condition.notify_all()

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Time does not advance while this thread works."""
        with self._counted(self._registered):
            yield

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """This registered thread blocks on something else: time may advance without it."""
        with self._counted(self._blocked):
            yield

    def jump(self, now: float) -> None:
        """Set the time, also backwards: only for restoring a snapshot while nobody waits."""
        with self._condition:
            if self._waiters:
                raise RuntimeError("the clock cannot be set while a thread waits on it")
            self._now = float(now)

    def _advance(self) -> bool:
        """Jump to the earliest deadline if that is allowed now; False if this thread must block."""
        if len(self._registered) > 1:
            waiting = {waiter.thread for waiter in self._waiters if waiter.waits(self._now)}
            if any(thread not in waiting and not self._blocked[thread] for thread in self._registered):
                return False
        earliest = min(waiter.deadline for waiter in self._waiters)
        if earliest <= self._now:
            return False  # somebody's time has come and he has not run yet
        self._now = earliest
        if len(self._waiters) > 1:
            self._condition.notify_all()
        return True

    @contextmanager
    def _counted(self, counter: Counter[int]) -> Iterator[None]:
        thread = threading.get_ident()
        with self._condition:
            counter[thread] += 1
            self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                counter[thread] -= 1
                if not counter[thread]:
                    del counter[thread]
                self._condition.notify_all()


class WallClock:
    """Real time since the start, `speed` times as fast (1: as it is)."""

    def __init__(self, speed: float = 1.0):
        if not speed > 0:
            raise ValueError(f"the speed of a wall clock must be above 0, got {speed}")
        self.speed = float(speed)
        self._offset_s = 0.0
        self._start = time.monotonic()

    def now(self) -> float:
        """Bench time (s)."""
        return self._offset_s + (time.monotonic() - self._start) * self.speed

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of bench time pass."""
        if seconds > 0:
            time.sleep(seconds / self.speed)

    def wait(self, event: threading.Event | None, timeout_s: float) -> bool:
        """Wait for timeout_s of bench time or until event is set; True if it is set."""
        if event is None:
            self.sleep(timeout_s)
            return False
        return event.wait(max(0.0, timeout_s) / self.speed)

    def wake(self) -> None:
        """Nothing to do: events wake their waiters."""

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Nothing to do: wall time waits for nobody."""
        yield

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Nothing to do: wall time waits for nobody."""
        yield

    def jump(self, now: float) -> None:
        """Set the time: only for restoring a snapshot."""
        self._offset_s = float(now)
        self._start = time.monotonic()


Clock = VirtualClock | WallClock
