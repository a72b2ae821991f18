"""The source of a 6221 between programmes: level, range, output relay, lists, staircases, wave data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keithley6221_programmes import (
    OVERRANGE,
    RANGES_A,
    quantised,
    range_index,
    staircase,
)
from sim_instruments.instruments.keithley6221_settings import MAX_A, SETTINGS
from sim_instruments.scpi.instrument import (
    Number,
    NumberList,
    ScpiError,
    ScpiInstrument,
    command,
    query,
)
from sim_instruments.world.contracts import FloatArray, Level

LIST_LENGTH = 65_535  # source: bench.md 2.1, recalled and not verified


class CurrentSource(ScpiInstrument):
    """Sources a direct level on '<name>.out' and keeps the lists that the programmes are made of."""

    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 6221,4559777,D04  /700x "
    option_defaults: ClassVar[Mapping[str, Any]] = {}
    settings = SETTINGS
    reset_time_s = 0.5  # source: bench.md 3.2
    memories = range(0, 5)
    armed = ""  # the mode that is armed: SWE, WAVE, DELT, PDEL
    state: ClassVar[tuple[str, ...]] = ("armed", "lists", "arbitrary", "wave_duration")

    def on_reset(self) -> None:
        self.armed = ""
        self.lists = {"CURR": np.array([0.0]), "DEL": np.array([1.0]), "COMP": np.array([10.0])}
        self.arbitrary = {str(place): np.zeros(1) for place in range(5)}
        self.wave_duration: list[Any] = ["TIME", np.inf]
        self.apply_level()

    def _fix_points(self) -> None:
        """The size of the reading buffer was set."""

    def _start_feed(self) -> None:
        """The reading buffer was switched on or off."""

    def refuse_while_running(self) -> None:
        """-221 while a programme holds the source."""

    def output_went_off(self) -> None:
        """The output was switched off by hand."""

    @property
    def terminal(self) -> str:
        return f"{self.name}.out"

    @property
    def mains_hz(self) -> float:
        return self.world.mains_hz

    def apply_level(self) -> None:
        """Source the direct level, or zero while something is armed."""
        self.hold(0.0 if self.armed else self.values["level_a"])

    def hold(self, level_a: float) -> None:
        """Source a level until further notice."""
        index = range_index(level_a if self.values["auto_range"] or self.armed else self.values["range_a"])
        value = quantised(np.array([level_a]), index)
        level = Level(
            float(self.driven(value)[0]), float(self.values["compliance_v"]), bool(self.values["output"])
        )
        self.world.set_level(self.terminal, level)

    def driven(self, level_a: FloatArray) -> FloatArray:
        """What really flows (n,) at these levels: out of calibration, if the bench says so."""
        return self.world.instrument_errors(self.name).sourced(level_a, RANGES_A[range_index(level_a)])

    # ---- settings that depend on each other ---------------------------------------------------------

    def _check_level(self) -> None:
        self.refuse_while_running()
        if self.values["auto_range"]:
            self.values["range_a"] = float(RANGES_A[range_index(self.values["level_a"])])
        elif abs(self.values["level_a"]) > OVERRANGE * self.values["range_a"] * (1 + 1e-12):
            raise ScpiError(-222)
        self.apply_level()

    def _check_range(self) -> None:
        self.refuse_while_running()
        chosen = float(RANGES_A[range_index(self.values["range_a"])])
        if abs(self.values["level_a"]) > OVERRANGE * chosen * (1 + 1e-12):
            raise ScpiError(-221)
        self.values["range_a"], self.values["auto_range"] = chosen, False
        self.apply_level()

    def _check_lines(self) -> None:
        values = self.values
        if values["trigger_out"] in (values["trigger_in"], values["marker_line"]):
            raise ScpiError(-221)
        if values["arm_out"] == values["arm_in"]:
            raise ScpiError(-221)

    def _switch_output(self) -> None:
        if not self.values["output"]:
            self.output_went_off()
        self.apply_level()

    def _follow_delta_high(self) -> None:
        self.values["delta_low_a"] = -self.values["delta_high_a"]

    @command("SOURce<1>:CLEar[:IMMediate]")
    def clear_source(self) -> None:
        """Zero, and the output off: whatever was running."""
        self.values["level_a"], self.values["output"] = 0.0, False
        self.output_went_off()
        self.apply_level()

    @command("SYSTem:PRESet")
    def preset(self) -> None:
        self.reset()

    @command("SYSTem:BEEPer[:IMMediate]", Number(65, 2e6), Number(0, 7.9))
    def beep(self, frequency_hz: float, duration_s: float) -> None:
        """A tone; nothing changes."""

    @query("SYSTem:LFRequency")
    def line_frequency(self) -> int:
        return round(self.mains_hz)

    # ---- lists and staircases -----------------------------------------------------------------------

    def _set_list(self, name: str, values: FloatArray, append: bool) -> None:
        self.refuse_while_running()
        whole = np.concatenate([self.lists[name], values]) if append else values
        if len(whole) > LIST_LENGTH:
            raise ScpiError(-223)
        self.lists[name] = whole

    def _list_text(self, name: str) -> bytes:
        return ",".join([f"{value:+.6E}" for value in self.lists[name].tolist()]).encode()

    @command("SOURce<1>:LIST:CURRent", NumberList(-MAX_A, MAX_A, 100))
    def list_current(self, values: FloatArray) -> None:
        self._set_list("CURR", values, append=False)

    @command("SOURce<1>:LIST:CURRent:APPend", NumberList(-MAX_A, MAX_A, 100))
    def append_current(self, values: FloatArray) -> None:
        self._set_list("CURR", values, append=True)

    @query("SOURce<1>:LIST:CURRent")
    def get_list_current(self) -> bytes:
        return self._list_text("CURR")

    @query("SOURce<1>:LIST:CURRent:POINts")
    def list_current_points(self) -> int:
        return len(self.lists["CURR"])

    @command("SOURce<1>:LIST:DELay", NumberList(1e-3, 999999.999, 100))
    def list_delay(self, values: FloatArray) -> None:
        self._set_list("DEL", values, append=False)

    @command("SOURce<1>:LIST:DELay:APPend", NumberList(1e-3, 999999.999, 100))
    def append_delay(self, values: FloatArray) -> None:
        self._set_list("DEL", values, append=True)

    @query("SOURce<1>:LIST:DELay")
    def get_list_delay(self) -> bytes:
        return self._list_text("DEL")

    @query("SOURce<1>:LIST:DELay:POINts")
    def list_delay_points(self) -> int:
        return len(self.lists["DEL"])

    @command("SOURce<1>:LIST:COMPliance", NumberList(0.1, 105, 100))
    def list_compliance(self, values: FloatArray) -> None:
        self._set_list("COMP", values, append=False)

    @command("SOURce<1>:LIST:COMPliance:APPend", NumberList(0.1, 105, 100))
    def append_compliance(self, values: FloatArray) -> None:
        self._set_list("COMP", values, append=True)

    @query("SOURce<1>:LIST:COMPliance")
    def get_list_compliance(self) -> bytes:
        return self._list_text("COMP")

    @query("SOURce<1>:LIST:COMPliance:POINts")
    def list_compliance_points(self) -> int:
        return len(self.lists["COMP"])

    @command("SOURce<1>:CURRent:STEP", Number(1e-13, MAX_A))
    def set_step(self, step_a: float) -> None:
        self.values["sweep_points"] = round(abs(self._span_a()) / step_a) + 1

    @query("SOURce<1>:CURRent:STEP")
    def get_step(self) -> float:
        return abs(self._span_a()) / max(1, int(self.values["sweep_points"]) - 1)

    @command("SOURce<1>:CURRent:CENTer", Number(-MAX_A, MAX_A))
    def set_center(self, center_a: float) -> None:
        self._set_ends(center_a, self._span_a())

    @query("SOURce<1>:CURRent:CENTer")
    def get_center(self) -> float:
        return float(self.values["start_a"] + self._span_a() / 2)

    @command("SOURce<1>:CURRent:SPAN", Number(2e-13, 2 * MAX_A))
    def set_span(self, span_a: float) -> None:
        self._set_ends(self.get_center(), span_a)

    @query("SOURce<1>:CURRent:SPAN")
    def get_span(self) -> float:
        return abs(self._span_a())

    def _span_a(self) -> float:
        return float(self.values["stop_a"] - self.values["start_a"])

    def _set_ends(self, center_a: float, span_a: float) -> None:
        if abs(center_a) + abs(span_a) / 2 > MAX_A * (1 + 1e-12):
            raise ScpiError(-222)
        self.values["start_a"], self.values["stop_a"] = center_a - span_a / 2, center_a + span_a / 2

    def sweep_levels(self) -> FloatArray:
        """Levels of the sweep as asked for: the list or a staircase."""
        if self.values["sweep_spacing"] == "LIST":
            return self.lists["CURR"]
        return staircase(
            self.values["sweep_spacing"],
            self.values["start_a"],
            self.values["stop_a"],
            int(self.values["sweep_points"]),
        )

    def sweep_delays(self, count: int) -> FloatArray:
        """(count,) delay of each point; where the delay list is too short SOURce:DELay counts."""
        delays = np.full(count, float(self.values["delay_s"]))
        if self.values["sweep_spacing"] == "LIST":
            listed = self.lists["DEL"][:count]
            delays[: len(listed)] = listed
        return delays

    def sweep_limit_v(self) -> float:
        """Compliance of the sweep: the tightest of a complete compliance list, else the common one."""
        if self.values["sweep_spacing"] != "LIST" or len(self.lists["COMP"]) < len(self.lists["CURR"]):
            return float(self.values["compliance_v"])
        return float(self.lists["COMP"].min())

    # ---- wave ---------------------------------------------------------------------------------------

    @command("SOURce<1>:WAVE:DURation:TIME", Number(100e-9, 999999.999, infinite=True))
    def set_wave_time(self, duration_s: float) -> None:
        self.wave_duration = ["TIME", duration_s]

    @query("SOURce<1>:WAVE:DURation:TIME")
    def get_wave_time(self) -> float:
        kind, amount = self.wave_duration
        return float(amount if kind == "TIME" else amount / self.values["wave_hz"])

    @command("SOURce<1>:WAVE:DURation:CYCLes", Number(1e-3, 99999999900, infinite=True))
    def set_wave_cycles(self, cycles: float) -> None:
        self.wave_duration = ["CYCL", cycles]

    @query("SOURce<1>:WAVE:DURation:CYCLes")
    def get_wave_cycles(self) -> float:
        kind, amount = self.wave_duration
        return float(amount if kind == "CYCL" else amount * self.values["wave_hz"])

    @command("SOURce<1>:WAVE:ARBitrary:DATA", NumberList(-1, 1, 100))
    def set_arbitrary(self, values: FloatArray) -> None:
        self.arbitrary["0"] = values

    @command("SOURce<1>:WAVE:ARBitrary:APPend", NumberList(-1, 1, 100))
    def append_arbitrary(self, values: FloatArray) -> None:
        if len(self.arbitrary["0"]) + len(values) > LIST_LENGTH:
            raise ScpiError(-223)
        self.arbitrary["0"] = np.concatenate([self.arbitrary["0"], values])

    @query("SOURce<1>:WAVE:ARBitrary:POINts")
    def arbitrary_points(self) -> int:
        return len(self.arbitrary["0"])

    @command("SOURce<1>:WAVE:ARBitrary:COPY", Number(1, 4, integer=True))
    def copy_arbitrary(self, place: int) -> None:
        self.arbitrary[str(place)] = self.arbitrary["0"].copy()
