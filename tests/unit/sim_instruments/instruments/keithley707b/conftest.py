"""A 707B alone: a world that only remembers which relays moved when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim_instruments.instruments.keithley707b import Keithley707B
from sim_instruments.world.contracts import Link


class RelayWorld:
    """Time, and relays that remember every move as (time, relay, closed)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.moves: list[tuple[float, str, bool]] = []
        self.box: Any = None

    def stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng(0)

    def close_relay(self, channel: str) -> None:
        self.moves.append((self.now, channel, True))

    def open_relay(self, channel: str) -> None:
        self.moves.append((self.now, channel, False))

    def advance(self, now: float) -> None:
        self.now = max(self.now, now)
        self.box.advance(self.now)


class Matrix:
    """The box, spoken to as a transport does."""

    def __init__(self, **options: Any):
        self.world = RelayWorld()
        self.box = Keithley707B(
            "matrix", self.world, Link(b"\n", 2e-3, 1e6), {"cards": ["7072", "", "7072"], **options}
        )  # type: ignore[arg-type]
        self.world.box = self.box

    def tell(self, *lines: str) -> None:
        """Send lines and let each come to its end."""
        for line in lines:
            self.box.message(line.encode())
            while (ready := self.box.box.waiting_until_s()) is not None:
                self.world.advance(ready)

    def ask(self, line: str) -> str:
        self.tell(line)
        reply = self.box.reply(self.world.now)
        assert reply is not None, self.errors()
        return reply.decode().rstrip("\n")

    def closed(self) -> str:
        return self.ask('print(channel.getclose("allslots"))')

    def errors(self) -> list[int]:
        found = [entry.code for entry in self.box.box.errors.entries]
        self.box.box.errors.clear()
        return found


@pytest.fixture
def matrix() -> Matrix:
    return Matrix()


@pytest.fixture
def make_matrix() -> type[Matrix]:
    return Matrix
