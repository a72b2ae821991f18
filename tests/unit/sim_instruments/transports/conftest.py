"""A small box with the real seams: it echoes, counts, measures for a while, and answers in blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from sim_instruments.transports.in_process import InProcessLibrary
from sim_instruments.world.clock import VirtualClock
from sim_instruments.world.contracts import Link

ADDRESS = "GPIB0::9::INSTR"


class Box:
    """`COUNT?` how many messages it has executed, `MEAS? s` a reply after s seconds, `DATA? n` a block
    of n bytes, `LEVEL x` / `LEVEL?` something it sources, anything else with a ? is echoed."""

    def __init__(self, terminator: bytes = b"\n", latency_s: float = 5e-3, bytes_per_s: float = 1e6):
        self.name = "box"
        self.link = Link(terminator, latency_s, bytes_per_s)
        self.now = 0.0
        self.executed: list[bytes] = []
        self.level = b"0"
        self.errors: list[int] = []
        self.triggers = 0
        self.queue: deque[tuple[float, bytes]] = deque()
        self.service_s: float | None = None

    def message(self, data: bytes) -> None:
        if self.queue:
            self.queue.clear()
            self.errors.append(-410)
        self.executed.append(data)
        header, _, argument = data.partition(b" ")
        if header == b"LEVEL":
            self.level = argument
        elif header == b"LEVEL?":
            self._say(self.level)
        elif header == b"COUNT?":
            self._say(b"%d" % len(self.executed))
        elif header == b"MEAS?":
            self._say(b"1.5", float(argument))
        elif header == b"DATA?":
            body = bytes(range(256)) * (int(argument) // 256 + 1)
            size = b"%d" % int(argument)
            self._say(b"#%d%s%s" % (len(size), size, body[: int(argument)]))
        elif header == b"SRQ":
            self.service_s = self.now + float(argument)
        elif header == b"ERR?":
            self._say(b"%d" % (self.errors.pop(0) if self.errors else 0))
        elif b"?" in header:
            self._say(data)

    def _say(self, text: bytes, after_s: float = 0.0) -> None:
        self.queue.append((self.now + after_s, text + self.link.terminator))

    def reply(self, now: float) -> bytes | None:
        if self.queue and self.queue[0][0] <= now:
            return self.queue.popleft()[1]
        return None

    def reply_ready_s(self) -> float | None:
        return self.queue[0][0] if self.queue else None

    def unterminated(self) -> None:
        self.errors.append(-420)

    def device_clear(self) -> None:
        self.queue.clear()

    def status_byte(self) -> int:
        requesting = self.service_s is not None and self.now >= self.service_s
        return (0x10 if self.reply(-1.0) or self.queue else 0) | (0x40 if requesting else 0)

    def trigger(self) -> None:
        self.triggers += 1

    def advance(self, now: float) -> None:
        self.now = now

    def power_cycle(self) -> None:
        self.level = b"0"

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


class OneBoxWorld:
    """Only passes the time on."""

    def __init__(self, *boxes: Box):
        self.boxes = boxes
        self.now = 0.0

    def advance(self, now: float) -> None:
        assert now >= self.now, "time went backwards"
        self.now = now
        for box in self.boxes:
            box.advance(now)


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def one_box_world(box: Box) -> OneBoxWorld:
    return OneBoxWorld(box)


@pytest.fixture
def library(box: Box, clock: VirtualClock, one_box_world: OneBoxWorld) -> InProcessLibrary:
    return InProcessLibrary(one_box_world, clock, {ADDRESS: box})


@pytest.fixture
def visa(library: InProcessLibrary) -> Iterator[Any]:
    import pyvisa

    manager = pyvisa.ResourceManager(library)
    resource = manager.open_resource(ADDRESS, read_termination="\n", write_termination="\n")
    yield resource
    manager.close()
