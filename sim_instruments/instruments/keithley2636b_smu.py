"""One channel of the 2636B: source, meter, and what its trigger model is set to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from sim_instruments.instruments.keithley2636b_buffer import ReadingBuffer
from sim_instruments.instruments.keithley2636b_settings import SWITCH, choice, integer, number, setting
from sim_instruments.instruments.keithley2636b_tables import (
    COMPLIANCE_STATUS,
    CURRENT_NOISE,
    CURRENT_RANGES,
    HIGH_VOLTAGE_A,
    MADE_BUFFERS,
    NPLC_MAX,
    NPLC_MIN,
    OVER_RANGE,
    OVERFLOW,
    READING_OVER_RANGE,
    SCRIPT_S,
    VOLTAGE_NOISE,
    VOLTAGE_RANGES,
    Range,
    overhead_s,
    quantised,
    range_for,
)
from sim_instruments.tsp.box import TspBox
from sim_instruments.tsp.errors import ParameterError, TspError
from sim_instruments.tsp.runtime import Attribute, Wait
from sim_instruments.world.contracts import (
    NO_ERRORS,
    BoolArray,
    FloatArray,
    Level,
    PlayTrace,
    PulseTrain,
    World,
)

AMPS, VOLTS = 0, 1
CONSTANTS = {
    "OUTPUT_DCAMPS": AMPS, "OUTPUT_DCVOLTS": VOLTS, "OUTPUT_OFF": 0, "OUTPUT_ON": 1, "OUTPUT_HIGH_Z": 2,
    "OUTPUT_NORMAL": 0, "OUTPUT_ZERO": 1, "OFF": 0, "ON": 1, "DISABLE": 0, "ENABLE": 1,
    "SENSE_LOCAL": 0, "SENSE_REMOTE": 1, "AUTOZERO_OFF": 0, "AUTOZERO_ONCE": 1, "AUTOZERO_AUTO": 2,
    "AUTORANGE_OFF": 0, "AUTORANGE_ON": 1, "SOURCE_IDLE": 0, "SOURCE_HOLD": 1, "LIMIT_AUTO": 0,
    "DELAY_OFF": 0, "DELAY_AUTO": -1, "FILL_ONCE": 0, "FILL_WINDOW": 1,
    "FILTER_MOVING_AVG": 0, "FILTER_REPEAT_AVG": 1, "FILTER_MEDIAN": 2,
    "SETTLE_SMOOTH": 0, "SETTLE_FAST_RANGE": 1, "SETTLE_FAST_ALL": 128,
}  # fmt: skip
SOURCE_DEFAULTS: dict[str, Any] = {
    "func": VOLTS, "leveli": 0.0, "levelv": 0.0, "rangei": 1e-7, "rangev": 0.2, "limiti": 0.1, "limitv": 20.0,
    "autorangei": 1, "autorangev": 1, "output": 0, "offmode": 0, "offlimiti": 1e-3, "highc": 0, "delay": 0.0,
    "settling": 0, "lowrangei": 1e-9, "lowrangev": 0.2,
}  # defaults: [R] but func, limits and output  # fmt: skip
MEASURE_DEFAULTS: dict[str, Any] = {
    "nplc": 1.0, "autozero": 2, "autorangei": 1, "autorangev": 1, "rangei": 1e-7, "rangev": 0.2, "count": 1,
    "delay": 0.0, "lowrangei": 1e-9, "lowrangev": 0.2, "filter_enable": 0, "filter_count": 1,
    "filter_type": 1,
}  # fmt: skip
ZERO_OFF = 1


class Owner(Protocol):
    """What a channel needs of its box."""

    world: World
    box: TspBox
    mains_hz: float
    smus: Mapping[str, Smu]

    def sweeping(self, smu: Smu) -> bool: ...
    def abort_sweep(self, smu: Smu) -> None: ...


@dataclass(frozen=True)
class State:
    """What a channel sees at its terminals: (n,) arrays."""

    voltage_v: FloatArray
    current_a: FloatArray
    compliance: BoolArray

    def repeated(self, count: int) -> State:
        """The last of the n, count times."""
        voltage, current, limited = self.voltage_v[-1], self.current_a[-1], self.compliance[-1]
        return State(np.full(count, voltage), np.full(count, current), np.full(count, limited))


class Smu:
    """A channel; `letter` is a or b, its terminal '<instrument>.<letter>'."""

    def __init__(self, owner: Owner, instrument: str, letter: str, number_: int):
        self.owner = owner
        self.name = f"smu{letter}"
        self.number = number_
        self.terminal = f"{instrument}.{letter}"
        self.errors = owner.world.instrument_errors(instrument)
        self._exact = self.errors == NO_ERRORS
        self.source: dict[str, Any] = dict(SOURCE_DEFAULTS)
        self.measure: dict[str, Any] = dict(MEASURE_DEFAULTS)
        self.sense = {"sense": 0}
        self.buffers = {"nvbuffer1": ReadingBuffer(), "nvbuffer2": ReadingBuffer()}
        self.made = 0
        self.limit_seen = False  # latched for the status model
        self._held = Level(0.0, 0.0, False)
        self._pending: list[tuple[float, Level]] = []
        self._stretch: PlayTrace | None = None  # of the level that a script holds now, if in the past

    # ---- source ----

    def reset(self) -> None:
        """Defaults, output off; buffers stay."""
        self.source.update(SOURCE_DEFAULTS)
        self.measure.update(MEASURE_DEFAULTS)
        self.sense["sense"] = 0
        self.apply()

    def source_range(self, kind: str, value: float) -> Range:
        """The range on which `value` (kind 'i' or 'v') is sourced. ParameterError if it does not fit."""
        ranges = CURRENT_RANGES if kind == "i" else VOLTAGE_RANGES
        wanted = value if self.source[f"autorange{kind}"] else self.source[f"range{kind}"]
        found = range_for(ranges, wanted)
        if found is None or abs(value) > found.full * OVER_RANGE:
            raise ParameterError(1102, "Parameter too big")
        return found

    def level(self) -> Level:
        """What the settings ask the terminal to hold."""
        kind, limit = ("v", "limiti") if self.source["func"] == VOLTS else ("i", "limitv")
        if not self.source["output"]:
            zero = self.source["offmode"] == ZERO_OFF
            return Level(0.0, self.source["offlimiti"], zero, voltage_mode=zero)
        value = self.source[f"level{kind}"]
        step = self.source_range(kind, value).step
        return Level(round(value / step) * step, abs(self.source[limit]), True, voltage_mode=kind == "v")

    def apply(self) -> None:
        """Settings have changed: check them, and let the terminal hold what they ask for."""
        for kind in "iv":
            self.source_range(kind, self.source[f"level{kind}"])
        high_v = (
            max(abs(self.source["levelv"]), 0.0) if self.source["func"] == VOLTS else self.source["limitv"]
        )
        high_i = self.source["limiti"] if self.source["func"] == VOLTS else self.source["leveli"]
        if abs(high_v) > 20 * OVER_RANGE and abs(high_i) > HIGH_VOLTAGE_A * OVER_RANGE:
            raise ParameterError(5007, "Operation would exceed safe operating area")
        if not self.source["output"] and self.owner.sweeping(self):
            self.owner.abort_sweep(self)
        self.hold(self.level())

    def hold(self, level: Level) -> None:
        """The terminal holds this level from the script's place in time on."""
        if level == (self._pending[-1][1] if self._pending else self._held):
            return
        if self._pending or self.owner.box.time < self.owner.world.now - 1e-9:
            self._pending.append((self.owner.box.time, level))
        else:
            self._set(level)

    def catch_up(self, until_s: float) -> None:
        """Play what scripts did to the level in the past, up to until_s; from the world's present on the
        level stands. (A script that was suspended goes on at its own times, before the world's now.)"""
        if not self._pending:
            self._stretch = None
            return
        base = self._held.value if self._held.connected and not self._held.voltage_mode else 0.0
        edges = [*(time for time, _ in self._pending[1:]), until_s]
        parts = [
            (level, start, end - start)
            for (start, level), end in zip(self._pending, edges, strict=True)
            if end > start and not (level.connected and level.voltage_mode) and _amperes(level) != base
        ]
        last = self._pending[-1][1]
        self._stretch = None
        if parts:
            if not self._held.connected:
                self._set(Level(0.0, parts[0][0].limit, True))
            train = PulseTrain(
                self.driven("i", np.array([_amperes(level) for level, _, _ in parts])),
                np.array([start for _, start, _ in parts]),
                np.array([width for _, _, width in parts]),
                self.base_a,
                parts[0][0].limit,
            )
            trace = self.owner.world.play(self.terminal, train)
            if parts[-1][0] is last:
                self._stretch = trace
        if until_s >= self.owner.world.now - 1e-9:
            self._pending = []
            self._stretch = None
            self._set(last)
        else:
            self._pending = [(until_s, last)]

    def _set(self, level: Level) -> None:
        self._held = level
        if not self._exact:
            value = self.driven("v" if level.voltage_mode else "i", np.array([level.value]))
            level = replace(level, value=float(value[0]))
        self.owner.world.set_level(self.terminal, level)

    def driven(self, kind: str, values: FloatArray) -> FloatArray:
        """What really comes (n,) when these are sourced: out of calibration, if the bench says so."""
        if self._exact:
            return values
        full = np.array([each.full for each in (CURRENT_RANGES if kind == "i" else VOLTAGE_RANGES)])
        wanted = np.abs(values) if self.source[f"autorange{kind}"] else self.source[f"range{kind}"]
        place = np.minimum(np.searchsorted(full * OVER_RANGE, wanted), len(full) - 1)
        return self.errors.sourced(values, full[place])

    @property
    def base_a(self) -> float:
        """Current between the pulses of a sweep."""
        if not self._held.connected or self._held.voltage_mode:
            return 0.0
        return self._held.value if self._exact else float(self.driven("i", np.array([self._held.value]))[0])

    # ---- meter ----

    def state(self) -> State:
        """At the script's place in time."""
        now = self.owner.box.time
        for smu in self.owner.smus.values():
            smu.catch_up(now)
        if self._stretch is not None:
            last = slice(-1, None)
            return State(
                self._stretch.voltage_v[last], self._stretch.current_a[last], self._stretch.compliance[last]
            )
        level = self._held
        if not level.connected:
            return self.seen_idle(np.zeros(1))
        if level.voltage_mode or level.value:
            voltage, current, limited = self.owner.world.source_state(self.terminal)
            return State(np.array([voltage]), np.array([current]), np.array([limited]))
        for smu in self.owner.smus.values():
            if smu is not self and smu._stretch is not None:
                return self.seen_idle(smu._stretch.sensed_v(self.terminal)[-1:])
        return self.seen_idle(np.array([self.owner.world.sense(self.terminal)]))

    def seen_idle(self, voltage_v: FloatArray) -> State:
        """A channel that forces 0 A, or is off, sees these voltages; open leads drift to the limit [R]."""
        zeros = np.zeros(len(voltage_v))
        if not self._held.connected:
            return State(zeros, zeros, np.zeros(len(voltage_v), dtype=bool))
        open_ = np.isnan(voltage_v)
        return State(np.where(open_, self._held.limit, voltage_v) if open_.any() else voltage_v, zeros, open_)

    def reading(self, kind: str, state: State) -> FloatArray:
        """Readings (n,) of 'v' or 'i' with the noise of range and integration time; overflow 9.9e37."""
        true, ranges, noise = (
            (state.voltage_v, VOLTAGE_RANGES, VOLTAGE_NOISE)
            if kind == "v"
            else (state.current_a, CURRENT_RANGES, CURRENT_NOISE)
        )
        highest = float(np.abs(true).max()) if len(true) else 0.0
        wanted = highest if self.measure[f"autorange{kind}"] else self.measure[f"range{kind}"]
        chosen = range_for(ranges, wanted) or ranges[-1]
        rms = noise.rms(chosen.full, self.aperture_s)
        random = self.owner.world.stream(self.terminal)
        values = self.errors.read(true, chosen.full) + rms * random.standard_normal(len(true))
        limit = chosen.full * READING_OVER_RANGE
        if highest > limit:
            values = np.where(np.abs(true) > limit, np.copysign(OVERFLOW, true), values)
        return values

    def statuses(self, state: State) -> FloatArray:
        """Status of each reading, as the buffer stores it."""
        if state.compliance.any():
            self.limit_seen = True
        return np.where(state.compliance, float(COMPLIANCE_STATUS), 0.0) + 16.0 * self.sense["sense"]

    @property
    def aperture_s(self) -> float:
        return float(self.measure["nplc"]) / self.owner.mains_hz

    @property
    def busy_s(self) -> float:
        """From the start of one reading to the earliest start of the next."""
        return self.aperture_s + overhead_s(self.measure["nplc"])

    def read(self, kinds: str, buffers: tuple[Any, ...]) -> Wait:
        """smuX.measure.v(buffer) and its like: measure.count readings, the last one is the result."""
        targets = [self.buffer_of(each) for each in buffers if each is not None]
        count = int(self.measure["count"])
        each_s = max(self.measure["delay"], 0.0) + self.busy_s + SCRIPT_S
        began = self.owner.box.time

        def finish() -> tuple[float, ...]:
            one = self.state()
            state = one.repeated(count)
            values = {kind: self.reading(kind, state) for kind in set("vi" if kinds in "rp" else kinds)}
            results = [values[kind] for kind in kinds] if kinds not in "rp" else [_combined(kinds, values)]
            times = began + each_s * np.arange(count)
            for target, result in zip(targets, results, strict=False):
                if not target.settings["appendmode"]:
                    target.clear()
                target.append(result, times, np.full(count, self._held.value), self.statuses(state))
            return tuple(float(result[-1]) for result in results)

        return Wait(began + count * each_s, finish)

    def buffer_of(self, value: Any) -> ReadingBuffer:
        """The buffer that a script names."""
        owner = self.owner.box.runtime.owner_of(value)
        if not isinstance(owner, ReadingBuffer):
            raise TspError("bad argument: a reading buffer expected")
        return owner

    def in_compliance(self) -> bool:
        limited = bool(self.state().compliance[-1])
        self.limit_seen |= limited
        return limited

    # ---- for scripts ----

    def namespace(self, trigger: Mapping[str, Any]) -> dict[Any, Any]:
        """smuX and all that hangs on it; `trigger` is smuX.trigger."""
        runtime = self.owner.box.runtime
        buffers = {
            name: wrap_buffer(runtime, buffer, f"{self.name}.{name}") for name, buffer in self.buffers.items()
        }
        return {
            **CONSTANTS,
            **buffers,
            "source": self._source_namespace(),
            "measure": self._measure_namespace(),
            "sense": setting(self.sense, "sense", SWITCH),
            "trigger": trigger,
            "reset": self.reset,
            "abort": lambda: self.owner.abort_sweep(self),
            "makebuffer": self._make_buffer,
            "savebuffer": lambda *_: None,
        }

    def _make_buffer(self, size: Any) -> Any:
        count = integer(1, 10**9)(size)
        if self.made + count > MADE_BUFFERS:
            raise ParameterError(-225, "Out of memory or TSP memory allocation error")
        self.made += count
        return wrap_buffer(self.owner.box.runtime, ReadingBuffer(count), "buffer")

    def _source_namespace(self) -> dict[str, Any]:
        store, apply = self.source, self.apply

        def own(key: str, check: Callable[[Any], Any]) -> Attribute:
            return setting(store, key, check, apply)

        return {
            "func": own("func", choice(AMPS, VOLTS)),
            "leveli": own("leveli", number(-1.5 * OVER_RANGE, 1.5 * OVER_RANGE)),
            "levelv": own("levelv", number(-200 * OVER_RANGE, 200 * OVER_RANGE)),
            "limiti": own("limiti", number(1e-10, 1.5 * OVER_RANGE)),
            "limitv": own("limitv", number(0.01, 200 * OVER_RANGE)),
            "rangei": self._range(store, "i", CURRENT_RANGES, apply),
            "rangev": self._range(store, "v", VOLTAGE_RANGES, apply),
            "autorangei": own("autorangei", SWITCH),
            "autorangev": own("autorangev", SWITCH),
            "lowrangei": setting(store, "lowrangei", number(0, 1.5)),
            "lowrangev": setting(store, "lowrangev", number(0, 200)),
            "output": own("output", choice(0, 1, 2)),
            "offmode": own("offmode", choice(0, 1, 2)),
            "offlimiti": own("offlimiti", number(1e-10, 1.5)),
            "highc": setting(store, "highc", SWITCH),
            "delay": setting(store, "delay", number(-1, 1e5)),
            "settling": setting(store, "settling", choice(0, 1, 2, 3, 128)),
            "compliance": Attribute(self.in_compliance),
        }

    def _measure_namespace(self) -> dict[str, Any]:
        store = self.measure
        return {
            "v": lambda *buffers: self.read("v", buffers),
            "i": lambda *buffers: self.read("i", buffers),
            "iv": lambda *buffers: self.read("iv", buffers),
            "r": lambda *buffers: self.read("r", buffers),
            "p": lambda *buffers: self.read("p", buffers),
            "nplc": setting(store, "nplc", number(NPLC_MIN, NPLC_MAX)),
            "autozero": setting(store, "autozero", choice(0, 1, 2)),
            "autorangei": setting(store, "autorangei", SWITCH),
            "autorangev": setting(store, "autorangev", SWITCH),
            "rangei": self._range(store, "i", CURRENT_RANGES, lambda: None),
            "rangev": self._range(store, "v", VOLTAGE_RANGES, lambda: None),
            "lowrangei": setting(store, "lowrangei", number(0, 1.5)),
            "lowrangev": setting(store, "lowrangev", number(0, 200)),
            "count": setting(store, "count", integer(1, 1_000_000)),
            "delay": setting(store, "delay", number(-1, 1e5)),
            "filter": {
                "enable": setting(store, "filter_enable", SWITCH),
                "count": setting(store, "filter_count", integer(1, 100)),
                "type": setting(store, "filter_type", choice(0, 1, 2)),
            },
        }

    def _range(
        self, store: dict[str, Any], kind: str, ranges: tuple[Range, ...], changed: Callable[[], None]
    ) -> Attribute:
        """Takes the smallest range that holds the value and switches autorange off."""

        def change(value: Any) -> None:
            wanted = range_for(
                ranges, number(-ranges[-1].full * OVER_RANGE, ranges[-1].full * OVER_RANGE)(value)
            )
            assert wanted is not None
            before = store[f"range{kind}"], store[f"autorange{kind}"]
            store[f"range{kind}"], store[f"autorange{kind}"] = wanted.full, 0
            try:
                changed()
            except ParameterError:
                store[f"range{kind}"], store[f"autorange{kind}"] = before
                raise ParameterError(-221, "Settings conflict") from None

        return Attribute(lambda: store[f"range{kind}"], change)

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        held = self._held
        return {
            "source": dict(self.source),
            "measure": dict(self.measure),
            "sense": self.sense["sense"],
            "limit_seen": self.limit_seen,
            "held": [held.value, held.limit, held.connected, held.voltage_mode],
            "buffers": {name: buffer.snapshot() for name, buffer in self.buffers.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The world restores its levels itself."""
        self.source.update(state["source"])
        self.measure.update(state["measure"])
        self.sense["sense"] = state["sense"]
        self.limit_seen = bool(state["limit_seen"])
        value, limit, connected, voltage_mode = state["held"]
        self._held = Level(float(value), float(limit), bool(connected), bool(voltage_mode))
        self._pending, self._stretch = [], None
        for name, buffer in self.buffers.items():
            buffer.restore(state["buffers"][name])

    def quantised(self, kind: str, values: FloatArray) -> FloatArray:
        """Levels of a sweep as the source's converter gives them on the range of the largest."""
        highest = float(np.abs(values).max()) if len(values) else 0.0
        return quantised(values, self.source_range(kind, highest).step)


def _amperes(level: Level) -> float:
    return level.value if level.connected else 0.0


def wrap_buffer(runtime: Any, buffer: ReadingBuffer, path: str) -> Any:
    """The Lua side of a buffer: buffer.n, buffer[1], buffer.timestamps[1] ..."""
    members: dict[Any, Any] = buffer.members()
    for column in ("readings", "timestamps", "sourcevalues", "statuses"):
        members[column] = runtime.wrap_object(
            (buffer, column),
            {"n": Attribute(lambda: len(buffer))},
            lambda index, column=column: buffer.at(column, index),
            f"{path}.{column}",
        )
    return runtime.wrap_object(buffer, members, lambda index: buffer.at("readings", index), path)


def _combined(kind: str, values: Mapping[str, FloatArray]) -> FloatArray:
    if kind == "p":
        return values["v"] * values["i"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = values["v"] / values["i"]
    return np.where(np.isfinite(ratio), ratio, math.copysign(OVERFLOW, 1.0))
