"""The seams inside the simulation: what a transport asks of an instrument, and an instrument of the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Link:
    """How messages reach an instrument. terminator ends its replies on a byte stream (socket);
    latency_s is the bus cost of one message, bytes_per_s the bandwidth."""

    terminator: bytes
    latency_s: float
    bytes_per_s: float


class SimInstrument(Protocol):
    """A box. It is driven by complete program messages; its state lives between them.

    Time: the transport calls world.advance(now) before each call, so the instrument only ever looks
    at world.now. A reply may carry the time from which it can be read (long measurements); the
    instrument itself never sleeps and never blocks.
    """

    name: str
    link: Link

    def message(self, data: bytes) -> None:
        """One complete program message, terminator removed. Replies are queued inside."""
        ...

    def reply(self, now: float) -> bytes | None:
        """Take the queued reply (with its terminator) if it is ready at `now`; None if nothing is."""
        ...

    def reply_ready_s(self) -> float | None:
        """Time from which the queued reply can be read; None if there is none.

        The transport may call `unterminated()` when a reader times out with nothing queued (-420).
        """
        ...

    def unterminated(self) -> None: ...
    def interrupted(self) -> None:
        """A message came before the last reply was read (-410); boxes without that error lack the method."""
        ...

    def device_clear(self) -> None:
        """IEEE 488.1 DCL/SDC: forget input and replies; what is sourced goes on."""
        ...

    def status_byte(self) -> int: ...
    def trigger(self) -> None:
        """Group execute trigger (*TRG)."""
        ...

    def triggered(self, line: str, times_s: FloatArray, trace: PlayTrace | None) -> None:
        """Rising edges at a trigger input (only instruments that have one define this)."""
        ...

    def advance(self, now: float) -> None:
        """Play everything of a running programme that ended by `now`. Called in time order."""
        ...

    def power_cycle(self) -> None: ...
    def snapshot(self) -> dict[str, Any]:
        """State as plain values (numbers, strings, bytes, lists, dicts, numpy arrays)."""
        ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Level:
    """What a source terminal holds between pulses: a current into a compliance, or an open relay.

    connected False means an open output relay (no current can flow). voltage_mode sources hold
    `value` volts behind series_ohm with a current limit instead (`limit` is then ampere).
    """

    value: float
    limit: float
    connected: bool
    voltage_mode: bool = False
    series_ohm: float = 0.0


@dataclass(frozen=True)
class PulseTrain:
    """n rectangular current pulses from one terminal: level (A), start (s), width (s), each (n,).

    Ascending and not overlapping; between pulses the terminal is at base_a. limit_v is the compliance.
    With voltage_mode, level_a and base_a are open-circuit volts behind series_ohm and limit_v is the largest
    current (A, inf for none): what flows then depends on the line.
    """

    level_a: FloatArray
    start_s: FloatArray
    width_s: FloatArray
    base_a: float
    limit_v: float
    voltage_mode: bool = False
    series_ohm: float = 0.0


class InstrumentErrors(NamedTuple):
    """How one instrument is out of calibration; gains are factors, offsets parts of the range in use."""

    source_gain: float = 1.0
    source_offset: float = 0.0
    read_gain: float = 1.0
    read_offset: float = 0.0

    def sourced(self, asked: FloatArray, full_scale: FloatArray | float) -> FloatArray:
        """What really comes (n,) when this is asked for on these ranges: asked * gain + offset * range.

        Zero stays zero: sources are trimmed there.
        """
        if self.source_gain == 1.0 and self.source_offset == 0.0:
            return asked
        wrong = asked * self.source_gain + self.source_offset * np.asarray(full_scale)
        return np.where(asked == 0.0, 0.0, wrong)

    def read(self, true: FloatArray, full_scale: FloatArray | float) -> FloatArray:
        """What is read (n,), before noise, of true values on these ranges: true * gain + offset * range."""
        if self.read_gain == 1.0 and self.read_offset == 0.0:
            return true
        return np.asarray(true * self.read_gain + self.read_offset * np.asarray(full_scale))


NO_ERRORS = InstrumentErrors()


class PlayTrace(Protocol):
    """What a train did, pulse by pulse; all arrays (n,)."""

    current_a: FloatArray  # what really flowed (compliance limits it)
    voltage_v: FloatArray  # across the source's terminals during the pulse
    compliance: BoolArray

    def sensed_v(self, terminal: str) -> FloatArray:
        """(n,) true voltage across another terminal pair during each pulse, before reader noise.
        nan where that terminal is connected to nothing."""
        ...

    def sensed_base_v(self, terminal: str) -> FloatArray:
        """(n,) the same just after each pulse, with the source at base_a."""
        ...

    def window_v(self, terminal: str, start_s: FloatArray, stop_s: FloatArray) -> FloatArray:
        """(m,) mean true voltage over windows of time, ascending: pulses and gaps by their share of it."""
        ...


class World(Protocol):
    """The physical side that all instruments of one bench share."""

    now: float
    mains_hz: float

    def stream(self, name: str) -> np.random.Generator:
        """The named random stream (created from the bench's seed; part of the snapshot)."""
        ...

    def set_level(self, terminal: str, level: Level) -> None:
        """The source terminal ('smu.a') changes what it holds, from world.now on."""
        ...

    def source_state(self, terminal: str) -> tuple[float, float, bool]:
        """(voltage_v, current_a, in compliance) at a source terminal now."""
        ...

    def play(self, terminal: str, train: PulseTrain) -> PlayTrace:
        """Play a train that lies in the past up to world.now and after the last one of this terminal."""
        ...

    def sense(self, terminal: str) -> float:
        """True voltage across a reader's terminal pair now; nan if connected to nothing (open leads)."""
        ...

    def close_relay(self, channel: str) -> None:
        """A relay 'mux.1!3' closes now. Closing or opening under current is a recorded wiring fault."""
        ...

    def open_relay(self, channel: str) -> None: ...
    def set_coil(self, terminal: str, current_a: float, time_constant_s: float) -> None:
        """The coil supply 'magnet.out' heads for current_a exponentially from its present value."""
        ...

    def coil_a(self, terminal: str) -> float:
        """Current in the coil now."""
        ...

    def field_t(self, probe: str) -> float:
        """True field along a gaussmeter's probe axis now (T)."""
        ...

    def wired(self, terminal: str) -> str | None:
        """The other end of a plain cable ('source.rs232' -> 'nvm.rs232'); None if nothing is wired."""
        ...

    def instrument(self, name: str) -> Any:
        """The simulated instrument of that name (for cables that carry commands or triggers)."""
        ...

    def trigger(self, line: str, times_s: FloatArray, trace: PlayTrace | None = None) -> None:
        """A trigger output ('awg.ch2') went high at times_s (m,), ascending, not after now.

        Whatever instrument the cable joins to it gets `triggered(its line, times_s, trace)`; trace is what
        the train did that the triggers belong to, so that a reader can measure in its windows.
        """
        ...

    def instrument_errors(self, name: str) -> InstrumentErrors:
        """The errors of that instrument (unity and zero unless simulation.instrument_errors is true).

        They never change; an instrument may keep them. `sourced` belongs on the levels and trains that it
        hands to the world, `read` on true values before noise and rounding.
        """
        ...

    def fault(self, text: str) -> None:
        """Record a wiring fault (two live sources on one line, hot switching ...)."""
        ...
