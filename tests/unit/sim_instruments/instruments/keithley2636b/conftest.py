"""A small world for the 2636B alone: a resistor on channel a, a Hall voltage of its state on b."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim_instruments.instruments.keithley2636b import Keithley2636B
from sim_instruments.world.contracts import NO_ERRORS, InstrumentErrors, Level, Link, PulseTrain

LINE_OHM, HALL_OHM, SWITCH_A = 1000.0, 0.5, 4e-3


class Trace:
    def __init__(self, train: PulseTrain, state: np.ndarray):
        voltage = train.level_a * LINE_OHM
        self.compliance = np.abs(voltage) > train.limit_v
        self.voltage_v = np.clip(voltage, -train.limit_v, train.limit_v)
        self.current_a = self.voltage_v / LINE_OHM
        self._base_a, self._state = train.base_a, state

    def sensed_v(self, terminal: str) -> np.ndarray:
        return HALL_OHM * self._state * self.current_a

    def sensed_base_v(self, terminal: str) -> np.ndarray:
        return HALL_OHM * self._state * self._base_a


class ResistorWorld:
    """Pulses above SWITCH_A set the state to their sign; reads return HALL_OHM x state x current."""

    def __init__(self, seed: int = 0):
        self.now = 0.0
        self.levels: dict[str, Level] = {}
        self.trains: list[PulseTrain] = []
        self.history: list[tuple[float, str, Level]] = []
        self.state = 1.0
        self.hall_open = False
        self._seed = seed
        self._streams: dict[str, np.random.Generator] = {}
        self.box: Any = None
        self.edges: list[tuple[str, np.ndarray, Any]] = []

    def trigger(self, line: str, times_s: np.ndarray, trace: Any = None) -> None:
        self.edges.append((line, times_s, trace))

    def stream(self, name: str) -> np.random.Generator:
        if name not in self._streams:
            self._streams[name] = np.random.default_rng([self._seed, len(self._streams)])
        return self._streams[name]

    def instrument_errors(self, name: str) -> InstrumentErrors:
        return NO_ERRORS

    def set_level(self, terminal: str, level: Level) -> None:
        self.levels[terminal] = level
        self.history.append((self.now, terminal, level))

    def source_state(self, terminal: str) -> tuple[float, float, bool]:
        level = self.levels.get(terminal, Level(0, 0, False))
        if not level.connected:
            return 0.0, 0.0, False
        if level.voltage_mode:
            current = np.clip(level.value / LINE_OHM, -level.limit, level.limit)
            return current * LINE_OHM, current, abs(level.value / LINE_OHM) > level.limit
        voltage = np.clip(level.value * LINE_OHM, -level.limit, level.limit)
        return voltage, voltage / LINE_OHM, abs(level.value * LINE_OHM) > level.limit

    def sense(self, terminal: str) -> float:
        if self.hall_open:
            return float("nan")
        return float(HALL_OHM * self.state * self.source_state("smu.a")[1])

    def play(self, terminal: str, train: PulseTrain) -> Trace:
        assert (np.diff(train.start_s) >= train.width_s[:-1] - 1e-9).all()
        assert train.start_s[-1] + train.width_s[-1] <= self.now + 1e-8
        if self.trains:
            last = self.trains[-1]
            assert train.start_s[0] >= last.start_s[-1] + last.width_s[-1] - 1e-9
        self.trains.append(train)
        strong = np.where(np.abs(train.level_a) > SWITCH_A, np.sign(train.level_a), 0.0)
        index = np.maximum.accumulate(np.where(strong != 0, np.arange(len(strong)), -1))
        state = np.where(index >= 0, strong[np.maximum(index, 0)], self.state)
        self.state = float(state[-1])
        trace = Trace(train, state)
        if self.hall_open:
            trace.sensed_v = lambda _: np.full(len(state), np.nan)  # type: ignore[method-assign]
            trace.sensed_base_v = trace.sensed_v  # type: ignore[method-assign]
        return trace

    def advance(self, now: float) -> None:
        self.now = max(self.now, now)
        self.box.advance(self.now)


class Bench:
    """The box on its own world, spoken to as a transport does."""

    def __init__(self, options: dict[str, Any] | None = None, seed: int = 0):
        self.world = ResistorWorld(seed)
        self.box = Keithley2636B("smu", self.world, Link(b"\n", 2e-3, 1e6), options or {})  # type: ignore[arg-type]
        self.world.box = self.box

    def write(self, *lines: str) -> None:
        for line in lines:
            self.box.message(line.encode())

    def pass_time(self, seconds: float) -> None:
        self.world.advance(self.world.now + seconds)

    def read(self, longest_s: float = 100.0) -> bytes:
        """Wait in the world's time until a reply is there."""
        end = self.world.now + longest_s
        while (reply := self.box.reply(self.world.now)) is None:
            ready = self.box.reply_ready_s()
            if ready is None or ready > end:
                raise TimeoutError
            self.world.advance(max(ready, self.world.now))
        return reply

    def ask(self, line: str) -> str:
        self.write(line)
        return self.read().decode().rstrip("\n")

    def numbers(self, line: str) -> list[float]:
        return [float(each) for each in self.ask(line).replace(",", "\t").split("\t")]

    def errors(self) -> list[tuple[int, str]]:
        found = [(entry.code, entry.text) for entry in self.box.box.errors.entries]
        self.box.box.errors.clear()
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench
