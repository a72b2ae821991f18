"""Keysight 81160A pulse generator: pulses and direct voltages into a known load, for the software loop.

Command set: bench notes 2.7. PyMeasure scales a waveform by its largest value instead of its largest
magnitude, which inverts, doubles or overflows bipolar ones; here every path scales by the full scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymeasure.instruments import Instrument
from pymeasure.instruments.keysight import Keysight81160A as StockKeysight81160A
from pymeasure.instruments.keysight.keysight81160A import Keysight81160AChannel as StockChannel

from drivers._link import Link, VisaDriver, ask_through
from drivers._voltage_source import OUTPUT_OHM, KnownLoad
from hilab.errors import BenchError

CODE_MAX = 8191  # full scale of a waveform's samples [D]
OPEN_MAX_V = 10.0  # peak into an open circuit [D: 5 V into 50 ohm]
BIPOLAR_MAX_V = 5.0  # peak of a waveform, open circuit: the amplitude is 10 V at most [D]
OPEN_MIN_V = 0.1  # smallest amplitude of a pulse, open circuit [D: 50 mV into 50 ohm]
POINTS = (2, 131_072)  # of a waveform [R]
PULSE_WIDTH_S = (1e-6, 1e3)  # the box makes 1.5 ns; the lines of a probe station do not
START_S = 1e-3  # from a trigger by message to the pulse, at most [R]


def scaled(volts: ArrayLike, full_v: float) -> NDArray[np.int16]:
    """Samples (n,) of a waveform in volts, of which full_v is the full scale in either direction.

    ValueError for values that are not finite or exceed it.
    """
    values = np.asarray(volts, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or not 0 < full_v < np.inf:
        raise ValueError("a waveform is one row of finite volts, and its full scale is positive")
    if values.size and np.abs(values).max() > full_v * (1 + 1e-9):
        raise ValueError(f"a waveform of {np.abs(values).max():g} V exceeds its full scale of {full_v:g} V")
    return np.rint(values / full_v * CODE_MAX).astype(np.int16)


class Channel(StockChannel):
    """PyMeasure's channel with waveforms scaled by their largest magnitude."""

    def _preprocess_waveform(self, data: ArrayLike) -> NDArray[np.int16]:
        values = np.asarray(data, dtype=np.float64)
        return scaled(values, float(np.abs(values).max()) or 1.0)


class Keysight81160A(VisaDriver, StockKeysight81160A):
    """Driver `keysight81160a`: pulse and bias source into a known load (`set_load_ohm`), on channel 1."""

    ch_1 = Instrument.ChannelCreator(Channel, 1)
    ch_2 = Instrument.ChannelCreator(Channel, 2)
    model_pattern = "81160A"
    compliance_max_v = OPEN_MAX_V
    pulse_width_s = PULSE_WIDTH_S
    off_commands = (":OUTP1 OFF", ":OUTP2 OFF")
    output_ohm = OUTPUT_OHM

    def __init__(self, address: Any, **kwargs: Any):
        self._bias_on = False
        super().__init__(address, **kwargs)
        self.load = KnownLoad(self.name, OPEN_MAX_V)

    def set_load_ohm(self, ohm: float) -> None:
        """What channel 1 drives (ohm): device line, contacts and shunt, without its own 50 ohm."""
        self.load.set_ohm(ohm)

    # ---- BiasSource -------------------------------------------------------------------------------

    def configure_bias(self, current_max_a: float, compliance_v: float) -> None:
        """Direct current up to current_max_a (A), at most compliance_v (V) across the load; output off."""
        self.load.set_limits(current_max_a, compliance_v)
        self.bias_off()

    def set_bias_a(self, current_a: float) -> None:
        """Hold the voltage that drives current_a (A) through the load; switches the output on."""
        set_v = self.load.emf_v(current_a) / 2  # as it would appear at 50 ohm
        if self._bias_on:
            self.write(f":VOLT1:OFFS {set_v:.9g}")
            return
        self._bias_on = True
        self.write(
            ":OUTP1 OFF;:OUTP1:LOAD 50;POL NORM;:ARM:SOUR1 IMM;:BURS1:STAT OFF;:FUNC1 DC;"
            f":VOLT1:OFFS {set_v:.9g};:OUTP1 ON"
        )

    def bias_off(self) -> None:
        """Output relay of channel 1 open."""
        self.write(":OUTP1 OFF")
        self._bias_on = False

    def bias_voltage_v(self) -> float | None:
        """None: the instrument has no meter."""
        return None

    def in_compliance(self) -> bool:
        """False: a voltage behind 50 ohm has no compliance."""
        return False

    # ---- PulseSource ------------------------------------------------------------------------------

    def configure_pulse(self, current_max_a: float, compliance_v: float) -> None:
        """Pulses up to current_max_a (A), at most compliance_v (V) across the load; output off."""
        self.load.set_limits(current_max_a, compliance_v)
        self.bias_off()

    def pulse(self, amplitude_a: float, width_s: float) -> None:
        """One rectangular pulse from 0 V, at a manual trigger; back when it is over.

        The output stays on at 0 V. A negative pulse is the inverted one: the box rests at its low level.
        """
        emf_v = self.load.emf_v(amplitude_a)
        if not PULSE_WIDTH_S[0] <= width_s <= PULSE_WIDTH_S[1]:
            raise BenchError(
                f"{self.name}: a pulse of {width_s:g} s is outside {PULSE_WIDTH_S[0]:g} to "
                f"{PULSE_WIDTH_S[1]:g} s"
            )
        if emf_v == 0:
            self.clock.sleep(width_s)
            return
        if abs(emf_v) < OPEN_MIN_V:
            raise BenchError(
                f"{self.name}: a pulse of {abs(emf_v):g} V (open circuit) is below its {OPEN_MIN_V:g} V; "
                "use a larger series resistor"
            )
        self._bias_on = False
        self.write(
            f":OUTP1 OFF;:OUTP1:LOAD 50;POL {'NORM' if emf_v > 0 else 'INV'};:VOLT1:OFFS 0;:FUNC1 PULS;"
            f":BURS1:STAT OFF;:ARM:SOUR1 MAN;:TRIG1:COUN 1;:PULS:WIDT1 MIN;:PULS:PER1 {2 * width_s:.9g};"
            f":PULS:WIDT1 {width_s:.9g};:VOLT1 {abs(emf_v) / 2:.9g};:VOLT1:OFFS {emf_v / 4:.9g};"
            ":OUTP1 ON;*TRG"
        )
        self.clock.sleep(START_S + width_s)

    def pulse_s(self, width_s: float) -> float:
        """Time that `pulse` takes (s)."""
        return self.message_s + START_S + width_s

    # ---- waveforms ----------------------------------------------------------------------------------

    def load_waveform(self, current_a: ArrayLike, duration_s: float) -> None:
        """A waveform of currents (n,) (A) that lasts duration_s, played once at each `trigger`; output on.

        It rests at its first value. BenchError beyond the limits in force, before a byte is sent.
        """
        wanted = np.asarray(current_a, dtype=np.float64)
        if wanted.ndim != 1 or not POINTS[0] <= len(wanted) <= POINTS[1] or not np.isfinite(wanted).all():
            raise BenchError(f"{self.name}: a waveform is {POINTS[0]} to {POINTS[1]} finite currents")
        full_v = self.load.emf_v(float(np.abs(wanted).max()))
        if abs(full_v) > BIPOLAR_MAX_V:
            raise BenchError(
                f"{self.name}: a waveform of {full_v:g} V is above its {BIPOLAR_MAX_V:g} V of either sign"
            )
        full_v = max(full_v, OPEN_MIN_V / 2)
        codes = scaled(wanted * self.load.total_ohm(), full_v)
        self._bias_on = False
        self.write(
            ":OUTP1 OFF;:OUTP1:LOAD 50;POL NORM;:VOLT1:OFFS 0;:FUNC1 USER;:FUNC1:USER VOLATILE;"
            f":BURS1:STAT OFF;:ARM:SOUR1 MAN;:TRIG1:COUN 1;:FREQ1 {1 / duration_s:.9g};:VOLT1 {full_v:.9g}"
        )
        data = codes.astype(">i2").tobytes()
        head = f":DATA1:DAC VOLATILE,#{len(str(len(data)))}{len(data)}"
        self.link.write_bytes(head.encode() + data + b";:OUTP1 ON\n")

    # ---- Instrument, Output -------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Load and limits in force, and what the box says of its output."""
        return super().settings() | {
            "load_ohm": self.load.ohm if self.load.ohm is not None else float("nan"),
            "current_max_a": self.load.limit_a,
            "compliance_v": self.load.limit_v,
            "output": self.ask(":OUTP1?").strip() not in ("0", "OFF"),
        }

    def make_safe(self) -> Any:
        """Both outputs off, read back; never raises."""
        self._bias_on = False
        return super().make_safe()

    def _still_on(self, link: Link) -> str:
        for channel in (1, 2):
            if ask_through(link, f":OUTP{channel}?") not in ("0", "OFF"):
                return f"output {channel} is still on"
        return ""
