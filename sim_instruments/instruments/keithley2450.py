"""Keithley 2450 SourceMeter in its SCPI mode: source, meter, status and errors; the rest is in two mixins."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sim_instruments.instruments.keithley2450_buffer import (
    COLUMNS,
    FUNCTIONS,
    ReadingBuffer,
    calendar,
)
from sim_instruments.instruments.keithley2450_readings import Readings
from sim_instruments.instruments.keithley2450_settings import SETTINGS
from sim_instruments.instruments.keithley2450_sweeps import Sweeps
from sim_instruments.instruments.sourcemeter import Points
from sim_instruments.instruments.sourcemeter_tables import KEITHLEY_2450, OVERFLOW
from sim_instruments.scpi.errors import ScpiError, event_bit
from sim_instruments.scpi.instrument import Boolean, Choice, Number, command, query
from sim_instruments.world.contracts import FloatArray

KEYS = {"VOLT": "voltage", "CURR": "current", "RES": "resistance"}
_FUNCTION = Choice("VOLTage", "VOLTage:DC", "CURRent", "CURRent:DC", "RESistance", quoted=True)
# Source status of a reading; source: 2450 and 2461 reference manuals, bufferVar.sourcestatuses [M]
READBACK, LIMITED, SENSED, OUTPUT_ON = 8, 32, 64, 128
QUESTIONABLE, FRONT = 1, 8  # status of a reading; source: bufferVar.statuses [M]
AUTO_DELAY_S = 1e-3  # on ranges of 10 uA and more, longer below; 2450 reference manual [R]


class Keithley2450(Readings, Sweeps):
    """Forces and measures on '<name>.force', with remote sense it measures on '<name>.sense'.

    A change of remote sense or of the terminals switches the output off. Lists, sweeps and trigger models
    run by themselves into a reading buffer.
    """

    identity = "KEITHLEY INSTRUMENTS,MODEL 2450,04096331,1.7.12b"
    settings = SETTINGS
    figures = KEITHLEY_2450
    reset_time_s = 0.1  # chosen
    error_depth = 1000  # an event log instead of a queue of ten [R]
    registers = ("OPER", "QUES")
    memories = range(0, 5)
    state: ClassVar[tuple[str, ...]] = (
        *Sweeps.state, *Readings.state, "sense", "remote", "language", "language_next",
    )  # fmt: skip

    # ---- state -------------------------------------------------------------------------------------

    def on_reset(self) -> None:
        self.programme, self.run_state = None, "EMPTY"
        self.sense = "CURR"
        self.remote = {"VOLT": False, "CURR": False, "RES": False}
        self.reset_sweeps()
        self.reset_readings()
        super().on_reset()

    def on_power(self) -> None:
        super().on_power()
        self.language = self.language_next = getattr(self, "language_next", "SCPI")

    def functions(self) -> tuple[str, ...]:
        """What a reading converts: the measured function (ohms are volts here), and the source read back."""
        measured = "VOLT" if self.sense == "RES" else self.sense
        source = "VOLT" if self.sources_voltage else "CURR"
        return (measured, source) if self._reads_back() and source != measured else (measured,)

    def _reads_back(self) -> bool:
        return bool(self.values["voltage_readback" if self.sources_voltage else "current_readback"])

    def aperture_s(self, function: str) -> float:
        return float(self.values[f"{KEYS[self.sense]}_nplc"]) / self.world.mains_hz

    def auto_zeroes(self, function: str) -> bool:
        return bool(self.values[f"{KEYS[self.sense]}_zero"])

    def averages(self, function: str) -> int:
        key = KEYS[self.sense]
        return int(self.values[f"{key}_average_count"]) if self.values[f"{key}_average"] else 1

    def source_delay_s(self) -> float:
        key = "voltage" if self.sources_voltage else "current"
        return AUTO_DELAY_S if self.values[f"{key}_delay_auto"] else float(self.values[f"{key}_delay_s"])

    @property
    def remote_sense(self) -> bool:
        return bool(self.remote[self.sense])

    @property
    def off_state(self) -> str:
        return str(self.values["voltage_off_state" if self.sources_voltage else "current_off_state"])

    @property
    def limit(self) -> float:
        limit = super().limit
        if self.sources_voltage or self.values["protection"] == "NONE":
            return limit
        return min(limit, float(self.values["protection"].removeprefix("PROT")))

    # ---- settings that depend on each other ---------------------------------------------------------

    def take_function(self) -> None:
        self.switch(False)

    def take_terminals(self) -> None:
        """The output goes off. Both pairs of terminals are the bench's."""
        self.switch(False)

    def take_current_range(self) -> None:
        self.take_range("current")
        self.check_limits()

    def take_voltage_range(self) -> None:
        self.take_range("voltage")
        self.check_limits()

    def take_sense_voltage_range(self) -> None:
        self.take_range("sense_voltage")

    def take_sense_current_range(self) -> None:
        self.take_range("sense_current")

    def take_sense_resistance_range(self) -> None:
        self.values["sense_resistance_auto"] = False

    def take_current_delay(self) -> None:
        self.values["current_delay_auto"] = False

    def take_voltage_delay(self) -> None:
        self.values["voltage_delay_auto"] = False

    def switch_output(self) -> None:
        self.switch(bool(self.values["output"]))

    @command("SENSe<1>:VOLTage[:DC]:RSENse", Boolean())
    def set_remote_volt(self, on: bool) -> None:
        self._set_remote("VOLT", on)

    @command("SENSe<1>:CURRent[:DC]:RSENse", Boolean())
    def set_remote_curr(self, on: bool) -> None:
        self._set_remote("CURR", on)

    @command("SENSe<1>:RESistance:RSENse", Boolean())
    def set_remote_res(self, on: bool) -> None:
        self._set_remote("RES", on)

    def _set_remote(self, function: str, on: bool) -> None:
        """The output goes off where this changes something."""
        if self.remote[function] != on:
            self.switch(False)
        self.remote[function] = on

    @query("SENSe<1>:VOLTage[:DC]:RSENse")
    def get_remote_volt(self) -> bool:
        return self.remote["VOLT"]

    @query("SENSe<1>:CURRent[:DC]:RSENse")
    def get_remote_curr(self) -> bool:
        return self.remote["CURR"]

    @query("SENSe<1>:RESistance:RSENse")
    def get_remote_res(self) -> bool:
        return self.remote["RES"]

    @command("SENSe<1>:FUNCtion[:ON]", _FUNCTION)
    def set_sense(self, name: str) -> None:
        self.sense = name.partition(":")[0]

    @query("SENSe<1>:FUNCtion[:ON]")
    def get_sense(self) -> str:
        return {"VOLT": '"VOLT:DC"', "CURR": '"CURR:DC"', "RES": '"RES"'}[self.sense]

    @command("SENSe<1>:AZERo:ONCE")
    def zero_once(self) -> None:
        """Zero and reference are measured now; the source does not change."""
        self.busy_for(2 * self.aperture_s(self.sense))

    @query("SOURce<1>:CURRent:VLIMit[:LEVel]:TRIPped")
    def voltage_limited(self) -> bool:
        return not self.sources_voltage and self.limited_now()

    @query("SOURce<1>:VOLTage:ILIMit[:LEVel]:TRIPped")
    def current_limited(self) -> bool:
        return self.sources_voltage and self.limited_now()

    @query("SOURce<1>:VOLTage:PROTection[:LEVel]:TRIPped")
    def protection_tripped(self) -> bool:
        top = self.values["protection"]
        return bool(top != "NONE" and self.limited_now() and self.limit == float(top.removeprefix("PROT")))

    @query("OUTPut<1>:INTerlock:TRIPped")
    def interlock_tripped(self) -> bool:
        """Nothing is wired to the interlock."""
        return False

    # ---- readings ------------------------------------------------------------------------------------

    def rows(self, points: Points) -> FloatArray:
        """(n, 7) readings as buffers hold them."""
        count = len(points.level)
        rows = np.empty((count, len(COLUMNS)))
        rows[:, 0] = self.read(self.sense, points)
        source = "VOLT" if self.sources_voltage else "CURR"
        rows[:, 1] = self.read(source, points) if self._reads_back() else points.level
        rows[:, 2] = points.over_s
        front = FRONT if self.values["terminals"] == "FRON" else 0
        rows[:, 3] = front + QUESTIONABLE * (rows[:, 0] == OVERFLOW)
        always = (
            OUTPUT_ON * self.values["output"] + SENSED * self.remote_sense + READBACK * self._reads_back()
        )
        rows[:, 4] = always + LIMITED * points.limited
        rows[:, 5], rows[:, 6] = FUNCTIONS.index(self.sense), FUNCTIONS.index(source)
        return rows

    def take(self, points: Points) -> None:
        self.buffer(self.target).add(self.rows(points))

    def snapshot(self) -> dict[str, Any]:
        return {**super().snapshot(), "buffers": {name: each.state() for name, each in self.buffers.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.buffers = {name: ReadingBuffer.of(each) for name, each in state["buffers"].items()}

    # ---- language, errors, system ------------------------------------------------------------------------

    def execute(self, data: bytes) -> Any:
        """In another language than SCPI the box understands nothing but *LANG and *IDN."""
        if self.language != "SCPI" and not data.strip().upper().startswith((b"*LANG", b"*IDN?")):
            self.error(-285, "TSP Syntax error")
            return None
        return super().execute(data)

    @command("*LANG", Choice("SCPI", "TSP", "SCPI2400"))
    def set_language(self, name: str) -> None:
        """Spoken from the next power-on."""
        self.language_next = name

    @query("*LANG")
    def get_language(self) -> str:
        return self.language

    def error(self, code: int, text: str = "") -> None:
        entry = ScpiError(code, text)
        stamp = calendar(self.world.now).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
        self.errors.push(code, f"{entry.text};1;{stamp}")
        self._event |= event_bit(code)
        self._update_request()

    @query("SYSTem:ERRor[:NEXT]")
    def _next_error(self) -> str:
        if not len(self.errors):
            return '0,"No error;0;0 0"'
        code, text = self.errors.take()
        return f'{code},"{text}"'

    @query("SYSTem:ERRor:COUNt")
    def count_errors(self) -> int:
        return len(self.errors)

    @command("SYSTem:CLEar")
    def _clear_errors(self) -> None:
        self.errors.clear()

    @query("SYSTem:LFRequency")
    def line_frequency(self) -> int:
        return round(self.world.mains_hz)

    @command("SYSTem:BEEPer[:IMMediate]", Number(20, 2e6), Number(0.001, 100))
    def beep(self, frequency_hz: float, duration_s: float) -> None:
        """A tone; nothing changes."""
