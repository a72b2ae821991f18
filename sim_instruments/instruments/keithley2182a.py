"""Keithley 2182A nanovoltmeter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keithley2182a_conversion import Converter, moved, range_for
from sim_instruments.scpi.instrument import (
    Answer,
    Boolean,
    Choice,
    Later,
    Number,
    ScpiError,
    ScpiInstrument,
    Setting,
    command,
    query,
)
from sim_instruments.world.contracts import FloatArray

RELAY_S = 0.075  # one exchange through the serial port; source: bench.md 3.1
SERIAL_CHUNK = 254  # characters that ENTer? brings at most; source: vendor example in bench.md 6
OVERHEAD_S = 1.5e-3  # added to each conversion; source: bench.md 3.2 (6 to 9 ms at 0.1 PLC), not verified
FILTER_S = 0.125  # analogue filter; source: bench.md 2.2
OVERFLOW, READING, BUFFER, HALF_FULL, FULL = 1, 32, 128, 256, 512  # MEASurement bits
MEASURING, IDLE = 16, 1024  # OPERation bits
_VOLT = "[SENSe<1>:]VOLTage[:DC]"


class Keithley2182A(ScpiInstrument):
    """Voltage on terminal '<name>.ch1' (or .ch2), converted in the world's time.

    A reading takes (1 + autozero + front autozero) integrations; autorange adds one for each range it
    steps through. Readings of a running acquisition come into being in `advance`.
    """

    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 2182A,4067825,C04  /A02  "
    option_defaults: ClassVar[Mapping[str, Any]] = {}
    registers = ("OPER", "MEAS", "QUES")
    powered = True  # the 6221 asks
    state = (
        "channel",
        "readings",
        "buffer",
        "acquisition",
        "continuous",
        "waiting",
        "moving",
        "overload",
        "serial_parts",
        "serial_ready_s",
    )
    settings = (
        Setting("range1_v", f"{_VOLT}[:CHANnel1]:RANGe[:UPPer]", Number(0, 120), 100.0, "_fix_range"),
        Setting("auto1", f"{_VOLT}[:CHANnel1]:RANGe:AUTO", Boolean(), True, "_restart"),
        Setting("range2_v", f"{_VOLT}:CHANnel2:RANGe[:UPPer]", Number(0, 12), 10.0, "_fix_range_2"),
        Setting("auto2", f"{_VOLT}:CHANnel2:RANGe:AUTO", Boolean(), True, "_restart"),
        Setting("nplc", f"{_VOLT}:NPLCycles", Number(0.01, 60, 5.0), 5.0, "_check_nplc"),
        Setting("digits", f"{_VOLT}:DIGits", Number(4, 8, 8), 8.0),
        Setting("low_pass", f"{_VOLT}[:CHANnel1]:LPASs[:STATe]", Boolean(), False, "_restart"),
        Setting("filter", f"{_VOLT}[:CHANnel1]:DFILter[:STATe]", Boolean(), True, "_restart"),
        Setting(
            "filter_count",
            f"{_VOLT}[:CHANnel1]:DFILter:COUNt",
            Number(1, 100, 10, integer=True),
            10,
            "_restart",
        ),
        Setting(
            "filter_kind",
            f"{_VOLT}[:CHANnel1]:DFILter:TCONtrol",
            Choice("MOVing", "REPeat"),
            "MOV",
            "_restart",
        ),
        Setting("filter_window", f"{_VOLT}[:CHANnel1]:DFILter:WINDow", Number(0, 10, 0.01), 0.01, "_restart"),
        Setting("reference_v", f"{_VOLT}[:CHANnel1]:REFerence", Number(-120, 120, 0), 0.0),
        Setting("relative", f"{_VOLT}[:CHANnel1]:REFerence:STATe", Boolean(), False),
        Setting("autozero", "SYSTem:AZERo[:STATe]", Boolean(), True, "_restart"),
        Setting("front_autozero", "SYSTem:FAZero[:STATe]", Boolean(), True, "_restart"),
        Setting("line_sync", "SYSTem:LSYNc[:STATe]", Boolean(), False, "_restart"),
        Setting("display", "DISPlay:ENABle", Boolean(), True),
        Setting(
            "trigger_source",
            "TRIGger:SOURce",
            Choice("IMMediate", "TIMer", "MANual", "BUS", "EXTernal"),
            "IMM",
            "_restart",
        ),
        Setting("trigger_delay_s", "TRIGger:DELay", Number(0, 999999.999, 0), 0.0, "_restart"),
        Setting("trigger_timer_s", "TRIGger:TIMer", Number(0, 999999.999, 0.1), 0.1, "_restart"),
        Setting(
            "trigger_count",
            "TRIGger:COUNt",
            Number(1, 9999, 1, integer=True, infinite=True),
            1,
            "_restart",
        ),
        Setting("sample_count", "SAMPle:COUNt", Number(1, 1024, 1, integer=True), 1, "_restart"),
        Setting("points", "TRACe:POINts", Number(2, 1024, 100, integer=True), 100, "_clear_buffer"),
        Setting("feed", "TRACe:FEED", Choice("SENSe", "SENSe1", "CALCulate", "CALCulate1", "NONE"), "SENS"),
        Setting("feeding", "TRACe:FEED:CONTrol", Choice("NEXT", "NEVer"), "NEV", "_start_feed"),
        Setting("format", "FORMat[:DATA]", Choice("ASCii", "SREal", "DREal"), "ASC"),
        Setting("order", "FORMat:BORDer", Choice("NORMal", "SWAPped"), "NORM"),
        Setting(
            "statistic",
            "CALCulate2:FORMat",
            Choice("NONE", "MEAN", "SDEViation", "MAXimum", "MINimum"),
            "NONE",
        ),
        Setting("statistics", "CALCulate2:STATe", Boolean(), False),
    )

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        self.channel = 1
        self.readings = np.empty(0)  # of the last acquisition
        self.buffer = np.empty(0)
        self.acquisition: dict[str, Any] | None = None
        self.continuous = False
        self.waiting = False  # a READ? waits for a trigger
        self.moving = np.empty(0)  # last conversions, for the moving filter
        self.overload = [0.0, -1e9]  # voltage and time of the last overloaded conversion
        self.operation.set(IDLE)
        self.operation.set(MEASURING, False)

    def on_power(self) -> None:
        self.serial_parts: list[bytes | str] = []
        self.serial_ready_s = -np.inf
        self._set_continuous(True)

    @property
    def mains_hz(self) -> float:
        return self.world.mains_hz

    @property
    def range_v(self) -> float:
        return float(self.values[f"range{self.channel}_v"])

    @property
    def auto_range(self) -> bool:
        return bool(self.values[f"auto{self.channel}"])

    @property
    def integration_s(self) -> float:
        return float(self.values["nplc"]) / self.mains_hz

    def reading_s(self) -> float:
        """Time of one reading with the present settings."""
        conversions = 1 + self.values["autozero"] + self.values["front_autozero"]
        time_s = conversions * self.integration_s + OVERHEAD_S
        if self.values["low_pass"]:
            time_s += FILTER_S
        if self.values["filter"] and self.values["filter_kind"] == "REP":
            time_s *= self.values["filter_count"]
        return float(time_s)

    def triggered_s(self) -> float:
        """From a trigger to the end of its reading."""
        return self.reading_s() + float(self.values["trigger_delay_s"])

    @property
    def listening(self) -> bool:
        """Whether a trigger from outside would be followed by a reading."""
        return self.waiting and self.values["trigger_source"] == "EXT"

    def operation_end_s(self) -> float:
        if self.acquisition is None or self.continuous:
            return self.world.now
        return self._end_s(self.acquisition)

    def trigger(self) -> None:
        if self.values["trigger_source"] != "BUS" or not self.waiting:
            self.error(-211)
            return
        self._begin(self.values["sample_count"])
        if self._pending is not None and self.acquisition is not None:
            self._pending.ready_s = self._end_s(self.acquisition)

    def format_number(self, value: float) -> str:
        return f"{9.9e37 if np.isinf(value) else value:+.8E}"

    # ---- acquisition -------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Make the readings that ended by `now`."""
        run = self.acquisition
        if run is None or now < run["start_s"] + run["interval_s"]:
            return
        done = min(run["total"], int((now - run["start_s"]) / run["interval_s"] + 1e-9))
        if done <= run["done"]:
            return
        # Of a continuous run only what the buffer can take, or the last reading, is of use to anyone.
        wanted = done - run["done"]
        if np.isinf(run["total"]):
            wanted = min(wanted, max(1, self.values["points"] - len(self.buffer) if self._fed else 1))
        ends_s = run["start_s"] + run["interval_s"] * np.arange(done - wanted + 1, done + 1)
        true_v = np.full(wanted, self.world.sense(f"{self.name}.ch{self.channel}"))
        run["done"] = done
        self._record(self.convert(true_v, ends_s), keep=not np.isinf(run["total"]))
        if done >= run["total"]:
            self._finish()

    def convert(self, true_v: FloatArray, ends_s: FloatArray) -> FloatArray:
        """(n,) readings of (n,) true voltages whose integrations end at (n,) times."""
        repeating = self.values["filter"] and self.values["filter_kind"] == "REP"
        converter = Converter(
            self.range_v,
            self.auto_range,
            self.channel,
            self.integration_s,
            self.mains_hz,
            bool(self.values["line_sync"]),
            self.world.stream(f"{self.name}.noise"),
            int(self.values["filter_count"]) if repeating else 1,
            self.world.instrument_errors(self.name),
        )
        raw, self.overload = converter.readings(true_v, ends_s, (self.overload[0], self.overload[1]))
        if self.auto_range and len(true_v) and np.isfinite(true_v[-1]):
            self.values[f"range{self.channel}_v"] = range_for(true_v[-1], self.channel)
        if self.values["filter"] and not repeating:
            window_v = self.values["filter_window"] / 100 * self.range_v or np.inf
            raw, self.moving = moved(self.moving, raw, int(self.values["filter_count"]), window_v)
        offset = self.values["reference_v"] if self.values["relative"] else 0.0
        return np.where(np.abs(raw) > 1e30, raw, raw - offset)

    def external(self, true_v: FloatArray, ends_s: FloatArray) -> None:
        """Readings taken on triggers from the trigger link."""
        if self.listening:
            left = self.values["trigger_count"] * self.values["sample_count"] - len(self.readings)
            taken = len(true_v) if np.isinf(left) else min(len(true_v), int(left))
            self._record(self.convert(true_v[:taken], ends_s[:taken]), keep=True)
            if taken == left:
                self._finish()

    def pulsed(self, true_v: FloatArray, integration_s: float) -> FloatArray:
        """(n,) conversions inside pulses under the command of a 6221: fixed range, line-synchronous."""
        converter = Converter(
            self.range_v,
            False,
            1,
            integration_s,
            self.mains_hz,
            True,
            self.world.stream(f"{self.name}.noise"),
            errors=self.world.instrument_errors(self.name),
        )
        return converter.pulsed(true_v)

    def _begin(self, total: float) -> None:
        """Start to convert; autorange costs one reading for each range it has to step through."""
        self.waiting = False
        reading_s = self.reading_s()
        searching_s = 0.0
        if self.auto_range and not np.isinf(total):
            true_v = self.world.sense(f"{self.name}.ch{self.channel}")
            wanted = range_for(true_v, self.channel) if np.isfinite(true_v) else self.range_v
            searching_s = abs(round(np.log10(wanted / self.range_v))) * reading_s
        interval_s = reading_s + self.values["trigger_delay_s"]
        if self.values["trigger_source"] == "TIM":
            interval_s = max(interval_s, self.values["trigger_timer_s"])
        self.acquisition = {
            "start_s": self.world.now + searching_s,
            "interval_s": interval_s,
            "total": total,
            "done": 0,
        }
        if not np.isinf(total):
            self.readings = np.empty(0)
        self.operation.set(IDLE, False)
        self.operation.set(MEASURING)

    def _record(self, readings: FloatArray, keep: bool) -> None:
        self.readings = np.concatenate([self.readings, readings]) if keep else readings[-1:]
        self.measurement.latch(READING)
        if np.any(np.abs(readings) > 1e30):
            self.measurement.latch(OVERFLOW)
        if not self._fed:
            return
        self.buffer = np.concatenate([self.buffer, readings])[: self.values["points"]]
        self.measurement.set(BUFFER, len(self.buffer) >= 2)
        self.measurement.set(HALF_FULL, len(self.buffer) >= self.values["points"] / 2)
        if len(self.buffer) == self.values["points"]:
            self.measurement.set(FULL)
            self.values["feeding"] = "NEV"

    @property
    def _fed(self) -> bool:
        return bool(self.values["feeding"] == "NEXT" and self.values["feed"] != "NONE")

    def _finish(self) -> None:
        self.acquisition = None
        self.waiting = False
        self.operation.set(MEASURING, False)
        self.operation.set(IDLE)
        if self.continuous:
            self._set_continuous(True)

    @staticmethod
    def _end_s(run: Mapping[str, Any]) -> float:
        return float(run["start_s"] + run["interval_s"] * run["total"])

    # ---- settings ----------------------------------------------------------------------------------

    def _fix_range(self) -> None:
        self.values["range1_v"] = range_for(self.values["range1_v"], 1)
        self.values["auto1"] = False
        self._restart()

    def _fix_range_2(self) -> None:
        self.values["range2_v"] = range_for(self.values["range2_v"], 2)
        self.values["auto2"] = False
        self._restart()

    def _check_nplc(self) -> None:
        if self.values["nplc"] > self.mains_hz:
            raise ScpiError(-222)
        self._restart()

    def _restart(self) -> None:
        """A new setting begins a running conversion anew."""
        self.moving = np.empty(0)
        if self.continuous:
            self._set_continuous(True)
        elif self.acquisition is not None:
            self._finish()

    def _set_continuous(self, on: bool) -> None:
        self.continuous = on
        self.acquisition = None
        if on and self.values["trigger_source"] in ("IMM", "TIM"):
            self._begin(np.inf)

    def _clear_buffer(self) -> None:
        self.buffer = np.empty(0)
        self.measurement.set(BUFFER | HALF_FULL | FULL, False)

    def _start_feed(self) -> None:
        if self.values["feeding"] == "NEXT":
            self._clear_buffer()

    # ---- commands: sense ---------------------------------------------------------------------------

    @command("[SENSe<1>:]FUNCtion", Choice("VOLTage", "VOLTage:DC", "TEMPerature", quoted=True))
    def set_function(self, function: str) -> None:
        if function == "TEMP":
            raise ScpiError(-241, "Hardware missing; no thermocouple is connected")

    @query("[SENSe<1>:]FUNCtion")
    def get_function(self) -> bytes:
        return b'"VOLT:DC"'

    @command("[SENSe<1>:]CHANnel", Number(0, 2, integer=True))
    def set_channel(self, channel: int) -> None:
        if channel == 0:
            raise ScpiError(-241, "Hardware missing; the internal sensor is not simulated")
        self.channel = channel
        self._restart()

    @query("[SENSe<1>:]CHANnel")
    def get_channel(self) -> int:
        return self.channel

    @command(f"{_VOLT}:APERture", Number(0.0002, 1.2))
    def set_aperture(self, aperture_s: float) -> None:
        nplc = aperture_s * self.mains_hz
        if not 0.01 <= nplc <= self.mains_hz:
            raise ScpiError(-222)
        self.values["nplc"] = nplc
        self._restart()

    @query(f"{_VOLT}:APERture")
    def get_aperture(self) -> float:
        return self.integration_s

    @command(f"{_VOLT}[:CHANnel1]:REFerence:ACQuire")
    def acquire_reference(self) -> None:
        if len(self.readings) == 0:
            raise ScpiError(-230)
        self.values["reference_v"] = float(self.readings[-1])

    @query("SYSTem:LFRequency")
    def line_frequency(self) -> int:
        return round(self.mains_hz)

    # ---- commands: trigger and read ----------------------------------------------------------------

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        if self.continuous or self.acquisition is not None or self.waiting:
            raise ScpiError(-213)
        self._arm()

    def _arm(self) -> None:
        self.readings = np.empty(0)
        if self.values["trigger_source"] in ("IMM", "TIM"):
            self._begin(self.values["trigger_count"] * self.values["sample_count"])
        else:
            self.waiting = True
            self.operation.set(IDLE, False)

    @command("INITiate:CONTinuous", Boolean())
    def set_continuous(self, on: bool) -> None:
        if not on and self.acquisition is not None:
            self._finish_idle()
        self._set_continuous(on)

    def _finish_idle(self) -> None:
        self.continuous = False
        self._finish()

    @query("INITiate:CONTinuous")
    def is_continuous(self) -> bool:
        return self.continuous

    @command("ABORt")
    def abort(self) -> None:
        self._finish()

    @query("READ")
    @query("MEASure[:VOLTage][:DC]")
    def read(self) -> Later:
        """ABORt, INITiate, FETCh?"""
        if self.continuous and self.values["sample_count"] * self.values["trigger_count"] > 1:
            raise ScpiError(-213)
        self.acquisition, self.waiting = None, False
        self._arm()
        return self.fetch()

    @query("FETCh")
    @query("[SENSe<1>:]DATA[:LATest]")
    def fetch(self) -> Later:
        if self.acquisition is not None and (not self.continuous or not np.isinf(self.acquisition["total"])):
            return Later(self._end_s(self.acquisition), "show_readings")
        if self.waiting:
            return Later(np.inf, "show_readings")
        if self.acquisition is not None and len(self.readings) == 0:
            return Later(self.acquisition["start_s"] + self.acquisition["interval_s"], "show_readings")
        if len(self.readings) == 0:
            raise ScpiError(-230)
        return Later(self.world.now, "show_readings")

    @query("[SENSe<1>:]DATA:FRESh")
    def fetch_fresh(self) -> Later:
        """A reading that was never returned before."""
        run = self.acquisition
        if run is None:
            return self.fetch()
        return Later(run["start_s"] + run["interval_s"] * (run["done"] + 1), "show_readings")

    def show_readings(self) -> bytes:
        return self.number_list(self.readings)

    def number_list(self, values: FloatArray) -> bytes:
        """Numbers in the chosen format: text, or an indefinite block of singles or doubles."""
        if self.values["format"] == "ASC":
            return ",".join([f"{value:+.8E}" for value in values.tolist()]).encode()
        order = ">" if self.values["order"] == "NORM" else "<"
        kind = "f4" if self.values["format"] == "SRE" else "f8"
        return b"#0" + values.astype(order + kind).tobytes()

    # ---- commands: buffer and statistics -----------------------------------------------------------

    @command("TRACe:CLEar")
    def clear_buffer(self) -> None:
        self._clear_buffer()

    @query("TRACe:DATA")
    def get_buffer(self) -> bytes:
        if len(self.buffer) == 0:
            raise ScpiError(-230)
        return self.number_list(self.buffer)

    @query("TRACe:FREE")
    def get_free(self) -> str:
        return f"{16 * (self.values['points'] - len(self.buffer))},{16 * len(self.buffer)}"

    @query("CALCulate2:IMMediate")
    @query("CALCulate2:DATA")
    def get_statistic(self) -> float:
        if not self.values["statistics"] or self.values["statistic"] == "NONE":
            raise ScpiError(-221)
        if len(self.buffer) < 2:
            raise ScpiError(-230)
        functions: dict[str, Callable[[FloatArray], Any]] = {
            "MEAN": np.mean,
            "SDEV": lambda values: np.std(values, ddof=1),
            "MAX": np.max,
            "MIN": np.min,
        }
        return float(functions[self.values["statistic"]](self.buffer))

    # ---- serial port -------------------------------------------------------------------------------

    def serial_send(self, text: str) -> None:
        """A message over RS-232 (the 6221 relays it); its answer comes through `serial_enter`."""
        answer = self.execute(text.encode("latin-1")) or Answer()
        self.serial_parts = answer.parts
        self.serial_ready_s = max(answer.ready_s, self.world.now + RELAY_S)

    def serial_enter(self) -> str:
        """The next characters of the answer; '' while it has not come."""
        if not self.serial_parts or self.world.now < self.serial_ready_s:
            return ""
        text = self.answer_bytes(Answer(self.serial_parts)).decode("latin-1")
        rest = text[SERIAL_CHUNK:]
        self.serial_parts = [rest.encode("latin-1")] if rest else []
        return text[:SERIAL_CHUNK]
