"""Keithley 2182A nanovoltmeter: one channel, fixed range. Command set: bench notes 2.2."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pymeasure.instruments.keithley import Keithley2182 as StockKeithley2182

from drivers._link import VisaDriver, ask_through
from drivers._ranges import KEITHLEY_2182A_NOISE, KEITHLEY_2182A_VOLTAGE, noise_at, range_for
from hilab.errors import BenchError
from hilab.frames import FloatArray
from hilab.roles import Identity

OVERFLOW_V = 9e36  # replies of +9.9E37 mean overload
NPLC = (0.01, 50.0)  # [M]; 60 at 60 Hz is not used
LOCK_S = 0.1  # longer conversions are waited for with the lock released
CONVERSIONS = 3  # of one reading with both autozeros on [bench notes 3.2]
OVERHEAD_S = 1.5e-3  # of one reading [R]
BUFFER = 1024  # readings [R]


class Keithley2182A(VisaDriver, StockKeithley2182):
    """Driver `keithley2182a`: reader. Over PyMeasure's class: LF on GPIB and waiting without the lock."""

    model_pattern = "2182"

    def __init__(self, address: Any, **kwargs: Any):
        self.line_hz = 50.0
        self._integration_s = 0.02
        self._range_v = 0.01
        self._configured: tuple[float, float] | None = None
        self._points = 0
        super().__init__(address, **kwargs)

    def identify(self) -> Identity:
        """Who answers; learns the mains frequency as well."""
        identity = super().identify()
        if self.model_pattern in identity.model:
            self.line_hz = float(ask_through(self.link, ":SYST:LFR?"))
        return identity

    def configure_reader(self, range_v: float, integration_s: float) -> float:
        """Channel 1 on a fixed range (V); returns the integration really used (s), to 0.01 PLC."""
        nplc = round(integration_s * self.line_hz, 2)
        if not NPLC[0] <= nplc <= NPLC[1]:
            raise BenchError(
                f"{self.name}: an integration of {integration_s:g} s is outside "
                f"{NPLC[0] / self.line_hz:g} to {NPLC[1] / self.line_hz:g} s"
            )
        chosen = range_for(KEITHLEY_2182A_VOLTAGE, range_v, self.name, "V").full
        if (chosen, nplc) == self._configured:
            return self._integration_s
        self.write(":INIT:CONT OFF;:SENS:CHAN 1;:SENS:FUNC 'VOLT:DC'")
        self.write(f":SENS:VOLT:CHAN1:RANG {chosen:g};:SENS:VOLT:NPLC {nplc:g};:SENS:VOLT:DFIL:STAT OFF")
        # Line synchronisation makes mains pick-up the same in all readings that are no whole mains periods.
        self.write(":SYST:LSYN ON;:SYST:AZER ON;:SYST:FAZ ON;:TRIG:SOUR IMM;:TRIG:COUN 1;:SAMP:COUN 1")
        self._integration_s, self._range_v, self._configured = nplc / self.line_hz, chosen, (chosen, nplc)
        return self._integration_s

    def forget(self) -> None:
        """Somebody else changed the settings (a 6221 through the serial port)."""
        self._configured = None

    def read_v(self) -> float:
        """One fresh reading (V); nan on overload. The lock is released while the converter works."""
        self.write(":READ?")
        if self.reading_s(self._integration_s) > LOCK_S:
            self.clock.sleep(self.reading_s(self._integration_s))
        answer = self.link.read()
        try:
            value = float(answer.split(",")[0])
        except ValueError:
            raise BenchError(
                f"{self.name}: a reading came back as {answer.strip()[:40]!r}; who else speaks to it?"
            ) from None
        return math.nan if abs(value) > OVERFLOW_V else value

    def reading_s(self, integration_s: float) -> float:
        """Time of one reading (s)."""
        return CONVERSIONS * integration_s + OVERHEAD_S

    def noise_v(self, range_v: float, integration_s: float) -> float:
        """Expected rms noise (V) from the sourced table in `_ranges`."""
        return noise_at(KEITHLEY_2182A_NOISE, range_v, integration_s)

    def range_v(self, signal_v: float) -> float:
        """The smallest range (V) that holds the signal."""
        return range_for(KEITHLEY_2182A_VOLTAGE, signal_v, self.name, "V").full

    # ---- buffer, filled on external triggers (used by the player over the trigger link) ------------

    def arm_buffer(self, range_v: float, integration_s: float, count: int) -> None:
        """Wait for `count` triggers (2 to 1024) and store one reading for each.

        Both autozeros are off: one conversion a reading, `triggered_s` long; `configure_reader` restores.
        """
        if not 2 <= count <= BUFFER:
            raise BenchError(f"{self.name}: its buffer takes 2 to {BUFFER} readings, not {count}")
        self.forget()
        self.configure_reader(range_v, integration_s)
        self.forget()
        self._points = count
        self.write(f":SYST:AZER OFF;:SYST:FAZ OFF;:TRIG:SOUR EXT;:TRIG:COUN {count};:TRIG:DEL 0")
        self.write(f":TRAC:CLE;:TRAC:POIN {count};:TRAC:FEED SENS;:TRAC:FEED:CONT NEXT;:INIT")

    def triggered_s(self, integration_s: float) -> float:
        """Time of one triggered reading (s), without autozero."""
        return integration_s + OVERHEAD_S

    def buffered(self) -> int:
        """Readings in the buffer."""
        answer = self.ask(":TRAC:FREE?")
        try:
            free, used = (int(float(field)) for field in answer.split(","))
        except ValueError:
            raise BenchError(
                f"{self.name}: the filling of its buffer came back as {answer.strip()[:40]!r}; "
                "who else speaks to it?"
            ) from None
        return round(self._points * used / max(free + used, 1))

    def fetch_buffer(self, count: int) -> FloatArray:
        """The readings in the buffer (V, nan on overload), `count` as `buffered` told; waits no more."""
        if not count:
            return np.empty(0)
        fields = self.ask(":TRAC:DATA?").strip().split(",")
        if len(fields) != count:
            raise BenchError(f"{self.name}: {count} readings came back as {len(fields)} fields")
        voltage = np.array(fields, dtype=np.float64)
        voltage[np.abs(voltage) > OVERFLOW_V] = np.nan
        return voltage

    def stop_buffer(self) -> None:
        """Wait for no more triggers; what was read stays in the buffer."""
        self.write(":ABOR;:TRIG:SOUR IMM")

    def settings(self) -> dict[str, Any]:
        """Range, integration time, mains frequency."""
        return super().settings() | {
            "range_v": self._range_v,
            "integration_s": self._integration_s,
            "line_hz": self.line_hz,
        }
