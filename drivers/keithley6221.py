"""Keithley 6221 current source: direct current, single pulses by WAVE, lists and pulse delta with a 2182A.

Command set and traps: bench notes 2.1 (6221 user manual 5-22..5-34, 6220/6221 reference manual).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymeasure.instruments import Instrument
from pymeasure.instruments.keithley import Keithley6221 as StockKeithley6221

from drivers._link import Link, VisaDriver, ask_through
from drivers._pulse_delta import PulseDelta
from drivers._ranges import KEITHLEY_6221_CURRENT, range_for, refuse_above
from drivers._trigger_link import TriggerLinkSweep
from hilab.errors import BenchError

LIST_CHUNK = 100  # values a command takes [D]
COMPLIANCE_V = (0.1, 105.0)  # [M]
WAVE_WIDTH_S = (5e-6, 400.0)  # a shorter one is no pulse any more [D]; longer ones belong to direct current
WAVE_ARM_S = 0.3  # what arming a wave takes [R]; less than 1 s [D]
WAVE_LATE_S = 3.0  # a wave that is later than this has failed
PULSE_MESSAGES = 5
POLL_S = 0.02
IN_COMPLIANCE = 8  # bit 3 of the measurement condition register


class Keithley6221(VisaDriver, StockKeithley6221):
    """Driver `keithley6221`: pulse source and bias source.

    Over PyMeasure's class: pulses of both signs (the stock `waveform_amplitude` truncates a negative value
    to 2e-12 A), lists longer than 100 values, limits before every byte, silent clipping excluded.
    """

    model_pattern = "6221"
    compliance_max_v = COMPLIANCE_V[1]
    pulse_width_s = WAVE_WIDTH_S
    off_commands = (":SOUR:SWE:ABOR", ":SOUR:WAVE:ABOR", ":SOUR:CLE", ":OUTP OFF")

    waveform_amplitude = Instrument.control(
        ":SOUR:WAVE:AMPL?",
        ":SOUR:WAVE:AMPL %.9g",
        """Control the half height of the waveform (A), 2e-12 to 0.105; a negative value is refused.""",
        validator=lambda value, limits: _strictly(value, limits),
        values=(2e-12, 0.105),
    )

    def __init__(self, address: Any, **kwargs: Any):
        self._current_max_a = 0.0
        self._compliance_v = 10.0
        self._bias_on = False
        super().__init__(address, **kwargs)
        self.pulse_delta = PulseDelta(self)
        self.trigger_link = TriggerLinkSweep(self)

    # ---- BiasSource -----------------------------------------------------------------------------

    def configure_bias(self, current_max_a: float, compliance_v: float) -> None:
        """Direct current up to current_max_a (A) on one fixed range, output off, into compliance_v (V)."""
        chosen = self._set_limits(current_max_a, compliance_v)
        self.bias_off()
        self.write(f":SOUR:CURR:RANG:AUTO 0;:SOUR:CURR:RANG {chosen:.9g};:SOUR:CURR:COMP {compliance_v:.9g}")

    def set_bias_a(self, current_a: float) -> None:
        """Set the level (A); the output goes on with the first call after `configure_bias` or a pulse."""
        refuse_above(current_a, self._current_max_a, self.name)
        self.write(f":SOUR:CURR {current_a:.9g}")
        if not self._bias_on:
            self.write(":OUTP ON")
            self._bias_on = True

    def bias_off(self) -> None:
        """0 A and output relay open."""
        self.write(":SOUR:CLE")
        self._bias_on = False

    def bias_voltage_v(self) -> float | None:
        """None: the instrument has no meter."""
        return None

    def in_compliance(self) -> bool:
        """True while the source is at its voltage limit."""
        return bool(int(self.number(":STAT:MEAS:COND?")) & IN_COMPLIANCE)

    # ---- PulseSource ----------------------------------------------------------------------------

    def configure_pulse(self, current_max_a: float, compliance_v: float) -> None:
        """Pulses up to current_max_a (A) into compliance_v (V)."""
        self._set_limits(current_max_a, compliance_v)
        self.bias_off()
        self.write(f":SOUR:CURR:COMP {compliance_v:.9g}")

    def pulse(self, amplitude_a: float, width_s: float) -> None:
        """One rectangular pulse as half a cycle of a square wave that ends by itself; back when it is over.

        The other half is at zero: it follows a positive pulse and precedes a negative one.
        """
        refuse_above(amplitude_a, self._current_max_a, self.name)
        if not WAVE_WIDTH_S[0] <= width_s <= WAVE_WIDTH_S[1]:
            raise BenchError(
                f"{self.name}: a pulse of {width_s:g} s is outside {WAVE_WIDTH_S[0]:g} to "
                f"{WAVE_WIDTH_S[1]:g} s"
            )
        if amplitude_a == 0:
            self.clock.sleep(width_s)
            return
        half = abs(amplitude_a) / 2
        self.write(
            f":SOUR:WAVE:FUNC SQU;AMPL {half:.9g};OFFS {amplitude_a / 2:.9g};DCYC 50;"
            f"FREQ {1 / (2 * width_s):.9g};RANG BEST;DUR:CYCL 1"
        )
        self._bias_on = False  # the output closes with the end of the wave
        self.write(":OUTP ON;:SOUR:WAVE:ARM")
        self.clock.sleep(WAVE_ARM_S)
        self.write(":SOUR:WAVE:INIT")
        self._wait_for_wave(2 * width_s)
        self.write(":SOUR:WAVE:ABOR")

    def pulse_s(self, width_s: float) -> float:
        """Time that `pulse` takes (s)."""
        return WAVE_ARM_S + 2 * width_s + PULSE_MESSAGES * self.message_s

    # ---- lists (used by the players) -------------------------------------------------------------

    def load_list(self, levels_a: Sequence[float], delay_s: float | Sequence[float]) -> None:
        """Load a sweep list of levels (A), in commands of 100 values; delay_s (s) of all or of each."""
        for level in (min(levels_a), max(levels_a)):
            refuse_above(level, self._current_max_a, self.name)
        delays = [delay_s] * len(levels_a) if isinstance(delay_s, float) else delay_s
        for what, texts in (
            ("CURR", [f"{level:.7g}" for level in levels_a]),
            ("DEL", [f"{delay:.9g}" for delay in delays]),
        ):
            for start in range(0, len(texts), LIST_CHUNK):
                append = ":APP" if start else ""
                self.write(f":SOUR:LIST:{what}{append} {','.join(texts[start : start + LIST_CHUNK])}")

    def nanovoltmeter_answers(self) -> bool:
        """True if a 2182A answers at the serial port."""
        return self.ask(":SOUR:PDEL:NVPR?").strip().strip('"').startswith("1")

    def relay(self, command: str) -> None:
        """Pass a command on to the 2182A at the serial port."""
        self.write(f':SYST:COMM:SER:SEND "{command}"')

    # ---- Instrument, Output ----------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Limits in force and what the box says of its output."""
        return super().settings() | {
            "current_max_a": self._current_max_a,
            "compliance_v": self._compliance_v,
            "output": self.ask(":OUTP?").strip() not in ("0", "OFF"),
        }

    def _still_on(self, link: Link) -> str:
        if ask_through(link, ":OUTP?") not in ("0", "OFF"):
            return "the output is still on"
        level = float(ask_through(link, ":SOUR:CURR?"))
        return "" if level == 0 else f"the output is off but its level is {level:g} A"

    def make_safe(self) -> Any:
        """Abort sweep and wave, 0 A, output off, read back; never raises."""
        self._bias_on = False
        return super().make_safe()

    # ---- inside ----------------------------------------------------------------------------------

    def _set_limits(self, current_max_a: float, compliance_v: float) -> float:
        """Take over the limits; the full scale (A) of the range that holds them."""
        low, high = COMPLIANCE_V
        if not low <= compliance_v <= high:
            raise BenchError(f"{self.name}: a compliance of {compliance_v:g} V is outside {low} to {high} V")
        chosen = range_for(KEITHLEY_6221_CURRENT, current_max_a, self.name, "A")
        self._current_max_a, self._compliance_v = abs(current_max_a), compliance_v
        return chosen.full

    def _wait_for_wave(self, duration_s: float) -> None:
        self.clock.sleep(duration_s)
        end = self.clock.now() + WAVE_LATE_S
        while self.ask(":OUTP?").strip() not in ("0", "OFF"):
            if self.clock.now() > end:
                self.make_safe()
                raise BenchError(f"{self.name}: a pulse did not end in time; its output was switched off")
            self.clock.sleep(POLL_S)


def _strictly(value: float, limits: Sequence[float]) -> float:
    if not limits[0] <= value <= limits[1]:
        raise ValueError(
            f"the amplitude of a waveform must lie in {limits[0]:g} to {limits[1]:g} A, got {value:g}"
        )
    return value
