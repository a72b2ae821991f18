"""Keithley 2400 SourceMeter: levels, staircases and lists, the arm-trigger model, two reading memories."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keithley2400_readings import IN_COMPLIANCE, Readings, numbers
from sim_instruments.instruments.keithley2400_settings import MAX_A, MAX_V, SETTINGS
from sim_instruments.instruments.keithley6221_programmes import staircase
from sim_instruments.instruments.sourcemeter import AutoZero, SourceMeter
from sim_instruments.instruments.sourcemeter_tables import (
    KEITHLEY_2400,
    LIST_CHUNK,
    LIST_LENGTH,
    Range,
    range_for,
)
from sim_instruments.scpi.instrument import (
    Choice,
    Number,
    NumberList,
    ScpiError,
    command,
    query,
)
from sim_instruments.world.contracts import FloatArray

_FUNCTION = Choice("VOLTage", "VOLTage:DC", "CURRent", "CURRent:DC", "RESistance", quoted=True)
WAIT_TRIGGER, WAIT_ARM, IDLE = 32, 64, 1024  # OPERation register [R]
AUTO_DELAY_S = 1e-3  # 1 ms on ranges of 10 uA and more, 3 ms and more below [R]
OUTPUT_OFF = (803, "Not permitted with OUTPUT off")
BLOCKED = (802, "OUTPUT blocked by interlock")


class Keithley2400(Readings):
    """Forces and measures on '<name>.force', with remote sense it measures on '<name>.sense'.

    READ? fills a memory of its own of 2500 readings; TRACe is another one, which *RST leaves alone.
    """

    identity = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C32   Oct  4 2010 14:20:11/A02  /S/K"
    settings = SETTINGS
    figures = KEITHLEY_2400
    reset_time_s = 0.5  # as a 6221; source: bench.md 3.2
    memories = range(0, 5)
    state: ClassVar[tuple[str, ...]] = (
        *SourceMeter.state, *Readings.state, "lists", "nplc", "auto_zero", "locations", "mains",
    )  # fmt: skip

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        self.lists = {"CURR": np.zeros(1), "VOLT": np.zeros(1)}
        self.nplc = 1.0
        self.auto_zero = True
        self.waiting = False
        self.reset_readings()
        self.locations: dict[str, list[Any]] = {}
        super().on_reset()
        self._show_idle()

    def on_power(self) -> None:
        super().on_power()
        self.forget_trace()
        self.mains = round(self.world.mains_hz)

    def aperture_s(self, function: str) -> float:
        return self.nplc / self.mains

    def auto_zeroes(self, function: str) -> bool:
        return self.auto_zero

    def averages(self, function: str) -> int:
        return int(self.values["average_count"]) if self.values["average"] else 1

    def source_delay_s(self) -> float:
        own = AUTO_DELAY_S if self.values["delay_auto"] else float(self.values["delay_s"])
        return own + float(self.values["trigger_delay_s"])

    def functions(self) -> tuple[str, ...]:
        """RES needs voltage and current."""
        if "RES" in self.senses:
            return ("VOLT", "CURR")
        return tuple(self.senses) or ("CURR",)

    def operation_end_s(self) -> float:
        return float(np.inf) if self.waiting else super().operation_end_s()

    def refresh_status(self) -> None:
        self.measurement.set(IN_COMPLIANCE, self.limited_now())

    def _show_idle(self) -> None:
        running = self.programme is not None
        self.operation.set(IDLE, not running and not self.waiting)
        self.operation.set(WAIT_ARM, self.waiting)

    # ---- settings that depend on each other ---------------------------------------------------------

    def take_function(self) -> None:
        self.stop()
        self.values["output"] = False  # the box goes off when the function changes [R]
        self.hold()

    def take_current_range(self) -> None:
        self.take_range("current")
        self.check_limits()

    def take_voltage_range(self) -> None:
        self.take_range("voltage")
        self.check_limits()

    def take_sense_voltage_range(self) -> None:
        self._take_sense_range("sense_voltage", self.values["limit_v"])

    def take_sense_current_range(self) -> None:
        self._take_sense_range("sense_current", self.values["limit_a"])

    def _take_sense_range(self, key: str, limit: float) -> None:
        """A measuring range above the compliance is refused (+824, "Cannot exceed compliance range")."""
        ranges = self.figures.voltage if "voltage" in key else self.figures.current
        chosen, highest = range_for(ranges, self.values[f"{key}_range"]), range_for(ranges, limit)
        if chosen is None or (highest is not None and chosen.full > highest.full):
            raise ScpiError(824, "Cannot exceed compliance range")
        self.take_range(key)

    def take_limit(self) -> None:
        self.values["limit_v"], self.values["limit_a"] = (
            abs(self.values["limit_v"]), abs(self.values["limit_a"]),
        )  # fmt: skip
        self.hold()

    def take_delay(self) -> None:
        self.values["delay_auto"] = False

    def take_concurrent(self) -> None:
        if not self.values["concurrent"]:
            self.senses = self.senses[:1]

    def check_counts(self) -> None:
        if self.values["trigger_count"] * self.values["arm_count"] > LIST_LENGTH:
            raise ScpiError(-221)

    def take_terminals(self) -> None:
        """The output goes off. Both pairs of terminals are the bench's."""
        self.switch(False)

    def take_interlock(self) -> None:
        """The enable line of the digital port is wired to nothing."""
        if self.values["interlock"]:
            self.switch(False)

    def switch_output(self) -> None:
        if self.values["output"] and self.values["interlock"]:
            raise ScpiError(*BLOCKED)
        if not self.values["output"]:
            self.waiting = False
        self.switch(bool(self.values["output"]))
        self._show_idle()

    @property
    def sources_voltage(self) -> bool:
        function = self.values["function"]
        if function == "MEM":
            return bool(next(iter(self.locations.values()), ["VOLT"])[0] == "VOLT")
        return bool(function == "VOLT")

    def source_range(self, value: float) -> Range:
        """A list or staircase stays on the range that holds all of it, unless SWEep:RANGing is FIXed."""
        key = "voltage" if self.sources_voltage else "current"
        if (
            self.programme is not None
            and self.values[f"{key}_mode"] != "FIX"
            and self.values["ranging"] != "FIX"
        ):
            return range_for(self.source_ranges(), value) or self.source_ranges()[-1]
        return super().source_range(value)

    @query("OUTPut<1>:ENABle:TRIPped")
    def interlock_tripped(self) -> bool:
        return bool(self.values["interlock"])

    @query("SENSe<1>:VOLTage[:DC]:PROTection:TRIPped")
    def voltage_limited(self) -> bool:
        return not self.sources_voltage and self.limited_now()

    @query("SENSe<1>:CURRent[:DC]:PROTection:TRIPped")
    def current_limited(self) -> bool:
        return self.sources_voltage and self.limited_now()

    @command("SOURce<1>:CLEar[:IMMediate]")
    def clear_source(self) -> None:
        """Output off."""
        self.waiting = False
        self.switch(False)

    # One integration time for all functions: bench.md 2.3, PyMeasure's Keithley2400
    @command("SENSe<1>:VOLTage[:DC]:NPLCycles", Number(0.01, 10, 1.0))
    @command("SENSe<1>:CURRent[:DC]:NPLCycles", Number(0.01, 10, 1.0))
    @command("SENSe<1>:RESistance:NPLCycles", Number(0.01, 10, 1.0))
    def set_nplc(self, nplc: float) -> None:
        self.nplc = nplc

    @query("SENSe<1>:VOLTage[:DC]:NPLCycles")
    @query("SENSe<1>:CURRent[:DC]:NPLCycles")
    @query("SENSe<1>:RESistance:NPLCycles")
    def get_nplc(self) -> float:
        return self.nplc

    @command("SYSTem:AZERo[:STATe]", AutoZero())
    def set_auto_zero(self, on: bool) -> None:
        self.auto_zero = on

    @query("SYSTem:AZERo[:STATe]")
    def get_auto_zero(self) -> bool:
        return self.auto_zero

    @command("SYSTem:LFRequency", Number(50, 60, integer=True))
    def set_mains(self, hertz: int) -> None:
        if hertz not in (50, 60):
            raise ScpiError(-224)
        self.mains = hertz
        self.values["line_auto"] = False

    @query("SYSTem:LFRequency")
    def get_mains(self) -> int:
        return self.mains

    @command("SYSTem:PRESet")
    def preset(self) -> None:
        self.reset()

    @command("SYSTem:TIME:RESet")
    def reset_time(self) -> None:
        self.clock_zero_s = self.world.now

    @command("SYSTem:BEEPer[:IMMediate]", Number(65, 2e6), Number(0, 7.9))
    def beep(self, frequency_hz: float, duration_s: float) -> None:
        """A tone; nothing changes."""

    # ---- functions -------------------------------------------------------------------------------------

    @command("SENSe<1>:FUNCtion[:ON]", *[_FUNCTION] * 3, optional=2)
    def sense_on(self, *names: str) -> None:
        wanted = [name.partition(":")[0] for name in names]
        self.senses = [*self.senses, *wanted] if self.values["concurrent"] else wanted[-1:]
        self.senses = [name for name in ("VOLT", "CURR", "RES") if name in self.senses]

    @command("SENSe<1>:FUNCtion:OFF", *[_FUNCTION] * 3, optional=2)
    def sense_off(self, *names: str) -> None:
        unwanted = [name.partition(":")[0] for name in names]
        self.senses = [name for name in self.senses if name not in unwanted]

    @command("SENSe<1>:FUNCtion[:ON]:ALL")
    def sense_all(self) -> None:
        if self.values["concurrent"]:
            self.senses = ["VOLT", "CURR", "RES"]

    @command("SENSe<1>:FUNCtion:OFF:ALL")
    def sense_none(self) -> None:
        self.senses = []

    @query("SENSe<1>:FUNCtion[:ON]")
    def get_senses(self) -> str:
        names = {"VOLT": "VOLT:DC", "CURR": "CURR:DC", "RES": "RES"}
        return ",".join(f'"{names[name]}"' for name in self.senses)

    # ---- lists and staircases ---------------------------------------------------------------------------

    def _set_list(self, name: str, values: FloatArray, append: bool) -> None:
        self._refuse_while_running()
        whole = np.concatenate([self.lists[name], values]) if append else values
        if len(whole) > LIST_LENGTH:
            raise ScpiError(-223)
        self.lists[name] = whole

    @command("SOURce<1>:LIST:CURRent", NumberList(-MAX_A, MAX_A, LIST_CHUNK))
    def list_current(self, values: FloatArray) -> None:
        self._set_list("CURR", values, append=False)

    @command("SOURce<1>:LIST:CURRent:APPend", NumberList(-MAX_A, MAX_A, LIST_CHUNK))
    def append_current(self, values: FloatArray) -> None:
        self._set_list("CURR", values, append=True)

    @command("SOURce<1>:LIST:VOLTage", NumberList(-MAX_V, MAX_V, LIST_CHUNK))
    def list_voltage(self, values: FloatArray) -> None:
        self._set_list("VOLT", values, append=False)

    @command("SOURce<1>:LIST:VOLTage:APPend", NumberList(-MAX_V, MAX_V, LIST_CHUNK))
    def append_voltage(self, values: FloatArray) -> None:
        self._set_list("VOLT", values, append=True)

    @query("SOURce<1>:LIST:CURRent")
    def get_list_current(self) -> bytes:
        return numbers(self.lists["CURR"])

    @query("SOURce<1>:LIST:VOLTage")
    def get_list_voltage(self) -> bytes:
        return numbers(self.lists["VOLT"])

    @query("SOURce<1>:LIST:CURRent:POINts")
    def list_current_points(self) -> int:
        return len(self.lists["CURR"])

    @query("SOURce<1>:LIST:VOLTage:POINts")
    def list_voltage_points(self) -> int:
        return len(self.lists["VOLT"])

    @command("SOURce<1>:CURRent:STEP", Number(-2 * MAX_A, 2 * MAX_A))
    def set_current_step(self, step: float) -> None:
        self._set_step("current", step)

    @command("SOURce<1>:VOLTage:STEP", Number(-2 * MAX_V, 2 * MAX_V))
    def set_voltage_step(self, step: float) -> None:
        self._set_step("voltage", step)

    def _set_step(self, key: str, step: float) -> None:
        span = self.values[f"{key}_stop"] - self.values[f"{key}_start"]
        points = round(abs(span / step)) + 1 if step else 1
        if not 2 <= points <= LIST_LENGTH:
            raise ScpiError(-221)
        self.values["points"] = points

    @query("SOURce<1>:CURRent:STEP")
    def get_current_step(self) -> float:
        return float(
            (self.values["current_stop"] - self.values["current_start"]) / (self.values["points"] - 1)
        )

    @query("SOURce<1>:VOLTage:STEP")
    def get_voltage_step(self) -> float:
        return float(
            (self.values["voltage_stop"] - self.values["voltage_start"]) / (self.values["points"] - 1)
        )

    @command("SOURce<1>:MEMory:SAVE", Number(1, 100, integer=True))
    def save_location(self, place: int) -> None:
        key = "voltage" if self.values["function"] == "VOLT" else "current"
        self.locations[str(place)] = [self.values["function"], self.level()]
        self.locations[str(place)][0] = "VOLT" if key == "voltage" else "CURR"

    @command("SOURce<1>:MEMory:RECall", Number(1, 100, integer=True))
    def recall_location(self, place: int) -> None:
        function, level = self._location(place)
        self.values["function"] = function
        self.values["voltage_v" if function == "VOLT" else "current_a"] = level
        self.hold()

    def _location(self, place: int) -> list[Any]:
        if str(place) not in self.locations:
            raise ScpiError(-221, "Settings conflict; empty source memory location")
        return self.locations[str(place)]

    def _levels(self) -> FloatArray:
        """Levels of one pass through the trigger layer."""
        values = self.values
        if values["function"] == "MEM":
            places = range(values["memory_start"], values["memory_start"] + values["memory_points"])
            found = [self._location(place) for place in places]
            if len({function for function, _ in found}) > 1:
                raise ScpiError(-221, "Settings conflict; source memory mixes functions")
            return np.array([level for _, level in found])
        key = "voltage" if self.sources_voltage else "current"
        if values[f"{key}_mode"] == "LIST":
            first = values["list_start"] - 1 if key == "current" else 0
            return self.lists[values["function"]][first:]
        if values[f"{key}_mode"] == "SWE":
            ends = values[f"{key}_start"], values[f"{key}_stop"]
            levels = staircase(values["spacing"], *ends, int(values["points"]))
            return levels if values["direction"] == "UP" else levels[::-1]
        return np.array([self.level()])

    # ---- trigger model -----------------------------------------------------------------------------------

    def _refuse_while_running(self) -> None:
        if self.programme is not None or self.waiting:
            raise ScpiError(-221)

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        if self.programme is not None or self.waiting:
            raise ScpiError(-213)
        if not self.values["output"] and not self.values["clear_auto"]:
            raise ScpiError(*OUTPUT_OFF)
        self._counted_levels()
        self.values["output"] = True
        self.forget_latest()
        if self.values["arm_source"] in ("IMM", "TIM"):
            self._start_programme()
        else:
            self.waiting = True
        self._show_idle()

    def _counted_levels(self) -> FloatArray:
        """One pass: as many points as TRIGger:COUNt; -221 where a list is longer. A shorter one repeats."""
        levels = self._levels()
        count = int(self.values["trigger_count"])
        if not len(levels) or (len(levels) > count and len(levels) > 1):
            raise ScpiError(-221)
        return np.resize(levels, count)

    def _start_programme(self) -> None:
        levels = self._counted_levels()
        dwell_s = np.full(len(levels), self.point_s(read=True))
        if self.values["trigger_source"] == "TLIN":
            dwell_s[:] = 1e12  # nothing on this bench sends it a trigger
        arms = float(self.values["arm_count"])
        rest_s = self.values["arm_timer_s"] - dwell_s.sum() if self.values["arm_source"] == "TIM" else 0.0
        if rest_s > 0 and arms > 1:
            levels, dwell_s = np.append(levels, levels[-1]), np.append(dwell_s, rest_s)
        reads = np.ones(len(levels), dtype=np.bool_)
        reads[int(self.values["trigger_count"]) :] = False
        self.waiting = False
        self.begin(levels, dwell_s, reads, arms, self.values["abort_on"] != "NEV")
        self._show_idle()

    def trigger(self) -> None:
        if self.waiting and self.values["arm_source"] == "BUS":
            self._start_programme()
        else:
            self.error(-211)

    @command("ABORt")
    def abort(self) -> None:
        self.waiting = False
        self.stop()
        self._show_idle()

    @command("TRIGger:CLEar")
    def clear_triggers(self) -> None:
        """No trigger is ever pending: nothing on this bench sends one."""

    def level_afterwards(self, last: float) -> float:
        return 0.0 if self.values["clear_auto"] else last

    def programme_over(self) -> None:
        if self.values["clear_auto"]:
            self.values["output"] = False
        self.operation.latch(IDLE)
        self._show_idle()
        key = "voltage" if self.sources_voltage else "current"
        if self.values["output"] and self.values["function"] != "MEM" and self.values[f"{key}_mode"] != "FIX":
            self.hold_level(float(self._levels()[-1]))  # a sweep ends on its last level [R]
        else:
            self.hold()
