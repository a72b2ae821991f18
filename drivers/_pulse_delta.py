"""Pulse delta on the 6221 with a 2182A at its serial port and trigger link, levels from a custom list.

Bench notes 2.1: one list value is one cycle (low, high, low on three mains periods, then low until the
interval is over); its reading is V_high - mean(V_low), taken inside the pulse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hilab.errors import BenchError
from hilab.frames import FloatArray

if TYPE_CHECKING:
    from drivers.keithley6221 import Keithley6221

WIDTH_S = (50e-6, 12e-3)  # [M]
SOURCE_DELAY_S = 16e-6  # from the start of the pulse to the measurement; the shortest it can be [M]
INTERVAL_PLC = 5  # the shortest cycle [M]
BUFFER = 65_536  # readings [M]
LIST_MAX = 65_535  # levels [R]
ARM_S = 2.0  # arming speaks to the 2182A and takes 1 to 3 s [D]
ARM_LATE_S = 10.0  # after this it has failed
ARM_POLL_S = 0.2
FETCH = 500  # readings in one answer: the lock is never held for long
OVERFLOW_V = 9e36


@dataclass(frozen=True)
class Cycles:
    """Readings (V, nan on overflow) of the cycles so far, and where the source was limited."""

    voltage_v: FloatArray
    compliance: np.ndarray


def aperture_s(width_s: float) -> float:
    """What is left of a pulse for the measurement (s)."""
    return width_s - SOURCE_DELAY_S


class PulseDelta:
    """One run at a time: configure, load, arm, start, count, fetch, stop."""

    def __init__(self, driver: Keithley6221):
        self._driver = driver

    def configure(self, width_s: float, range_v: float) -> None:
        """Common pulse width (s) and the fixed range (V) of the 2182A."""
        driver = self._driver
        if not WIDTH_S[0] <= width_s <= WIDTH_S[1]:
            raise BenchError(f"{driver.name}: pulse delta needs widths of {WIDTH_S[0]:g} to {WIDTH_S[1]:g} s")
        driver.write(":SOUR:SWE:ABOR")
        if not driver.nanovoltmeter_answers():
            raise BenchError(
                f"{driver.name} finds no 2182A at its serial port: check the null-modem cable and that the "
                "2182A's RS-232 is on"
            )
        driver.relay(f":SENS:VOLT:CHAN1:RANG {range_v:g}")
        driver.write(f":SOUR:PDEL:WIDT {width_s:.9g};SDEL {SOURCE_DELAY_S:.9g};LOW 0;LME 2;SWE ON")
        driver.write(":SOUR:SWE:SPAC LIST;RANG BEST;COUN 1;CAB OFF")
        driver.write(":UNIT V;:FORM:ELEM READ,TST,COMP")

    def load(self, levels_a: Sequence[float], period_s: float) -> None:
        """Upload the levels (A) of all cycles, each period_s (s) long, and size the buffer for them."""
        self._driver.load_list(levels_a, period_s)
        self._driver.write(f":TRAC:CLE;:TRAC:POIN {len(levels_a)}")

    def arm(self) -> None:
        """Arm and wait, without the lock, until the 6221 has settled it with the 2182A."""
        driver = self._driver
        driver.write(":SOUR:PDEL:ARM")
        end = driver.clock.now() + ARM_LATE_S
        driver.clock.sleep(ARM_S)
        while driver.ask(":SOUR:PDEL:ARM?").strip() != "1":
            errors = driver.check_errors()
            if errors or driver.clock.now() > end:
                driver.make_safe()
                raise BenchError(
                    f"{driver.name} could not arm pulse delta: {(errors or ['no answer in time'])[0]}"
                )
            driver.clock.sleep(ARM_POLL_S)

    def start(self) -> None:
        """Begin with the first cycle."""
        self._driver.write(":INIT:IMM")

    def count(self) -> int:
        """Readings in the buffer."""
        return int(self._driver.number(":TRAC:POIN:ACT?"))

    def fetch(self, count: int) -> Cycles:
        """The first `count` readings of the buffer."""
        fields: list[str] = []
        for start in range(0, count, FETCH):
            answer = self._driver.ask(f":TRAC:DATA:SEL? {start},{min(FETCH, count - start)}")
            fields += answer.strip().split(",")
        if len(fields) != 3 * count:
            raise BenchError(
                f"{self._driver.name}: {count} readings came back as {len(fields)} fields, not {3 * count}; "
                "another program may have changed FORM:ELEM"
            )
        voltage = np.array(fields[0::3], dtype=np.float64)
        voltage[np.abs(voltage) > OVERFLOW_V] = np.nan
        compliance = np.array([field.strip().upper() in ("T", "1") for field in fields[2::3]], dtype=bool)
        return Cycles(voltage, compliance)

    def stop(self) -> None:
        """Abort: source to zero, 2182A released; the buffer stays."""
        self._driver.write(":SOUR:SWE:ABOR")
        self._driver.bias_off()
