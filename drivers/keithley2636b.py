"""Keithley 2636B dual SourceMeter (TSP): channel A forces a current, channel B senses a voltage at 0 A.

Command set: bench notes 2.5 (2600B reference manual); the trigger model as in the vendor's pulsed sweeps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pymeasure.instruments import Instrument, SCPIMixin
from pymeasure.instruments.keithley.keithley2600 import Channel as StockChannel
from pymeasure.instruments.keithley.keithley2600 import Keithley2600

from drivers._link import MAX_ERRORS, Link, VisaDriver, ask_through
from drivers._ranges import (
    KEITHLEY_2636B_CURRENT,
    KEITHLEY_2636B_NOISE,
    KEITHLEY_2636B_VOLTAGE,
    noise_at,
    range_for,
    refuse_above,
    smallest_range,
)
from drivers._tsp_frames import FrameSweep, FrameTimes, Setup
from hilab.errors import BenchError
from hilab.roles import Identity

OVERFLOW_V = 9e36
NPLC = (0.001, 25.0)  # [M]
COMPLIANCE_MAX_V = 200.0  # [M]
CURRENT_MAX_A = 1.5  # [M]
BIAS_NPLC = 0.1  # of the voltage that comes with a bias
PULSE_WIDTH_S = (100e-6, 10.0)  # settling makes shorter ones useless [bench notes 2.5]
CHECK_APERTURE_S = 20e-6  # 0.001 PLC: the source's look at itself within each pulse
CHECK_MARGIN_S = 20e-6  # between that look and the end of the pulse
ARM_MAX_A = 1e-4  # Hall arms are narrow: continuity needs no more
ARM_COMPLIANCE_V = 2.0
READING_OVERHEAD_S = 60e-6  # 580 readings/s at 0.1 PLC [M]
POLL_S = 5e-3
PULSE_LATE_S = 0.5
PULSE_MESSAGES = 3


class Channel(StockChannel):
    """PyMeasure's channel with currents that do not vanish in '%f' (1e-7 A would be sent as 0)."""

    source_current = Instrument.control(
        "source.leveli", "source.leveli=%.9g", """Control the source current (A).""",
    )  # fmt: skip
    source_current_range = Instrument.control(
        "source.rangei", "source.rangei=%.9g", """Control the source current range (A).""",
    )  # fmt: skip
    current_range = Instrument.control(
        "measure.rangei", "measure.rangei=%.9g", """Control the measurement current range (A).""",
    )  # fmt: skip
    compliance_current = Instrument.control(
        "source.limiti", "source.limiti=%.9g", """Control the compliance current (A).""",
    )  # fmt: skip


class Keithley2636B(VisaDriver, Keithley2600):
    """Driver `keithley2636b`: pulse, bias and arm source, and reader.

    PyMeasure's channels stay at hand as ChA and ChB; the roles speak TSP themselves, because a role needs
    several settings in one line. Programmes are started by a write and polled: nothing here blocks.
    """

    model_pattern = "2636B"
    compliance_max_v = COMPLIANCE_MAX_V
    pulse_width_s = PULSE_WIDTH_S
    off_commands = (
        "smua.abort() smub.abort()",
        "smua.source.leveli=0 smua.source.levelv=0 smua.source.output=0",
        "smub.source.leveli=0 smub.source.levelv=0 smub.source.output=0",
    )

    def __init__(self, address: Any, **kwargs: Any):
        self.line_hz = 50.0
        self._current_max_a = 0.0
        self._compliance_v = 0.0
        self._bias_on = False
        self._arm_on = False
        self._reader = (KEITHLEY_2636B_VOLTAGE[0].full, 0.02)
        self._reader_ready = False  # channel B holds the reader's settings
        self._reader_on = False
        super().__init__(address, **kwargs)
        self.sweep = FrameSweep(self)

    def _start(self, name: str) -> None:
        SCPIMixin.__init__(self, self.link, name)  # the stock constructor only warns and makes stock channels
        self.ChA = Channel(self, "a")
        self.ChB = Channel(self, "b")

    # ---- Instrument -------------------------------------------------------------------------------

    def identify(self) -> Identity:
        """Who answers; learns the mains frequency as well."""
        identity = super().identify()
        if self.model_pattern in identity.model:
            self.line_hz = float(ask_through(self.link, "print(localnode.linefreq)"))
        return identity

    def check_errors(self) -> list[str]:
        """Drain the error queue (it survives reconnects); [] when it is empty."""
        found = []
        for _ in range(min(int(self.number("print(errorqueue.count)")), MAX_ERRORS)):
            code, _tab, text = self.ask("print(errorqueue.next())").strip().partition("\t")
            found.append(f"{int(float(code))}, {text.split(chr(9))[0]}")
        return found

    def settings(self) -> dict[str, Any]:
        """Limits, reader and mains frequency."""
        return super().settings() | {
            "current_max_a": self._current_max_a,
            "compliance_v": self._compliance_v,
            "reader_range_v": self._reader[0],
            "reader_integration_s": self._reader[1],
            "line_hz": self.line_hz,
        }

    # ---- BiasSource (channel A) -------------------------------------------------------------------

    def configure_bias(self, current_max_a: float, compliance_v: float) -> None:
        """Direct current up to current_max_a (A) on one fixed range, output off, into compliance_v (V)."""
        chosen = self._set_limits(current_max_a, compliance_v)
        self.sweep.forget()
        self._bias_on = False
        self.write(
            "smua.source.output=0 smua.source.func=smua.OUTPUT_DCAMPS smua.source.autorangei=0 "
            f"smua.source.rangei={chosen:.6g} smua.source.leveli=0 smua.source.limitv={compliance_v:.6g} "
            f"smua.measure.autorangev=0 smua.measure.rangev={compliance_v:.6g} smua.measure.nplc={BIAS_NPLC}"
        )

    def set_bias_a(self, current_a: float) -> None:
        """Set the level (A); the output goes on with the first call after `configure_bias` or a pulse."""
        refuse_above(current_a, self._current_max_a, self.name)
        switch_on = "" if self._bias_on else " smua.source.output=1"
        self.write(f"smua.source.leveli={current_a:.9g}{switch_on}")
        self._bias_on = True

    def bias_off(self) -> None:
        """0 A, then both outputs off: a reader at 0 A is a source as well. `read_v` switches it on again."""
        self.write("smua.source.leveli=0 smua.source.output=0 smub.source.output=0")
        self._bias_on = self._reader_on = False

    def bias_voltage_v(self) -> float | None:
        """Measured voltage across channel A's terminals (V); nan on overflow."""
        return _voltage(self.number("print(smua.measure.v())"))

    def in_compliance(self) -> bool:
        """True while channel A is at its voltage limit."""
        return self.ask("print(smua.source.compliance)").strip() == "true"

    # ---- PulseSource (channel A) ------------------------------------------------------------------

    def configure_pulse(self, current_max_a: float, compliance_v: float) -> None:
        """Pulses up to current_max_a (A) into compliance_v (V)."""
        self._set_limits(current_max_a, compliance_v)
        self.bias_off()

    def pulse(self, amplitude_a: float, width_s: float) -> None:
        """One rectangular pulse, timed by the instrument; back when it is over, output off."""
        refuse_above(amplitude_a, self._current_max_a, self.name)
        if not PULSE_WIDTH_S[0] <= width_s <= PULSE_WIDTH_S[1]:
            raise BenchError(
                f"{self.name}: a pulse of {width_s:g} s is outside {PULSE_WIDTH_S[0]:g} to "
                f"{PULSE_WIDTH_S[1]:g} s"
            )
        chosen = range_for(KEITHLEY_2636B_CURRENT, self._current_max_a, self.name, "A")
        check_s = width_s - CHECK_APERTURE_S - CHECK_MARGIN_S
        setup = Setup(chosen.full, self._compliance_v, self._reader[0], self._nplc(self._reader[1]))
        times = FrameTimes((2 * width_s,), (width_s,), width_s, (2 * width_s,), check_s)
        self.sweep.configure(setup, times)
        self._bias_on = False
        level = round(amplitude_a / chosen.step)
        self.sweep.start_writes(chosen.step, (), np.array([level]), (), 0)
        self._reader_ready = False
        self._wait_for_pulse(width_s)

    def pulse_s(self, width_s: float) -> float:
        """Time that `pulse` takes (s)."""
        return width_s + PULSE_MESSAGES * self.message_s

    # ---- Reader (channel B) -----------------------------------------------------------------------

    def configure_reader(self, range_v: float, integration_s: float) -> float:
        """Channel B at 0 A on a fixed range (V); returns the integration really used (s)."""
        nplc = self._nplc(integration_s)
        chosen = range_for(KEITHLEY_2636B_VOLTAGE, range_v, self.name, "V").full
        wanted = (chosen, nplc / self.line_hz)
        if self._reader_ready and wanted == self._reader:
            return wanted[1]
        self.sweep.forget()
        self._reader, self._reader_ready = wanted, True
        self._arm_on = self._reader_on = False
        self.write(
            "smub.source.output=0 smub.source.func=smub.OUTPUT_DCAMPS smub.source.autorangei=0 "
            f"smub.source.rangei=1e-6 smub.source.leveli=0 smub.source.limitv={max(1.0, chosen):.6g} "
            f"smub.measure.autorangev=0 smub.measure.rangev={chosen:.6g} smub.measure.nplc={nplc:.6g} "
            "smub.measure.autozero=smub.AUTOZERO_ONCE"
        )
        return self._reader[1]

    def read_v(self) -> float:
        """One reading of channel B (V); nan on overload. Its output goes on with the first one."""
        switch_on = "" if self._reader_on else "smub.source.output=1 "
        self._reader_on = True
        return _voltage(self.number(f"{switch_on}print(smub.measure.v())"))

    def reading_s(self, integration_s: float) -> float:
        """Time of one reading (s)."""
        return integration_s + READING_OVERHEAD_S

    def noise_v(self, range_v: float, integration_s: float) -> float:
        """Expected rms noise (V) from the sourced table in `_ranges`."""
        return noise_at(KEITHLEY_2636B_NOISE, range_v, integration_s)

    def range_v(self, signal_v: float) -> float:
        """The smallest range (V) that holds the signal."""
        return range_for(KEITHLEY_2636B_VOLTAGE, signal_v, self.name, "V").full

    def reader_taken(self) -> None:
        """A sweep uses channel B: the reader's settings are gone."""
        self._reader_ready = self._reader_on = False

    # ---- arm source (channel B forces a small current through the Hall arms) -----------------------

    def set_arm_a(self, current_a: float) -> None:
        """Force current_a (A, at most 100 uA) through the Hall arms; ends with `arm_off`."""
        if not abs(current_a) <= ARM_MAX_A:
            raise BenchError(
                f"{self.name}: {current_a:g} A is too much for Hall arms; the limit is {ARM_MAX_A:g} A"
            )
        chosen = smallest_range(KEITHLEY_2636B_CURRENT, ARM_MAX_A)
        assert chosen is not None
        if not self._arm_on:
            self.sweep.forget()
            self.write(
                "smub.source.output=0 smub.source.func=smub.OUTPUT_DCAMPS smub.source.autorangei=0 "
                f"smub.source.rangei={chosen.full:.6g} smub.source.leveli=0 "
                f"smub.source.limitv={ARM_COMPLIANCE_V} smub.measure.autorangev=0 "
                f"smub.measure.rangev={ARM_COMPLIANCE_V} smub.source.output=1"
            )
            self._arm_on, self._reader_ready = True, False
        self.write(f"smub.source.leveli={current_a:.9g}")

    def arm_voltage_v(self) -> float:
        """Voltage across the Hall arms while current is forced through them (V); nan on overflow."""
        return _voltage(self.number("print(smub.measure.v())"))

    def arm_off(self) -> None:
        """0 A and output off; `configure_reader` makes channel B a reader again."""
        self.write("smub.source.leveli=0 smub.source.output=0")
        self._arm_on = False

    # ---- Output -----------------------------------------------------------------------------------

    def make_safe(self) -> Any:
        """Abort both channels, levels 0, outputs off, read back; never raises."""
        self._bias_on = self._arm_on = self._reader_on = False
        self.sweep.forget()
        return super().make_safe()

    def _still_on(self, link: Link) -> str:
        answer = ask_through(
            link, "print(smua.source.output,smub.source.output,smua.source.leveli,smub.source.leveli)"
        )
        a_on, b_on, a_level, b_level = (float(field) for field in answer.split())
        if a_on or b_on:
            return f"channel {'A' if a_on else 'B'} is still on"
        return "" if a_level == b_level == 0 else "the outputs are off but a level is not zero"

    # ---- inside -----------------------------------------------------------------------------------

    def _set_limits(self, current_max_a: float, compliance_v: float) -> float:
        if not 0 < compliance_v <= COMPLIANCE_MAX_V:
            raise BenchError(
                f"{self.name}: a compliance of {compliance_v:g} V is outside 0 to {COMPLIANCE_MAX_V:g} V"
            )
        chosen = range_for(KEITHLEY_2636B_CURRENT, current_max_a, self.name, "A")
        self._current_max_a, self._compliance_v = abs(current_max_a), compliance_v
        return chosen.full

    def _nplc(self, integration_s: float) -> float:
        nplc = round(integration_s * self.line_hz, 3)
        if not NPLC[0] <= nplc <= NPLC[1]:
            raise BenchError(
                f"{self.name}: an integration of {integration_s:g} s is outside "
                f"{NPLC[0] / self.line_hz:g} to {NPLC[1] / self.line_hz:g} s"
            )
        return nplc

    def _wait_for_pulse(self, width_s: float) -> None:
        self.clock.sleep(width_s)
        end = self.clock.now() + PULSE_LATE_S
        while (state := self.sweep.state()).pulses == 0:
            if state.errors or self.clock.now() > end:
                self.sweep.raise_errors()
                self.make_safe()
                raise BenchError(f"{self.name}: a pulse did not end in time; the output was switched off")
            self.clock.sleep(POLL_S)
        self.bias_off()


def _voltage(value: float) -> float:
    return math.nan if abs(value) > OVERFLOW_V else value
