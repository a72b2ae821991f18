"""A list sweep of the 6221 that triggers a 2182A at each point, and is triggered on by it (trigger link).

Bench notes 2.1, 2.2 and 3.3: each point is sourced, held for its delay, and then held until the voltmeter
has read it into its buffer. Factory lines: 6221 out on 2 to EXT TRIG, 2182A complete on 1 back to the 6221.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hilab.errors import BenchError

if TYPE_CHECKING:
    from drivers.keithley6221 import Keithley6221

DELAY_S = (1e-3, 999_999.0)  # of a point [M]
DELAY_STEP_S = 1e-3  # [R]
LIST_MAX = 65_535  # points [R]
ARM_S = 0.3  # arming a sweep [D]: below 1 s
ARM_LATE_S = 5.0
ARM_POLL_S = 0.05
COMPLIANCE_EVENT = 8  # bit 3 of the measurement event register
LINES = ":TRIG:OLIN 4;ILIN 1;OLIN 2"  # out is parked first: one line cannot be both [D]


class TriggerLinkSweep:
    """One run at a time: configure, load, arm, start; then `limited`, stop."""

    def __init__(self, driver: Keithley6221):
        self._driver = driver

    def configure(self) -> None:
        """A list on one fixed range, each point released by the voltmeter; old status forgotten."""
        write = self._driver.write
        write("*CLS;:SOUR:SWE:ABOR")
        write(":SOUR:SWE:SPAC LIST;RANG BEST;COUN 1;CAB OFF")
        write(f"{LINES};:ARM:SOUR IMM;:TRIG:SOUR TLIN;DIR SOUR;OUTP DEL")

    def load(self, levels_a: Sequence[float], delays_s: Sequence[float]) -> None:
        """Upload levels (A) and what each is held before it is read (s)."""
        if len(levels_a) > LIST_MAX:
            raise BenchError(f"{self._driver.name}: a list holds {LIST_MAX} points, not {len(levels_a)}")
        self._driver.load_list(levels_a, delays_s)

    def arm(self) -> None:
        """Arm and wait, without the lock, until the 6221 says so."""
        driver = self._driver
        driver.write(":SOUR:SWE:ARM")
        end_s = driver.clock.now() + ARM_LATE_S
        driver.clock.sleep(ARM_S)
        while driver.ask(":SOUR:SWE:ARM?").strip() != "1":
            errors = driver.check_errors()
            if errors or driver.clock.now() > end_s:
                driver.make_safe()
                raise BenchError(
                    f"{driver.name} could not arm its list: {(errors or ['no answer in time'])[0]}"
                )
            driver.clock.sleep(ARM_POLL_S)

    def start(self) -> None:
        """Source the first point."""
        self._driver.write(":INIT:IMM")

    def limited(self) -> bool:
        """Whether the source was at its compliance anywhere since `configure`."""
        return bool(int(self._driver.number(":STAT:MEAS?")) & COMPLIANCE_EVENT)

    def stop(self) -> None:
        """Abort: source to zero, output off, trigger link released."""
        self._driver.write(":SOUR:SWE:ABOR;:TRIG:SOUR IMM;OUTP NONE")
        self._driver.bias_off()
