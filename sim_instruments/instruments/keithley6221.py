"""Keithley 6221 AC and DC current source: programmes, and readings through a 2182A."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments import keithley6221_readings as readings
from sim_instruments.instruments.keithley2182a_conversion import moved
from sim_instruments.instruments.keithley6221_programmes import (
    CHUNK,
    FOR_EVER_S,
    LONGEST_WAVE,
    OVERRANGE,
    Programme,
    contiguous,
    pulse_delta,
    quantised,
    range_index,
    ranged,
    stuck,
    wave_cycle,
)
from sim_instruments.instruments.keithley6221_settings import MAX_A
from sim_instruments.instruments.keithley6221_source import CurrentSource
from sim_instruments.instruments.keithley6221_trace import (
    CAPACITY,
    OVERFLOW,
    TraceBuffer,
    as_bytes,
    as_elements,
)
from sim_instruments.scpi.instrument import Choice, Number, ScpiError, Text, command, query
from sim_instruments.world.contracts import FloatArray, Level, PlayTrace, PulseTrain

ARM_TIME_S = {"SWE": 0.3, "WAVE": 0.3, "DELT": 1.5, "PDEL": 1.5}  # source: bench.md 3.2 and 3.3
SETTLE_MARGIN_S = 34e-6  # width - source delay at least; source: limits of WIDTh and SDELay in bench.md 2.1
ABORT_BLOCK = 16  # with compliance abort so many points are played before looking at the compliance
# OPERation and MEASurement bits; source: bench.md 2.1
DONE, ABORTED, SWEEPING, WAVING, WAIT_TRIGGER, WAIT_ARM, IDLE = 2, 4, 8, 16, 32, 64, 1024
READING_OVERFLOW, COMPLIANCE, READING = 1, 8, 32
FILL_BITS = ((128, 0.0), (4096, 0.25), (256, 0.5), (8192, 0.75), (512, 1.0))  # bit, share of the buffer
_ELEMENT = Choice(
    "READing", "TSTamp", "UNITs", "RNUMber", "SOURce", "COMPliance", "AVOLtage", "ALL", "DEFault"
)


class Keithley6221(CurrentSource):
    """Sources on '<name>.out'; reads through the 2182A on '<name>.rs232' and '<name>.trigger_link'.

    A sweep, wave, delta or pulse delta is a `Programme` made when it is armed; `advance` plays what of it
    is over in one call to the world.
    """

    programme: Programme | None = None
    waiting = False  # for an arm event
    state: ClassVar[tuple[str, ...]] = (
        *CurrentSource.state,
        "waiting",
        "elements",
        "data_format",
        "tail",
        "averaged",
        "points_fixed",
        "clock_zero_s",
        "in_compliance",
    )

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        self._stop()
        self.elements = ["READ", "TST"]
        self.data_format = "ASC"
        self.points_fixed = False
        self.in_compliance = False
        self.trace = TraceBuffer()
        self.tail = np.empty((0, 2))  # last low (pulse delta) or last two half cycles (delta)
        self.averaged = np.empty(0)
        self._forget_readings()
        super().on_reset()

    def on_power(self) -> None:
        self.clock_zero_s = self.world.now

    def operation_end_s(self) -> float:
        if self.waiting:
            return float(np.inf)
        return self.programme.end_s if self.programme is not None and self._running else self.world.now

    def trigger(self) -> None:
        if self.waiting and self.values["arm_source"] == "BUS":
            self._start_programme()
        else:
            self.error(-211)

    def refresh_status(self) -> None:
        held = self.values["output"] and not self._running
        compliance = self.world.source_state(self.terminal)[2] if held else self.in_compliance
        self.measurement.set(COMPLIANCE, bool(self.values["output"] and compliance))

    def snapshot(self) -> dict[str, Any]:
        programme = None if self.programme is None else self.programme.state()
        return {**super().snapshot(), "programme": programme, "trace": self.trace.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        programme = state["programme"]
        self.programme = None if programme is None else Programme(**programme)
        self.trace.restore(state["trace"])

    @property
    def _running(self) -> bool:
        return self.programme is not None and not np.isnan(self.programme.start_s)

    def refuse_while_running(self) -> None:
        if self._running or self.waiting:
            raise ScpiError(-221)

    def output_went_off(self) -> None:
        if self._running:
            self._stop()

    # ---- arming -------------------------------------------------------------------------------------

    @command("SOURce<1>:SWEep:ARM")
    def arm_sweep(self) -> None:
        levels, ranges = ranged(self.sweep_levels(), self.values["sweep_ranging"], self.values["range_a"])
        hold_s = self.sweep_delays(len(levels))
        meter = self._triggered_meter()
        if self.values["trigger_source"] == "TLIN":
            # Each point waits for the voltmeter to say that it is done; without one it waits for ever.
            reading_s = meter.triggered_s() if meter is not None else FOR_EVER_S
            overlapped = self.values["trigger_output"] == "SOUR"  # read from the start of the delay on
            hold_s = np.maximum(hold_s, reading_s) if overlapped else hold_s + reading_s
            if meter is None:
                levels, hold_s, ranges = levels[:1], hold_s[:1], ranges[:1]
        self._arm(
            contiguous(
                "SWE",
                levels,
                hold_s,
                ranges if self.values["sweep_ranging"] == "AUTO" else None,
                passes=float(self.values["sweep_count"]),
                limit_v=self.sweep_limit_v(),
            )
        )

    @command("SOURce<1>:WAVE:ARM")
    def arm_wave(self) -> None:
        values = self.values
        peak_a = values["wave_a"] + abs(values["wave_offset_a"])
        limit_a = OVERRANGE * values["range_a"] if values["wave_ranging"] == "FIX" else MAX_A
        if peak_a > limit_a * (1 + 1e-12):
            raise ScpiError(-221)
        function = str(values["wave_function"])
        data = self.arbitrary[function[3]] if function.startswith("ARB") else np.empty(0)
        levels, shares = wave_cycle(
            function, values["wave_a"], values["wave_offset_a"], values["wave_duty"] / 100, data
        )
        index = range_index(values["range_a"] if values["wave_ranging"] == "FIX" else peak_a)
        programme = contiguous(
            "WAVE",
            quantised(levels, index),
            shares / values["wave_hz"],
            None,
            passes=np.inf,
            limit_v=float(values["compliance_v"]),
        )
        self._arm(programme)

    @command("SOURce<1>:DELTa:ARM")
    def arm_delta(self) -> None:
        meter = self._meter()
        values = self.values
        if np.isinf(values["delta_delay_s"]):
            raise ScpiError(-221)
        conversions = 2 if meter.values["front_autozero"] else 1
        half_s = values["delta_delay_s"] + conversions * meter.integration_s
        pair = np.array([values["delta_high_a"], values["delta_low_a"]])
        levels, _ = ranged(pair, "FIX" if not values["auto_range"] else "BEST", values["range_a"])
        count = values["delta_count"] * values["sweep_count"]
        programme = contiguous(
            "DELT",
            levels,
            np.full(2, half_s),
            None,
            passes=(count + 2) / 2,
            limit_v=float(values["compliance_v"]),
        )
        self._arm(programme, count)

    @command("SOURce<1>:PDELta:ARM")
    def arm_pulse_delta(self) -> None:
        self._meter()
        values = self.values
        if values["pulse_delay_s"] > values["pulse_width_s"] - SETTLE_MARGIN_S + 1e-12:
            raise ScpiError(-221)
        line_s = 1 / self.mains_hz
        if values["pulse_sweep"]:
            wanted, ranging = self.sweep_levels(), values["sweep_ranging"]
            periods = np.maximum(5, np.ceil(self.sweep_delays(len(wanted)) / line_s - 1e-9))
            passes, limit_v = float(values["sweep_count"]), self.sweep_limit_v()
        else:
            wanted, ranging = np.array([values["pulse_high_a"]]), values["pulse_ranging"]
            periods = np.array([float(values["pulse_interval"])])
            passes, limit_v = float(values["pulse_count"]), float(values["compliance_v"])
        both, _ = ranged(np.append(wanted, values["pulse_low_a"]), ranging, values["range_a"])
        programme = pulse_delta(
            both[:-1],
            periods * line_s,
            float(values["pulse_width_s"]),
            line_s,
            passes=passes,
            base_a=float(both[-1]),
            limit_v=limit_v,
            integration_s=float(values["pulse_width_s"] - values["pulse_delay_s"]),
            lows=int(values["pulse_lows"]),
        )
        self._arm(programme, programme.total)

    def _arm(self, programme: Programme, readings: float = 0) -> None:
        """Arming one mode un-arms the others and brings the source to zero."""
        self._stop()
        self.programme, self.armed = programme, programme.kind
        if readings:
            if not self.points_fixed:
                self.values["points"] = int(min(readings, CAPACITY))
            self.values["feeding"] = "NEXT"
            self._forget_readings()
        self.apply_level()
        self.busy_for(ARM_TIME_S[programme.kind])

    @query("SOURce<1>:SWEep:ARM")
    def armed_swe(self) -> bool:
        return self.armed == "SWE"

    @query("SOURce<1>:WAVE:ARM")
    def armed_wave(self) -> bool:
        return self.armed == "WAVE"

    @query("SOURce<1>:DELTa:ARM")
    def armed_delt(self) -> bool:
        return self.armed == "DELT"

    @query("SOURce<1>:PDELta:ARM")
    def armed_pdel(self) -> bool:
        return self.armed == "PDEL"

    # ---- start and stop ------------------------------------------------------------------------------

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        if self.armed not in ("SWE", "DELT", "PDEL"):
            raise ScpiError(-221)
        if self._running or self.waiting:
            raise ScpiError(-213)
        if self.values["arm_source"] in ("IMM", "TIM"):
            self._start_programme()
        else:
            self.waiting = True
            self.operation.set(IDLE, False)
            self.operation.set(WAIT_ARM)

    @command("SOURce<1>:WAVE:INITiate")
    def initiate_wave(self) -> None:
        if self.armed != "WAVE":
            raise ScpiError(-221)
        if self._running:
            raise ScpiError(-213)
        self._start_programme()

    def _start_programme(self) -> None:
        """From now on the programme runs; the output is switched on with it."""
        if self.programme is None:
            return
        self.waiting = False
        self.values["output"] = True
        self.in_compliance = False
        if self._unreleased():
            self.programme = stuck(self.programme)
        programme = self.programme
        programme.start_s = programme.played_until_s = max(self.world.now, self.busy_until_s)
        programme.played = 0
        self.tail = np.empty((0, 2))
        self.averaged = np.empty(0)
        if programme.kind == "WAVE":
            kind, amount = self.wave_duration
            cycles = amount if kind == "CYCL" else amount / programme.period_s
            programme.passes = float(cycles)
        self.operation.set(IDLE | WAIT_ARM, False)
        self.operation.set(WAVING if programme.kind == "WAVE" else SWEEPING)
        self.operation.set(WAIT_TRIGGER, programme.period_s >= FOR_EVER_S)
        self.hold(programme.base_a)

    @command("SOURce<1>:SWEep:ABORt")
    def abort_sweep(self) -> None:
        if self.armed in ("SWE", "DELT", "PDEL"):
            self._abort()

    @command("SOURce<1>:WAVE:ABORt")
    def abort_wave(self) -> None:
        if self.armed == "WAVE":
            self._abort()

    @command("ABORt")
    def abort(self) -> None:
        if self.armed:
            self._abort()

    def _abort(self) -> None:
        self._stop()
        self.values["level_a"], self.values["output"] = 0.0, False
        self.apply_level()

    def _stop(self) -> None:
        """End what runs, now, and un-arm it; the point that this cuts is played so far."""
        if self.programme is not None and self._running:
            self._play_partly(self.programme, self.world.now)
            self.operation.latch(ABORTED)
        self.programme, self.armed, self.waiting = None, "", False
        self.operation.set(SWEEPING | WAVING | WAIT_TRIGGER | WAIT_ARM, False)
        self.operation.set(IDLE)

    def _end(self) -> None:
        """The programme is over by itself. A wave's output goes off, a sweep stays armed at its low level."""
        programme = self.programme
        if programme is None:
            return
        self.operation.latch(DONE)
        self.operation.set(SWEEPING | WAVING | WAIT_TRIGGER, False)
        self.operation.set(IDLE)
        if programme.kind == "WAVE":
            self.values["output"] = False
        programme.start_s = np.nan
        self.hold(programme.base_a if programme.bounded else 0.0)

    # ---- playing ------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        programme = self.programme
        if programme is None or not self._running or now <= programme.start_s:
            return
        over = now >= programme.end_s - 1e-10
        end = int(programme.total + 1e-9) if over else programme.count_done(now)
        if end - programme.played > LONGEST_WAVE and programme.kind == "WAVE":
            self.world.fault(f"{self.name}: {end - programme.played} steps of a wave were not all played")
            programme.played = end - LONGEST_WAVE
        aborting = self._aborts_on_compliance(programme)
        block = ABORT_BLOCK if aborting else CHUNK
        while programme.played < end:
            self._play_points(programme, programme.played, min(end, programme.played + block))
            if aborting and self.in_compliance:
                self._stop()
                self.apply_level()
                return
        if not programme.bounded:
            self._play_partly(programme, min(now, programme.end_s))
        if over:
            self._end()

    def _aborts_on_compliance(self, programme: Programme) -> bool:
        if programme.kind == "DELT":
            return bool(self.values["delta_abort"])
        return bool(self.values["sweep_abort"] and (programme.kind == "SWE" or self.values["pulse_sweep"]))

    def _play_points(self, programme: Programme, first: int, end: int) -> None:
        level, start, width, over = programme.points(first, end)
        if programme.kind == "PDEL" and first == 0:
            self.tail = np.array([[self.world.sense(self._meter_terminal()), 0.0]])
        played = self.world.play(
            self.terminal,
            PulseTrain(self.driven(level), start, width, self._driven(programme.base_a), programme.limit_v),
        )
        programme.played = end
        programme.played_until_s = float(start[-1] + width[-1])
        self.in_compliance = bool(np.any(played.compliance))
        if self.in_compliance:
            self.measurement.latch(COMPLIANCE)
        if programme.kind == "PDEL":
            self._read_pulse_delta(programme, played, level, over)
        elif programme.kind == "DELT":
            self._read_delta(played, level, over)
        elif programme.kind == "SWE" and (meter := self._triggered_meter()) is not None:
            meter.external(played.sensed_v(f"{meter.name}.ch1"), over)

    def _play_partly(self, programme: Programme, now: float) -> None:
        """Play what has passed of the point in progress, and hold its level from then on."""
        part = programme.in_progress(now)
        if part is not None:
            level, start, width = (np.array([value]) for value in part)
            train = PulseTrain(
                self.driven(level), start, width, self._driven(programme.base_a), programme.limit_v
            )
            self.in_compliance = bool(self.world.play(self.terminal, train).compliance[0])
            programme.played_until_s = part[1] + part[2]
        if not programme.bounded:
            held = Level(self._driven(programme.level_after(now)), programme.limit_v, True)
            self.world.set_level(self.terminal, held)

    def _driven(self, level_a: float) -> float:
        return float(self.driven(np.array([level_a]))[0])

    # ---- reading through the 2182A --------------------------------------------------------------------

    def _wired(self, port: str) -> Any:
        """The powered 2182A at the other end of a cable, or None."""
        other = self.world.wired(f"{self.name}.{port}")
        if other is None or not other.endswith(f".{port}"):
            return None
        meter = self.world.instrument(other.removesuffix(f".{port}"))
        return meter if hasattr(meter, "serial_send") and meter.powered else None

    def _meter(self) -> Any:
        meter = self._wired("rs232")
        if meter is None:
            raise ScpiError(-241, "Hardware missing; 2182A not found")
        return meter

    def _meter_terminal(self) -> str:
        return f"{self._meter().name}.ch1"

    def _triggered_meter(self) -> Any:
        """The voltmeter that the trigger link triggers: out on line 2, back on line 1; or None."""
        values = self.values
        linked = values["trigger_out"] == 2 and values["trigger_in"] == 1
        return self._wired("trigger_link") if linked and values["trigger_output"] != "NONE" else None

    def _unreleased(self) -> bool:
        """Whether a sweep over the trigger link stays at its first point: no voltmeter waits for it."""
        if self.armed != "SWE" or self.values["trigger_source"] != "TLIN":
            return False
        meter = self._triggered_meter()
        return meter is None or not meter.listening

    def _read_pulse_delta(
        self, programme: Programme, played: PlayTrace, level: FloatArray, over: FloatArray
    ) -> None:
        """The low before a pulse is measured on what the last pulse left, the low after it on its own."""
        meter, where = self._meter(), self._meter_terminal()
        integration_s = programme.integration_s
        after_v = played.sensed_base_v(where)
        before_v = np.concatenate([self.tail[-1:, 0], after_v[:-1]])
        self.tail = np.array([[after_v[-1], 0.0]])
        high = meter.pulsed(played.sensed_v(where), integration_s)
        low_1 = meter.pulsed(before_v, integration_s)
        low_2 = meter.pulsed(after_v, integration_s) if programme.lows == 2 else None
        taken = readings.pulse_delta(high, low_1, low_2)
        self._store(taken, over, level - programme.base_a, level, played.compliance)

    def _read_delta(self, played: PlayTrace, level: FloatArray, over: FloatArray) -> None:
        meter = self._meter()
        volts = meter.pulsed(played.sensed_v(self._meter_terminal()), meter.integration_s)
        halves = np.concatenate([self.tail, np.column_stack([volts, level])])
        self.tail = halves[-2:]
        count = len(halves) - 2
        if count > 0:
            change_a = np.full(count, np.abs(halves[:, 1]).max())
            taken = readings.delta(halves)
            self._store(taken, over[-count:], change_a, halves[2:, 1], np.asarray(played.compliance)[-count:])

    def _store(
        self,
        taken: readings.Readings,
        over: FloatArray,
        change_a: FloatArray,
        source_a: FloatArray,
        compliance: Any,
    ) -> None:
        reading = readings.in_unit(taken.difference_v, change_a, self.values["unit"])
        if self.values["average"]:
            window = self.values["average_window"] / 100 * np.abs(reading).max() or np.inf
            reading, self.averaged = moved(self.averaged, reading, int(self.values["average_count"]), window)
        fed = self.values["feeding"] == "NEXT" and self.values["feed"] != "NONE"
        room = int(self.values["points"]) - self.trace.stored if fed else 0
        self.trace.add(reading, over - self.clock_zero_s, source_a, compliance, taken.average_v, room)
        self.measurement.latch(READING)
        if np.any(np.abs(reading) > 1e30):
            self.measurement.latch(READING_OVERFLOW)
        self._mark_fill()

    def _mark_fill(self) -> None:
        share = self.trace.stored / self.values["points"]
        for bit, part in FILL_BITS:
            self.measurement.set(bit, self.trace.stored > 0 and share >= part)
        if share >= 1:
            self.values["feeding"] = "NEV"

    def _forget_readings(self) -> None:
        self.trace.clear()
        self._mark_fill()

    def _fix_points(self) -> None:
        self.points_fixed = True
        self._forget_readings()

    def _start_feed(self) -> None:
        if self.values["feeding"] == "NEXT":
            self._forget_readings()

    # ---- buffer, format, cables ---------------------------------------------------------------------

    @command("TRACe:CLEar")
    def clear_trace(self) -> None:
        self._forget_readings()

    @query("TRACe:DATA")
    def get_trace(self) -> bytes:
        return self._as_bytes(self.trace.rows(self.values["time_format"]))

    @query("TRACe:DATA:SELected", Number(0, 65535, integer=True), Number(1, 65536, integer=True))
    def get_selected(self, start: int, count: int) -> bytes:
        rows = self.trace.rows(self.values["time_format"], start, count)
        if len(rows) < count:
            raise ScpiError(-222)
        return self._as_bytes(rows)

    @query("TRACe:POINts:ACTual")
    def get_stored(self) -> int:
        return self.trace.stored

    @query("TRACe:FREE")
    def get_free(self) -> str:
        return f"{24 * (CAPACITY - self.trace.stored)},{24 * self.trace.stored}"

    @query("SENSe<1>:DATA[:LATest]")
    def get_latest(self) -> bytes:
        row = self.trace.latest
        if len(row) == 0:
            elapsed_s = self.world.now - self.clock_zero_s
            row = np.array([[OVERFLOW, elapsed_s, 0.0, 0.0, 0.0, OVERFLOW]])
        return self._as_bytes(row)

    @command("FORMat:ELEMents", *[_ELEMENT] * 7, optional=6)
    def set_elements(self, *words: str) -> None:
        self.elements = as_elements(list(words))

    @query("FORMat:ELEMents")
    def get_elements(self) -> str:
        return ",".join(self.elements)

    @command(
        "FORMat[:DATA]", Choice("ASCii", "REAL", "SREal", "DREal"), Number(32, 64, integer=True), optional=1
    )
    def set_format(self, name: str, bits: int = 32) -> None:
        if bits not in (32, 64):
            raise ScpiError(-224)
        self.data_format = f"REAL{bits}" if name == "REAL" else name

    @query("FORMat[:DATA]")
    def get_format(self) -> str:
        return self.data_format.replace("REAL", "REAL,")

    def _as_bytes(self, rows: FloatArray) -> bytes:
        unit = "OHM" if self.values["unit"] == "OHMS" else self.values["unit"]
        return as_bytes(rows, self.elements, unit, self.data_format, self.values["order"])

    @query("SOURce<1>:DELTa:NVPResent")
    @query("SOURce<1>:PDELta:NVPResent")
    def meter_present(self) -> bool:
        return self._wired("rs232") is not None

    @command("SYSTem:COMMunicate:SERial:SEND", Text())
    def serial_send(self, text: str) -> None:
        """To the 2182A's serial port; without a cable it goes nowhere."""
        meter = self._wired("rs232")
        if meter is not None:
            meter.serial_send(text)

    @query("SYSTem:COMMunicate:SERial:ENTer")
    def serial_enter(self) -> str:
        """What has come in so far; empty while the answer is under way."""
        meter = self._wired("rs232")
        return "" if meter is None else str(meter.serial_enter())
