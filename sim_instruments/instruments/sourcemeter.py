"""What the Keithley 2450 and 2400 share: one channel that forces and measures, and lists of levels in time.

Terminals: '<name>.force' carries the current; '<name>.sense' are the remote sense leads. With remote sense on
the measured voltage is the one between the sense leads; the compliance acts on the force side.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sim_instruments.instruments.keithley6221_programmes import Programme, contiguous
from sim_instruments.instruments.sourcemeter_tables import (
    AUTO_ZERO,
    OVER_RANGE,
    OVERFLOW,
    POINT_MIN_S,
    Figures,
    Range,
    quantised,
    range_for,
)
from sim_instruments.scpi.instrument import Boolean, ScpiError, ScpiInstrument
from sim_instruments.world.contracts import BoolArray, FloatArray, Level, PulseTrain

ABORT_BLOCK = 16  # points played before the compliance is looked at, where a sweep ends on it
SHORTEST_S = 1e-9  # less than this is rounding
CHUNK = 200_000  # points played in one call at most


class AutoZero:
    """ON, OFF, 1, 0, or ONCE: zero now and no more."""

    def parse(self, text: str) -> bool:
        return False if text.upper() == "ONCE" else Boolean().parse(text)


class Points(NamedTuple):
    """Measured points (n,): level asked, true voltage and current, limited, end of the measurement (s)."""

    level: FloatArray
    true_v: FloatArray
    true_a: FloatArray
    limited: BoolArray
    over_s: FloatArray


class SourceMeter(ScpiInstrument):
    """Base of the two boxes. A programme is a row of levels that follow each other without a gap.

    `reads` marks the points that are measured, at the end of their dwell.
    """

    figures: ClassVar[Figures]
    programme: Programme | None = None
    state: ClassVar[tuple[str, ...]] = ("reads", "aborts", "tripped", "in_compliance", "clock_zero_s")

    # ---- what a model says ---------------------------------------------------------------------------

    def aperture_s(self, function: str) -> float:
        """Integration time of a reading of VOLT, CURR or RES (s)."""
        raise NotImplementedError

    def auto_zeroes(self, function: str) -> bool:
        """Whether each reading comes with a zero and a reference."""
        raise NotImplementedError

    def averages(self, function: str) -> int:
        """Conversions that a filter averages for one reading."""
        return 1

    def source_delay_s(self) -> float:
        """From setting a level to measuring it (s)."""
        raise NotImplementedError

    def functions(self) -> tuple[str, ...]:
        """What a reading measures: VOLT, CURR, RES."""
        raise NotImplementedError

    def take(self, points: Points) -> None:
        """Points of a programme were measured."""
        raise NotImplementedError

    def level_afterwards(self, last: float) -> float:
        """What is sourced from the end of a programme on, whose last level was this."""
        return 0.0

    def programme_over(self) -> None:
        """The programme ended by itself."""

    # ---- state -----------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        self.programme = None
        self.reads = np.zeros(0, dtype=np.bool_)
        self.aborts = self.tripped = self.in_compliance = False
        self.hold()

    def on_power(self) -> None:
        self.clock_zero_s = self.world.now

    def operation_end_s(self) -> float:
        return self.programme.end_s if self.programme is not None else self.world.now

    def snapshot(self) -> dict[str, Any]:
        programme = None if self.programme is None else asdict(self.programme)
        return {**super().snapshot(), "programme": programme}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        programme = state["programme"]
        self.programme = None if programme is None else Programme(**programme)

    # ---- the source --------------------------------------------------------------------------------------

    @property
    def terminal(self) -> str:
        return f"{self.name}.force"

    @property
    def sense_terminal(self) -> str:
        return f"{self.name}.sense"

    @property
    def remote_sense(self) -> bool:
        """Whether the voltage is measured at the sense leads."""
        return bool(self.values["remote_sense"])

    @property
    def off_state(self) -> str:
        """What the terminals carry while the output is off; ZERO keeps them connected."""
        return str(self.values["off_state"])

    @property
    def sources_voltage(self) -> bool:
        return bool(self.values["function"] == "VOLT")

    @property
    def limit(self) -> float:
        """Compliance in force: volts where a current is sourced, else amperes."""
        return float(self.values["limit_a" if self.sources_voltage else "limit_v"])

    def source_ranges(self) -> tuple[Range, ...]:
        return self.figures.voltage if self.sources_voltage else self.figures.current

    def source_range(self, value: float) -> Range:
        """The range in use for this level."""
        key = "voltage" if self.sources_voltage else "current"
        wanted = value if self.values[f"{key}_auto"] else self.values[f"{key}_range"]
        return range_for(self.source_ranges(), wanted) or self.source_ranges()[-1]

    def level(self) -> float:
        """The level that is asked for."""
        return float(self.values["voltage_v" if self.sources_voltage else "current_a"])

    def sourced(self, levels: FloatArray, chosen: Range) -> FloatArray:
        """(n,) what really comes: clipped at the range, in its steps, with the box's own errors."""
        top = chosen.full * OVER_RANGE
        asked = quantised(np.clip(levels, -top, top), chosen.step)
        return np.asarray(self.world.instrument_errors(self.name).sourced(asked, chosen.full))

    def hold(self) -> None:
        """Source the level that is set, or what the off state says."""
        self.hold_level(self.level())

    def hold_level(self, level: float) -> None:
        """Source this level until further notice (0 V into almost nothing where the output is off)."""
        if self.values["output"]:
            value = float(self.sourced(np.array([level]), self.source_range(self._highest(level)))[0])
            held = Level(value, self.limit, True, self.sources_voltage)
        else:
            held = Level(0.0, 0.0, self.off_state == "ZERO", True)
            held = held if held.connected else Level(0.0, 0.0, False)
        self.world.set_level(self.terminal, held)

    def switch(self, on: bool) -> None:
        """Output relay; a programme that runs ends with it."""
        self.values["output"] = on
        if not on:
            self.stop()
        self.hold()

    def check_limits(self) -> None:
        """-222 where the level is beyond a fixed range."""
        for key, unit in (("current", "a"), ("voltage", "v")):
            auto = self.values[f"{key}_auto"]
            top = self.values[f"{key}_range"] * OVER_RANGE
            if not auto and abs(self.values[f"{key}_{unit}"]) > top * (1 + 1e-12):
                raise ScpiError(-222)
        self.hold()

    def take_range(self, key: str) -> None:
        """A range was set: the real one that holds it; auto range goes off."""
        ranges = self.figures.current if "current" in key else self.figures.voltage
        chosen = range_for(ranges, self.values[f"{key}_range"])
        if chosen is None:
            raise ScpiError(-222)
        self.values[f"{key}_range"], self.values[f"{key}_auto"] = chosen.full, False

    # ---- programmes --------------------------------------------------------------------------------------

    def point_s(self, read: bool) -> float:
        """Dwell of one list point (s)."""
        first = self.functions()[0]
        measured = self.conversion_s(first) * len(self.functions()) if read else 0.0
        return max(POINT_MIN_S, self.source_delay_s() + self.figures.point_s + measured)

    def conversion_s(self, function: str) -> float:
        """Integration of one reading with its zeroes (s)."""
        once_s = self.aperture_s(function) * (AUTO_ZERO if self.auto_zeroes(function) else 1)
        return once_s * self.averages(function)

    def begin(
        self, levels: FloatArray, dwell_s: FloatArray, reads: BoolArray, passes: float, aborts: bool
    ) -> None:
        """Start a programme now. Its levels are on the range in use, or one that holds the largest."""
        self.programme = contiguous("SWE", levels, dwell_s, None, passes=passes, limit_v=self.limit)
        self.programme.start_s = self.programme.played_until_s = self.world.now
        self.reads, self.aborts, self.in_compliance = reads, aborts, False
        self.hold_level(0.0)  # until the first point, or its part up to now, is played: it is lived once

    def stop(self) -> None:
        """End what runs, now; the point that this cuts is played so far and not measured."""
        if self.programme is not None:
            self._play_part(self.programme, self.world.now)
            self.programme = None
            self.hold()

    def advance(self, now: float) -> None:
        programme = self.programme
        if programme is None or now <= programme.start_s:
            return
        over = now >= programme.end_s - 1e-10
        end = int(programme.total + 1e-9) if over else programme.count_done(now)
        block = ABORT_BLOCK if self.aborts else CHUNK
        while programme.played < end:
            self._play(programme, programme.played, min(end, programme.played + block))
            if self.aborts and self.in_compliance:
                over = True
                break
        if over:
            self._play_rest(programme, now)
            self.programme = None
            self.programme_over()
        else:
            self._play_part(programme, now)
            self.hold_level(programme.level_after(now))

    def _highest(self, level: float) -> float:
        """The largest level of the programme that runs (a list stays on one range), else this one."""
        return level if self.programme is None else float(np.abs(self.programme.level_a).max())

    def _train(self, programme: Programme, points: tuple[FloatArray, ...]) -> Any:
        level, start, width = points
        real = self.sourced(level, self.source_range(self._highest(0.0)))
        train = PulseTrain(real, start, width, 0.0, programme.limit_v, self.sources_voltage)
        return self.world.play(self.terminal, train)

    def _play(self, programme: Programme, first: int, end: int) -> None:
        level, start, width, over_s = programme.points(first, end)
        trace = self._train(programme, (level, start, width))
        programme.played, programme.played_until_s = end, float(start[-1] + width[-1])
        self.note_limited(bool(np.any(trace.compliance)))
        read = self.reads[np.arange(first, end) % len(self.reads)]
        if read.any():
            seen_v = trace.sensed_v(self.sense_terminal) if self.remote_sense else trace.voltage_v
            columns = (level, seen_v, trace.current_a, trace.compliance, over_s)
            self.take(Points(*(np.asarray(column)[read] for column in columns)))

    def _play_part(self, programme: Programme, now: float) -> None:
        part = programme.in_progress(now)
        if part is not None:
            trace = self._train(programme, tuple(np.array([value]) for value in part))
            self.note_limited(bool(trace.compliance[0]))
            programme.played_until_s = part[1] + part[2]

    def _play_rest(self, programme: Programme, now: float) -> None:
        """What the source has held since the last point: the world knows only what stood before."""
        since_s = programme.played_until_s
        if now - since_s > SHORTEST_S:
            held = np.array([self.level_afterwards(float(programme.level_a[-1]))])
            self._train(programme, (held, np.array([since_s]), np.array([now - since_s])))

    def note_limited(self, limited: bool) -> None:
        """The source was, or was not, at its limit."""
        self.in_compliance = limited

    # ---- the meter ---------------------------------------------------------------------------------------

    def present(self, count: int, over_s: FloatArray) -> Points:
        """`count` measurements of what stands at the terminals now."""
        volts, amps, limited = self.world.source_state(self.terminal)
        if self.remote_sense:
            volts = self.world.sense(self.sense_terminal)
        self.note_limited(limited)
        same = np.ones(count)
        return Points(self.level() * same, volts * same, amps * same, np.full(count, limited), over_s)

    def limited_now(self) -> bool:
        """Whether the source is at its limit now."""
        if self.programme is not None or not self.values["output"]:
            return self.in_compliance if self.programme is not None else False
        return bool(self.world.source_state(self.terminal)[2])

    def read(self, function: str, points: Points) -> FloatArray:
        """(n,) readings of VOLT, CURR or RES; OVERFLOW beyond the range or with open sense leads."""
        if function == "RES":
            volts, amps = self.read("VOLT", points), self.read("CURR", points)
            with np.errstate(divide="ignore", invalid="ignore"):
                ohms = np.where(volts == OVERFLOW, OVERFLOW, volts / amps)
            return np.where(np.isfinite(ohms), ohms, OVERFLOW)
        true = points.true_v if function == "VOLT" else points.true_a
        key = "sense_voltage" if function == "VOLT" else "sense_current"
        spans = self._spans(function, key, true)
        noise = self.figures.voltage_noise if function == "VOLT" else self.figures.current_noise
        kinds, place = np.unique(spans, return_inverse=True)
        rms = np.array([noise.rms(float(span), self.aperture_s(function)) for span in kinds])[place]
        rms = rms / np.sqrt(self.averages(function))
        errors = self.world.instrument_errors(self.name)
        drawn = self.world.stream(f"{self.name}.noise").standard_normal(len(true))
        values = errors.read(true, spans) + rms * drawn
        return np.where(np.abs(true) <= OVER_RANGE * spans, values, OVERFLOW)

    def _spans(self, function: str, key: str, true: FloatArray) -> FloatArray:
        """(n,) full scale that each value is read on. What is sourced is read on the source's range."""
        ranges = self.figures.voltage if function == "VOLT" else self.figures.current
        if (function == "VOLT") == self.sources_voltage:
            return np.full(len(true), self.source_range(self._highest(self.level())).full)
        if not self.values[f"{key}_auto"]:
            return np.full(len(true), float(self.values[f"{key}_range"]))
        full = np.array([each.full for each in ranges])
        place = np.searchsorted(OVER_RANGE * full, np.abs(np.nan_to_num(true)))
        return np.asarray(full[np.minimum(place, len(full) - 1)])
