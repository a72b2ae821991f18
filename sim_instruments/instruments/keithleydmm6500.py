"""Keithley DMM6500 multimeter in its SCPI mode: DC voltage, digitised voltage, buffers, trigger model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments import keithleydmm6500_programme as programme
from sim_instruments.instruments.keithleydmm6500_blocks import TriggerBlocks
from sim_instruments.instruments.keithleydmm6500_converter import PICKUP_V, Converter, range_for
from sim_instruments.instruments.keithleydmm6500_memory import (
    BUFFER,
    ELEMENTS,
    ENDLESS,
    EPOCH,
)
from sim_instruments.instruments.keithleydmm6500_programme import Block, Conversion, Stage
from sim_instruments.instruments.keithleydmm6500_settings import (
    APERTURE_S,
    DIGITISE,
    NPLC_MAX_50_HZ,
    SETTINGS,
    VOLT,
)
from sim_instruments.scpi.instrument import (
    Later,
    Number,
    ScpiError,
    Setting,
    Text,
    command,
    query,
)
from sim_instruments.scpi.parameters import quote
from sim_instruments.world.contracts import FloatArray, PlayTrace

OVERHEAD_S = 0.3e-3  # of one reading besides its conversions; source: recalled [R]
WAITING_AFTER_S = 0.1  # a wait is reported as one after this long; source: 7510 driver [D]


class Aperture:
    """A time, or AUTO (0)."""

    def parse(self, text: str) -> float:
        """The aperture (s); -222, -104."""
        return 0.0 if text.upper() == "AUTO" else float(Number(*APERTURE_S, unit="S").parse(text))


class KeithleyDMM6500(TriggerBlocks):
    """Voltage on terminal '<name>.input', triggered by rising edges at '<name>.ext_trig'.

    A triggered reading is the exact mean of what the source made in its window. Without a trigger it
    converts what stands at the input when it is asked, not what a running source made meanwhile. Falling
    edges are not simulated: with EDGE FALL, the default of the box, nothing triggers.
    """

    identity = "KEITHLEY INSTRUMENTS,MODEL DMM6500,04512345,1.7.12b"
    registers = ("OPER", "QUES")
    settings = SETTINGS
    error_depth = 1000
    option_defaults: ClassVar[Mapping[str, Any]] = {"mains_pickup_v": PICKUP_V}
    state = (
        "function",
        "aperture_s",
        "blocks",
        "run",
        "latched",
        "overrun",
        "missed",
        "request",
        "ended",
        "full_bit",
    )

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        super().on_reset()
        self.function = "VOLT:DC"  # or "DIG"
        self.aperture_s = 0.0  # of the digitiser; 0 is AUTO
        self.latched = False  # an edge came that no wait has taken yet
        self.overrun = False  # one more came meanwhile
        self.missed = 0
        self.request = ["defbuffer1", "READ"]  # buffer and elements of a READ? that is not answered yet

    def operation_end_s(self) -> float:
        return self.world.now if self.run is None else self._end_s(self.run)

    # ---- what is measured ----------------------------------------------------------------------------

    @property
    def digitises(self) -> bool:
        """Whether the digitiser is the active function."""
        return self.function == "DIG"

    def _conversion(self) -> Conversion:
        values = self.values
        if self.digitises:
            step_s = 1.0 / values["rate_hz"]
            window_s = self.aperture_s or _whole_microseconds(step_s)
            return Conversion(window_s, step_s, window_s, values["digitise_count"])
        window_s = values["nplc"] / self.world.mains_hz
        step_s = (1 + values["autozero"]) * window_s + OVERHEAD_S
        if values["filter"]:
            step_s *= values["filter_count"]
        return Conversion(window_s, step_s, step_s, values["count"])

    def _converter(self) -> Converter:
        values = self.values
        if not self.digitises and values["auto_range"]:
            standing_v = self.world.sense(f"{self.name}.input")
            values["range_v"] = range_for(standing_v) if np.isfinite(standing_v) else values["range_v"]
        return Converter(
            values["digitise_range_v" if self.digitises else "range_v"],
            self._conversion().window_s,
            self.world.mains_hz,
            float(self.options["mains_pickup_v"]),
            self.world.instrument_errors(self.name),
            values["filter_count"] if values["filter"] and not self.digitises else 1,
        )

    def _convert(self, opens_s: FloatArray, trace: PlayTrace | None) -> FloatArray:
        """(n,) readings of windows that open at opens_s, ascending."""
        converter = self._converter()
        terminal = f"{self.name}.input"
        if trace is None:
            true_v = np.full(len(opens_s), self.world.sense(terminal))
        else:
            true_v = trace.window_v(terminal, opens_s, opens_s + converter.window_s)
        if self.values["digitise_impedance" if self.digitises else "impedance"] == "MOHM10":
            true_v = np.nan_to_num(true_v)  # open leads are pulled to zero
        random = self.world.stream(f"{self.name}.noise")
        readings = converter.readings(np.asarray(true_v), opens_s, random)
        if self.values["relative"] and not self.digitises:
            readings = np.where(np.abs(readings) > 1e30, readings, readings - self.values["reference_v"])
        return np.asarray(readings)

    # ---- running a programme -------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Make the readings that ended by now and that no trigger decides."""
        while self.run is not None:
            run = self.run
            stage = Stage.of(run["stages"][0])
            if stage.waits and run["passes"] < stage.passes:
                if not (self.latched and not stage.forgets and run["free_s"] <= now):
                    return
                self.latched = False
                self._passes(stage, np.array([run["free_s"]]), None)
            elif not stage.waits:
                self._free_run(run, stage, now)
                if self._readings_total(run, stage) > run["readings"]:
                    return
                run["free_s"] = run["begun_s"] + stage.passes * stage.pass_s
            if self.run is run and not self._next_stage(run, now):
                return

    def triggered(self, line: str, times_s: FloatArray, trace: PlayTrace | None) -> None:
        """Rising edges at the trigger input: the readings that they start."""
        if line != f"{self.name}.ext_trig" or self.values["edge"] == "FALL" or not len(times_s):
            return
        times_s = np.asarray(times_s, dtype=float)
        self.advance(self.world.now)
        while len(times_s):
            run = self.run
            stage = None if run is None else Stage.of(run["stages"][0])
            if run is None or stage is None or not stage.waits:
                times_s = self._end_by_trigger(run, stage, times_s)
                self.overrun |= self.latched or len(times_s) > 1
                self.latched |= len(times_s) > 0
                return
            times_s = self._start_passes(run, stage, times_s, trace)

    def _start_passes(
        self, run: dict[str, Any], stage: Stage, times_s: FloatArray, trace: PlayTrace | None
    ) -> FloatArray:
        """Play the passes that these edges start; the edges that are left for the next stage."""
        left = stage.passes - run["passes"]
        latches = not stage.forgets
        starts, missed, kept = programme.served(times_s, run["free_s"], stage.pass_s, latches)
        rest = times_s[:0]
        if len(starts) >= left:
            starts = starts[: int(left)]
            over_s = starts[-1] + stage.pass_s
            rest = times_s[times_s >= over_s]
            _, missed, kept = programme.served(
                times_s[times_s < over_s], run["free_s"], stage.pass_s, latches
            )
        if missed:
            self._note_missed(missed)
        self.latched = kept
        if len(starts):
            self._passes(stage, starts, trace)
            if self.run is run and run["passes"] >= stage.passes:
                self._next_stage(run, self.world.now)
        return rest

    def _note_missed(self, missed: int) -> None:
        if not self.missed:
            self.error(-211, "Trigger ignored; triggers came while the trigger model was busy")
        self.overrun = True
        self.missed += missed

    def _passes(self, stage: Stage, starts_s: FloatArray, trace: PlayTrace | None) -> None:
        """The readings of passes that begin at these times."""
        run = self.run
        assert run is not None
        run["passes"] += len(starts_s)
        run["free_s"] = float(starts_s[-1]) + stage.pass_s
        opens_s = (starts_s[:, None] + stage.offsets_s).ravel()
        self._store(stage, opens_s, trace)

    def _free_run(self, run: dict[str, Any], stage: Stage, now: float) -> None:
        """Readings of a stage without triggers that are complete by now."""
        size = len(stage.offsets_s)
        window_s = self._conversion().last_s
        since_s = now - run["begun_s"] + programme.TIMING_S
        whole = max(0, int(since_s / stage.pass_s))
        done = whole * size + int(
            np.searchsorted(stage.offsets_s + window_s, since_s - whole * stage.pass_s, side="right")
        )
        done = int(min(done, self._readings_total(run, stage)))
        first = run["readings"]
        if not size or done <= first:
            return
        buffer = self.buffers[stage.buffer]
        if not buffer.once:
            first = max(first, done - buffer.size)
        index = np.arange(first, done)
        run["readings"] = done
        opens_s = run["begun_s"] + (index // size) * stage.pass_s + stage.offsets_s[index % size]
        self._store(stage, opens_s, None)

    @staticmethod
    def _readings_total(run: Mapping[str, Any], stage: Stage) -> float:
        return len(stage.offsets_s) * stage.passes if len(stage.offsets_s) else 0

    def _store(self, stage: Stage, opens_s: FloatArray, trace: PlayTrace | None) -> None:
        if not len(opens_s):
            return
        readings = self._convert(opens_s, trace)
        if not self.store(stage.buffer, readings, opens_s + self._conversion().last_s):
            self.stop("ABORTED")

    def _end_by_trigger(
        self, run: dict[str, Any] | None, stage: Stage | None, times_s: FloatArray
    ) -> FloatArray:
        """LoopUntilEvent: the first edge after its start says how much more is read; the edges left over."""
        if run is None or stage is None or stage.until < 0 or stage.passes != ENDLESS:
            return times_s
        heard = times_s[times_s >= run["begun_s"]]
        if not len(heard):
            return times_s
        done = int((float(heard[0]) - run["begun_s"]) / stage.pass_s)
        run["stages"][0]["passes"] = float(done + stage.until)
        self.advance(self.world.now)
        return np.asarray(heard[1:])

    def _begin(self, stages: tuple[Stage, ...], single: bool = False) -> None:
        for stage in stages:
            if stage.buffer:
                self.buffers[stage.buffer].count(0.0)  # -224 if it was deleted
        self.missed, self.overrun = 0, False
        self.run = {"stages": [stage.plain() for stage in stages], "single": single}
        self._enter(self.run, self.world.now)

    def _enter(self, run: dict[str, Any], at_s: float) -> None:
        stage = Stage.of(run["stages"][0])
        run.update(begun_s=at_s, free_s=at_s, passes=0, readings=0)
        for name in stage.clears:
            self.empty(name)
        if stage.waits and stage.forgets:
            self.latched = False

    def _next_stage(self, run: dict[str, Any], now: float) -> bool:
        """Go on behind a stage that is over; False while its last pass still lasts."""
        if run["free_s"] > now:
            return False
        run["stages"].pop(0)
        if run["stages"]:
            self._enter(run, run["free_s"])
        else:
            self.stop("IDLE")
        return True

    def stop(self, how: str) -> None:
        self.run, self.ended = None, how
        if self._pending is not None and self._pending.ready_s == ENDLESS:
            self._pending.ready_s = self.world.now

    @staticmethod
    def _end_s(run: Mapping[str, Any]) -> float:
        """When a running model ends; inf if a trigger decides it."""
        end_s, first = run["begun_s"], True
        for plain in run["stages"]:
            stage = Stage.of(plain)
            over = first and run["passes"] >= stage.passes
            if (stage.waits and not over) or stage.passes == ENDLESS:
                return ENDLESS
            end_s = run["free_s"] if over else end_s + stage.passes * stage.pass_s
            first = False
        return float(end_s)

    # ---- settings ------------------------------------------------------------------------------------

    def set_value(self, setting: Setting, value: Any) -> None:
        """What readings are made with stays as it is while the trigger model runs (-221)."""
        if setting.pattern.startswith("[SENSe"):
            self.check_idle()
        super().set_value(setting, value)

    def _fix_range(self) -> None:
        self.values["range_v"] = range_for(self.values["range_v"])
        self.values["auto_range"] = False

    def _fix_digitise(self) -> None:
        self.values["digitise_range_v"] = range_for(self.values["digitise_range_v"])

    def _check_nplc(self) -> None:
        if self.world.mains_hz < 55 and self.values["nplc"] > NPLC_MAX_50_HZ:
            raise ScpiError(-222)

    def _check_aperture(self) -> None:
        if self.aperture_s * self.values["rate_hz"] > 1 + 1e-9:
            raise ScpiError(-221, "Settings conflict; the aperture is longer than the sample interval")

    def _check_active(self) -> None:
        self.buffers[self.values["active_buffer"]].count(0.0)

    def _repeat(self) -> None:
        if self.values["filter_kind"] != "REP":
            raise ScpiError(-241, "Hardware missing; only the repeating filter is simulated")

    @command("[SENSe<1>:]FUNCtion[:ON]", Text())
    def set_function(self, function: str) -> None:
        self.check_idle()
        if function.upper() not in ("VOLT", "VOLT:DC", "VOLTAGE", "VOLTAGE:DC"):
            raise ScpiError(-241, "Hardware missing; only DC voltage is simulated")
        self.function = "VOLT:DC"

    @query("[SENSe<1>:]FUNCtion[:ON]")
    def get_function(self) -> str:
        return quote("NONE" if self.digitises else self.function)

    @command("[SENSe<1>:]DIGitize:FUNCtion[:ON]", Text())
    def set_digitise(self, function: str) -> None:
        self.check_idle()
        if function.upper() not in ("VOLT", "VOLTAGE"):
            raise ScpiError(-241, "Hardware missing; only the voltage is digitised")
        self.function = "DIG"

    @query("[SENSe<1>:]DIGitize:FUNCtion[:ON]")
    def get_digitise(self) -> str:
        return quote("VOLT" if self.digitises else "NONE")

    @command(f"{DIGITISE}:APERture", Aperture())
    def set_aperture(self, aperture_s: float) -> None:
        self.check_idle()
        before, self.aperture_s = self.aperture_s, round(aperture_s * 1e6) / 1e6
        try:
            self._check_aperture()
        except ScpiError:
            self.aperture_s = before
            raise

    @query(f"{DIGITISE}:APERture")
    def get_aperture(self) -> float:
        return self.aperture_s or _whole_microseconds(1.0 / self.values["rate_hz"])

    @command(f"{VOLT}:APERture", Number(8.333e-6, 0.25, unit="S"))
    def set_integration(self, aperture_s: float) -> None:
        self.check_idle()
        nplc = aperture_s * self.world.mains_hz
        if not 0.0005 <= nplc <= (NPLC_MAX_50_HZ if self.world.mains_hz < 55 else 15):
            raise ScpiError(-222)
        self.values["nplc"] = nplc

    @query(f"{VOLT}:APERture")
    def get_integration(self) -> float:
        return float(self.values["nplc"] / self.world.mains_hz)

    @command(f"{VOLT}:RELative:ACQuire")
    def acquire_reference(self) -> None:
        """Take a reading as the reference; the box is busy for as long as it takes."""
        self.values["relative"] = False
        conversion = self._conversion()
        self.busy_for(conversion.step_s)
        self.values["reference_v"] = float(self._convert(np.array([self.world.now]), None)[0])

    @command("[SENSe<1>:]AZERo:ONCE")
    def zero_once(self) -> None:
        self.values["autozero"] = False
        self.busy_for(2.0 / self.world.mains_hz)

    @query("SYSTem:LFRequency")
    def line_frequency(self) -> int:
        return round(self.world.mains_hz)

    @query("ROUTe:TERMinals")
    def terminals(self) -> str:
        return "FRON"

    @command("SYSTem:BEEPer[:IMMediate]", Number(20, 8000), Number(0.001, 100))
    def beep(self, frequency_hz: float, duration_s: float) -> None:
        """Nobody hears it."""

    @command("DISPlay:CLEar")
    def clear_display(self) -> None:
        self.values["text_1"] = self.values["text_2"] = ""

    @query("SYSTem:TIME", Number(1, 1, integer=True), optional=1)
    def clock(self, form: int = 0) -> str:
        when = EPOCH + timedelta(seconds=self.world.now)
        return when.strftime("%a %b %d %H:%M:%S %Y") if form else str(int(when.timestamp()))

    # ---- readings ------------------------------------------------------------------------------------

    @query("READ", BUFFER, *[ELEMENTS] * 6, optional=7)
    def read(self, buffer: str = "defbuffer1", *elements: str) -> Later:
        """Take as many readings as the count says; the answer is the last one."""
        self._take(buffer)
        assert self.run is not None
        self.request = [buffer, *(elements or ["READ"])]
        return Later(self._end_s(self.run), "show_latest")

    @query("MEASure[:VOLTage][:DC]", BUFFER, optional=1)
    def measure(self, buffer: str = "defbuffer1") -> Later:
        self.function = "VOLT:DC"
        return self.read(buffer)

    @query("MEASure:DIGitize[:VOLTage]", BUFFER, optional=1)
    def digitise(self, buffer: str = "defbuffer1") -> Later:
        self.function = "DIG"
        return self.read(buffer)

    @command("TRACe:TRIGger", BUFFER, optional=1)
    def fill(self, buffer: str = "defbuffer1") -> None:
        self._take(buffer)

    @command("TRACe:TRIGger:DIGitize", BUFFER, optional=1)
    def fill_digitised(self, buffer: str = "defbuffer1") -> None:
        if not self.digitises:
            raise ScpiError(-221, "Settings conflict; no digitize function is selected")
        self._take(buffer)

    def _take(self, buffer: str) -> None:
        self.buffers[buffer].count(0.0)
        self.check_idle()
        block = {1: Block(programme.MEASURE, buffer)}
        self._begin(programme.stages(block, self._conversion(), overhead_s=0.0), single=True)

    @query("FETCh", BUFFER, *[ELEMENTS] * 6, optional=7)
    def fetch(self, buffer: str = "defbuffer1", *elements: str) -> bytes:
        """The last reading of a buffer; -230 if it holds none."""
        self.request = [buffer, *(elements or ["READ"])]
        return self.show_latest()

    def show_latest(self) -> bytes:
        """The answer to READ? and FETCh?."""
        name, *elements = self.request
        count = self.buffers[name].count(self.world.now)
        if not count:
            raise ScpiError(-230)
        return self.listed(self.buffers[name], count, count, elements)

    # ---- trigger model -------------------------------------------------------------------------------

    @command("TRIGger:EXTernal:IN:CLEar")
    def clear_input(self) -> None:
        self.latched = self.overrun = False

    @query("TRIGger:EXTernal:IN:OVERrun")
    def get_overrun(self) -> bool:
        return self.overrun

    @query("TRIGger[:CONTinuous]:STATe")
    def trigger_state(self) -> str:
        """State, state, number of the block."""
        if self.run is None:
            return f"{self.ended};{self.ended};{len(self.blocks)}"
        stage = Stage.of(self.run["stages"][0])
        waits = stage.waits and self.world.now - self.run["free_s"] >= WAITING_AFTER_S
        state = "WAITING" if waits else "RUNNING"
        return f"{state};{state};{stage.block}"

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        if self.run is not None:
            raise ScpiError(-213)
        blocks = {int(number): Block(*block) for number, block in self.blocks.items()}
        self._begin(programme.stages(blocks, self._conversion()))

    @command("ABORt")
    def abort(self) -> None:
        if self.run is not None:
            self.stop("ABORTED")


def _whole_microseconds(seconds: float) -> float:
    """The longest aperture of whole microseconds that is not longer."""
    return max(1, int(seconds * 1e6 + 1e-6)) / 1e6
