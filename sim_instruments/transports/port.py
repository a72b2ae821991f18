"""The connector of a simulated instrument: what every transport does with the box, and the link's faults."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from sim_instruments.transports.framing import LINE_ENDS, split_messages
from sim_instruments.world.contracts import SimInstrument
from sim_instruments.world.faults import Fate, LinkFaults


class BenchClock(Protocol):
    """What the transports need of the bench's clock."""

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def wait(self, event: threading.Event | None, timeout_s: float) -> bool: ...


class BenchWorld(Protocol):
    """What the transports need of the world."""

    now: float

    def advance(self, now: float) -> None: ...


_PLAIN = Fate.PLAIN


class LinkLostError(Exception):
    """The link broke under this exchange."""


class Port:
    """One instrument on one bench. Shared by all transports; every method is called with `lock` held.

    The lock is the bench's: it guards the world and all instruments, and nobody sleeps with it.
    """

    def __init__(
        self, instrument: SimInstrument, world: BenchWorld, clock: BenchClock, lock: threading.RLock
    ):
        self.instrument = instrument
        self.faults = LinkFaults()
        self.lock = lock
        self.clock = clock
        self.latency_s = instrument.link.latency_s
        self.byte_s = 1.0 / instrument.link.bytes_per_s
        self.blocks: bool = getattr(instrument, "takes_blocks", True)
        nul = instrument.link.terminator == b"\0"
        self.terminators = b"\0" if nul else LINE_ENDS  # of what it is told
        self.generation = 0  # connections of an earlier generation are dead
        self.half_open = -1  # those of this generation and before are dead and do not know it
        self.last_writer: object = None
        self._world = world
        self._in_transit: deque[bytes] = deque()
        self._withheld = False  # the reply to the last message is under way and not here yet
        self._farewell: object = None  # who may still read a reply of the last generation
        self._lagging = False  # replies arrive one exchange late

    def messages(self, data: bytes) -> list[bytes]:
        """The program messages of one write whose last byte carries END."""
        if self.terminators is LINE_ENDS and (b"#" not in data or not self.blocks):
            body = data.rstrip(b"\r\n")
            if b"\n" not in body and b"\r" not in body:
                return [body] if body else []
        complete, rest = split_messages(data, self.blocks, self.terminators)
        return [*complete, rest] if rest else complete

    def deliver(self, message: bytes, writer: object) -> None:
        """Hand over one program message. LinkLostError if the link breaks before it is acknowledged."""
        now = self.clock.now()
        if now > self._world.now:
            self._world.advance(now)
        self.last_writer = writer
        if self._lagging:
            self._flush_to_transit(now)
        fate = self.faults.next_fate()
        if fate is _PLAIN:
            self.instrument.message(message)
            return
        if fate is Fate.HALF_OPEN:
            self.half_open = self.generation
            self.generation += 1
            self._in_transit.clear()
            return
        if fate is Fate.LATE:
            self._withheld = self._lagging = True
        if fate not in (Fate.DROP_BEFORE, Fate.SWALLOW):
            self.instrument.message(message)
        if fate in (Fate.DROP_BEFORE, Fate.DROP_DURING, Fate.DROP_AFTER):
            self.generation += 1
            self._farewell = writer if fate is Fate.DROP_AFTER else None
        if fate in (Fate.DROP_BEFORE, Fate.DROP_DURING):
            self._in_transit.clear()
            raise LinkLostError

    def said_farewell_to(self, writer: object) -> bool:
        """True if the link broke only after this writer's last exchange: the reply still came through."""
        return self._farewell is not None and self._farewell is writer

    def take(self, now: float) -> tuple[bytes | None, float | None]:
        """(reply, None) if one can be read now, else (None, time from which it can be, or None)."""
        if now > self._world.now:
            self._world.advance(now)
        if self._withheld:
            return None, None
        if self._in_transit:
            return self._in_transit.popleft(), None
        if self.faults.hung:
            return None, None
        reply = self.instrument.reply(now)
        if reply is not None:
            return reply, None
        return None, self.instrument.reply_ready_s()

    def gave_up(self, now: float) -> None:
        """A reader timed out: the box notices only if it has nothing to say and can see the reader."""
        if not self._withheld and not self.faults.hung and self.instrument.reply_ready_s() is None:
            self._advance(now)
            self.instrument.unterminated()

    def interrupted(self) -> None:
        """A new message came before a reply that was under way was read (-410)."""
        if not self.faults.hung and hasattr(self.instrument, "interrupted"):
            self.instrument.interrupted()

    def expects_reader(self) -> bool:
        """A reply is to come that the next message would discard (a TSP box only queues them)."""
        return hasattr(self.instrument, "interrupted") and self.instrument.reply_ready_s() is not None

    def clear(self) -> bool:
        """Device clear; False if the box does not react."""
        self._in_transit.clear()
        if self.faults.hung:
            return False
        self._withheld = self._lagging = False
        self._advance(self.clock.now())
        self.instrument.device_clear()
        return True

    def status_byte(self) -> int | None:
        """Serial poll; None if the box does not react."""
        if self.faults.hung:
            return None
        self._advance(self.clock.now())
        return self.instrument.status_byte() & 0xFF

    def trigger(self) -> bool:
        """Group execute trigger; False if the box does not react."""
        if self.faults.hung:
            return False
        self._advance(self.clock.now())
        self.instrument.trigger()
        return True

    def _advance(self, now: float) -> None:
        if now > self._world.now:
            self._world.advance(now)

    def _flush_to_transit(self, now: float) -> None:
        """The box sends as soon as it can, whoever reads: what it had ready is now under way."""
        self._withheld = False
        while (reply := self.instrument.reply(now)) is not None:
            self._in_transit.append(reply)
