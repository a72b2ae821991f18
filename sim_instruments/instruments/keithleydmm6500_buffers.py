"""Reading buffers of the DMM6500: named, of fixed size, filled once or round and round."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.world.contracts import FloatArray

TOTAL = 7_000_000  # readings in all buffers together; source: vendor example, 7 s at 1 MHz [D]
DEFAULT_SIZE = 100_000  # of defbuffer1 and defbuffer2; source: bench.md 2.4 (2450) [M]
SMALLEST = 10  # source: reference manual, TRACe:MAKE, recalled [R]
DEFAULTS = ("defbuffer1", "defbuffer2")
TIMING_S = 1e-9  # what rounding may add up to
EXISTS, PAST_CAPACITY = 1115, 4915  # error numbers; source: recalled [R]


class Buffer:
    """Readings (V) and the times (s) at which they were complete, oldest first."""

    def __init__(self, size: int, once: bool):
        self.size = size
        self.once = once
        self.clear()

    def clear(self) -> None:
        """Forget all readings."""
        self._values: FloatArray = np.empty(0)
        self._times: FloatArray = np.empty(0)
        self._held = 0

    def add(self, values: FloatArray, times_s: FloatArray) -> bool:
        """Append (n,) readings; False if a buffer that is filled once could not take all of them."""
        free = self.size - self._held
        fits = len(values) <= free
        if self.once and not fits:
            values, times_s = values[:free], times_s[:free]
        elif not fits:
            values, times_s = values[-self.size :], times_s[-self.size :]
            self._drop(len(values) - free)
        held = self._held + len(values)
        if held > len(self._values):
            self._grow(held)
        self._values[self._held : held] = values
        self._times[self._held : held] = times_s
        self._held = held
        return fits or not self.once

    def count(self, now: float) -> int:
        """Readings that are complete by now."""
        if not self._held or self._times[self._held - 1] <= now + TIMING_S:
            return self._held
        return int(np.searchsorted(self._times[: self._held], now + TIMING_S, side="right"))

    def part(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Values and times of readings first to last (from 1, both included)."""
        return self._values[first - 1 : last], self._times[first - 1 : last]

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        values, times = self.part(1, self._held)
        return {"size": self.size, "once": self.once, "values": values.copy(), "times": times.copy()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Buffer:
        """From `state`."""
        made = cls(int(state["size"]), bool(state["once"]))
        made.add(np.array(state["values"], dtype=float), np.array(state["times"], dtype=float))
        return made

    def _drop(self, count: int) -> None:
        """Forget the oldest readings."""
        left = self._held - count
        for held in (self._values, self._times):
            held[:left] = held[count : self._held].copy()
        self._held = left

    def _grow(self, least: int) -> None:
        """Room for more, doubled each time: what is stored in many parts is not copied for each of them."""
        room = min(self.size, max(least, 2 * len(self._values)))
        for name in ("_values", "_times"):
            larger = np.empty(room)
            larger[: self._held] = getattr(self, name)[: self._held]
            setattr(self, name, larger)


class Buffers:
    """All buffers of the box by name, within its memory."""

    def __init__(self) -> None:
        self._named: dict[str, Buffer] = {name: Buffer(DEFAULT_SIZE, once=False) for name in DEFAULTS}

    def __getitem__(self, name: str) -> Buffer:
        """The buffer of that name; -224 if there is none."""
        if name not in self._named:
            raise ScpiError(-224, f"Illegal parameter value; no reading buffer {name}")
        return self._named[name]

    def make(self, name: str, size: int) -> None:
        """A new buffer, filled once; size 0 takes all memory that is left."""
        if name in self._named:
            raise ScpiError(EXISTS, "Parameter error; a reading buffer of this name exists already")
        self._named[name] = Buffer(self._size(size, self._used()), once=True)

    def resize(self, name: str, size: int) -> None:
        """Another size; the readings are lost."""
        buffer = self[name]
        buffer.size = self._size(size, self._used() - buffer.size)
        buffer.clear()

    def delete(self, name: str) -> None:
        """Remove a buffer that was made; the two default ones stay (-221)."""
        if name in DEFAULTS:
            raise ScpiError(-221, "Settings conflict; a default buffer cannot be deleted")
        del self._named[self._known(name)]

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {name: buffer.state() for name, buffer in self._named.items()}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Buffers:
        """From `state`."""
        made = cls()
        made._named = {name: Buffer.of(inner) for name, inner in state.items()}
        return made

    def _known(self, name: str) -> str:
        self[name]
        return name

    def _used(self) -> int:
        return sum(buffer.size for buffer in self._named.values())

    @staticmethod
    def _size(size: int, others: int) -> int:
        wanted = size or TOTAL - others
        if wanted < SMALLEST:
            raise ScpiError(-222)
        if wanted + others > TOTAL:
            raise ScpiError(-225, f"Out of memory; {TOTAL - others} readings are left")
        return wanted
