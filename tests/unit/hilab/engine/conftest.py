"""A bench that is just large enough for the engine, and protocols of a few lines."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from hilab.engine import Checkpoint, Column, Message, Progress, Protocol, ProtocolParams, Reading, Result
from hilab.errors import Aborted
from hilab.roles import Identity, SafeReport


class WallClock:
    def __init__(self) -> None:
        self._start = time.monotonic()

    def now(self) -> float:
        return time.monotonic() - self._start

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, event: threading.Event | None, timeout_s: float) -> bool:
        return (event or threading.Event()).wait(timeout_s)


class SmallBench:
    """One output that is on while a protocol runs, a random state that a snapshot holds."""

    name, sample, operator, note = "small", "chip-1", "me", "a note"
    path = file = None
    simulated = True

    def __init__(self) -> None:
        self.clock = WallClock()
        self.stop = threading.Event()
        self.devices: dict[str, Any] = {}
        self.output_on = False
        self.answers = True
        self.made_safe: list[float] = []
        self.random = np.random.default_rng(1)

    def draw(self) -> float:
        if self.stop.is_set():
            raise Aborted("stop")
        self.output_on = True
        return float(self.random.random())

    def make_safe(self) -> tuple[SafeReport, ...]:
        self.made_safe.append(time.monotonic())
        self.output_on = self.output_on and not self.answers
        return (
            SafeReport("source", self.answers, "" if self.answers else "no answer"),
            SafeReport("magnet", True),
        )

    def identify(self) -> dict[str, Identity]:
        return {"source": Identity("ACME", "S1", "7", "1.0")}

    def settings(self) -> dict[str, Any]:
        return {"source": {"range_a": 1e-3}}

    def snapshot(self) -> bytes:
        return json.dumps(self.random.bit_generator.state).encode()

    def restore(self, state: bytes) -> None:
        self.random.bit_generator.state = json.loads(state)


class Params(ProtocolParams):
    """Of `Walk`."""

    steps: int = Field(10, ge=1, le=10**9, description="how many steps")
    write_a: float = Field(1e-3, gt=0, description="Write amplitude")
    fail_at: int = -1
    block_at: int = -1
    slow_s: float = 0.0


class Walk(Protocol[Params]):
    """A random walk on the bench."""

    name = "walk"
    Params = Params
    resumable = True

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {"walk": {"step": Column("i8"), "x_m": Column("f8", "m")}}

    def steps(self, bench: Any) -> Iterator[Message]:
        start, x = (self.restored["step"], self.restored["x"]) if self.restored else (0, 0.0)
        for step in range(start, self.params.steps):
            x += bench.draw() - 0.5
            if step == self.params.fail_at:
                raise ZeroDivisionError("an experiment\nwent wrong")
            if step == self.params.block_at:
                self.block(bench)
            if self.params.slow_s:
                bench.clock.wait(bench.stop, self.params.slow_s)
            yield Reading("walk", {"step": step, "x_m": x})
            yield Progress(step + 1, self.params.steps, f"step {step}")
            if step % 10 == 9:
                yield Checkpoint({"step": step + 1, "x": x})
        yield Result({"x_m": x})

    def block(self, bench: Any) -> None:
        """Like a driver in a call that does not come back until the session is cleared."""
        while bench.output_on:
            time.sleep(0.01)


@pytest.fixture
def bench() -> SmallBench:
    return SmallBench()


@pytest.fixture
def walk() -> type[Walk]:
    return Walk
