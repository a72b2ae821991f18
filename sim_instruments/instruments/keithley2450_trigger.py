"""The trigger model of a 2450: blocks, and what a run through them does as levels in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.world.contracts import BoolArray, FloatArray

STEPS_MAX = 400_000  # blocks passed in one run; a model that goes on for ever is refused
Block = list[Any]  # kind and parameters, plain values


@dataclass
class Times:
    """How long things take (s): stepping the source, and one reading with its overhead."""

    step_s: float
    reading_s: float


@dataclass
class Timeline:
    """A run: level, dwell and whether a reading ends it, for n points; and how it ends.

    at: block where it stops; waiting: that is a WAIT block; output: afterwards; cleared: the buffer is
    emptied first; counters: passes so far of the BRANch:COUNter blocks, for going on after a WAIT.
    """

    levels: list[float] = field(default_factory=list)
    dwell_s: list[float] = field(default_factory=list)
    read: list[bool] = field(default_factory=list)
    buffer: str = ""
    at: int = 0
    waiting: bool = False
    output: bool = False
    cleared: bool = False
    counters: dict[str, int] = field(default_factory=dict)

    def arrays(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        return np.array(self.levels), np.array(self.dwell_s), np.array(self.read, dtype=np.bool_)


class Runner:
    """Goes through the blocks once. recalled(list, index) gives the source level of a configuration list."""

    def __init__(
        self,
        blocks: Sequence[Block],
        times: Times,
        recalled: Callable[[str, int], float],
        sizes: Mapping[str, int],
        counts: int,
    ):
        self._blocks, self._times, self._recalled, self._sizes = blocks, times, recalled, sizes
        self._counts = counts

    def run(self, first: int, level: float, output: bool, counters: Mapping[str, int]) -> Timeline:
        """From block `first` (1 ...) to the end or the next WAIT. ScpiError for what cannot be run."""
        self._line = Timeline(output=output, counters=dict(counters))
        self._level, self._pending_s = level, 0.0
        self._place: dict[str, int] = {}  # where each configuration list stands
        at, steps = first, 0
        while 1 <= at <= len(self._blocks):
            steps += 1
            if steps > STEPS_MAX:
                raise ScpiError(-221, "Settings conflict; trigger model without an end")
            kind, *rest = self._blocks[at - 1]
            if kind == "WAIT":
                self._line.at, self._line.waiting = at, True
                break
            at = self._step(kind, rest, at)
        else:
            self._line.at = len(self._blocks)
        self._flush()
        return self._line

    def _step(self, kind: str, rest: list[Any], at: int) -> int:
        """Carry out one block; the number of the next one."""
        if kind == "DEL":
            self._pending_s += rest[0]
        elif kind == "MEAS":
            self._measure(rest[0], rest[1])
        elif kind == "SOUR":
            self._flush()
            self._line.output = bool(rest[0])
        elif kind == "CLEAR":
            self._use(rest[0])
            self._line.cleared = True
        elif kind in ("RECALL", "NEXT", "PREV"):
            self._recall(kind, rest)
        elif kind == "ALWAYS":
            return int(rest[0])
        elif kind == "COUNT":
            return self._count(rest, at)
        return at + 1

    def _count(self, rest: list[Any], at: int) -> int:
        passed = self._line.counters.get(str(at), 0) + 1
        self._line.counters[str(at)] = passed % rest[0]
        return int(rest[1]) if passed < rest[0] else at + 1

    def _recall(self, kind: str, rest: list[Any]) -> None:
        name = rest[0]
        size = self._sizes.get(name, 0)
        if not size:
            raise ScpiError(-221, "Settings conflict; configuration list is empty or missing")
        now = self._place.get(name, 0 if kind == "NEXT" else 1)
        move = {
            "RECALL": rest[1] if len(rest) > 1 else 1,
            "NEXT": now % size + 1,
            "PREV": (now - 2) % size + 1,
        }
        self._place[name] = move[kind]
        self._flush()
        self._level = self._recalled(name, self._place[name])
        self._pending_s = self._times.step_s

    def _measure(self, buffer: str, count: int) -> None:
        self._use(buffer)
        for _ in range(count or self._counts):
            self._emit(self._pending_s + self._times.reading_s, True)
            self._pending_s = 0.0

    def _use(self, buffer: str) -> None:
        if self._line.buffer not in ("", buffer):
            raise ScpiError(-221, "Settings conflict; one reading buffer for each trigger model")
        self._line.buffer = buffer

    def _flush(self) -> None:
        if self._pending_s > 0:
            self._emit(self._pending_s, False)
            self._pending_s = 0.0

    def _emit(self, dwell_s: float, read: bool) -> None:
        self._line.levels.append(self._level if self._line.output else 0.0)
        self._line.dwell_s.append(dwell_s)
        self._line.read.append(read)


def sweep_blocks(name: str, start: int, points: int, delay_s: float, count: int, buffer: str) -> list[Block]:
    """The blocks that a source sweep loads."""
    blocks: list[Block] = [
        ["CLEAR", buffer],
        ["RECALL", name, start],
        ["SOUR", True],
        ["ALWAYS", 6],
        ["NEXT", name],
        ["DEL", delay_s],
        ["MEAS", buffer, 1],
        ["COUNT", points * count, 5],
        ["SOUR", False],
    ]
    return blocks


def simple_loop(count: int, delay_s: float, buffer: str) -> list[Block]:
    """TRIGger:LOAD "SimpleLoop"."""
    return [
        ["CLEAR", buffer],
        ["SOUR", True],
        ["DEL", delay_s],
        ["MEAS", buffer, 1],
        ["COUNT", count, 3],
        ["SOUR", False],
    ]


def config_list_loop(name: str, points: int, delay_s: float, buffer: str) -> list[Block]:
    """TRIGger:LOAD "ConfigList": one reading at each index of a source configuration list."""
    return sweep_blocks(name, 1, points, delay_s, 1, buffer)
