"""Kepco BOP bipolar supply (BIT 4886 card) on a coil, in current mode. Command set: bench notes 2.9."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pymeasure.instruments.kepco import KepcoBOP3612

from drivers._link import LINK_ERRORS, Link, VisaDriver, ask_through
from hilab.errors import BenchError

CURRENT_MAX_A = 12.0  # BOP 36-12
STEP_A = 0.5  # one step of a ramp
STEP_S = 0.02
SAFE_STEPS = 8  # a ramp to zero that fits into the time make_safe has
SAFE_STEP_S = 0.05


class KepcoBOP(VisaDriver, KepcoBOP3612):
    """Driver `kepco_bop`: field source. Ramps, and reads its error queue where the box stays silent.

    Option `current_max_a` narrows the range for a smaller coil or model.
    """

    model_pattern = "BIT 48"  # the interface card answers, not the supply
    known_options = ("current_max_a",)
    off_commands = ()  # the current of a coil is ramped down, see _switch_off

    def __init__(self, address: Any, **kwargs: Any):
        self._ready = False
        self._set_a = 0.0
        super().__init__(address, **kwargs)
        self._current_max_a = float(self.bench_options.get("current_max_a", CURRENT_MAX_A))
        if not 0 < self._current_max_a <= CURRENT_MAX_A:
            raise BenchError(f"{self.name}: current_max_a must lie in 0 to {CURRENT_MAX_A:g} A")

    # ---- FieldSource -----------------------------------------------------------------------------

    def set_coil_a(self, current_a: float) -> None:
        """Ramp the coil current to current_a (A) in steps of 0.5 A.

        Raises BenchError above the limit, or when the box refuses a setpoint (it would stay silent).
        """
        if not abs(current_a) <= self._current_max_a:
            raise BenchError(
                f"{self.name}: {current_a:g} A is above the coil supply's limit of {self._current_max_a:g} A"
            )
        if not self._ready:
            self._prepare()
        self._ramp(current_a)
        refused = self.check_errors()
        if refused:
            raise BenchError(
                f"{self.name}: the setpoint {current_a:g} A was refused ({refused[0]}); "
                "look at CURR:LIM and VOLT:LIM on the box, they survive a reset"
            )

    def coil_a(self) -> float:
        """Measured coil current (A)."""
        return self.number("MEAS:CURR?")

    def coil_off(self) -> None:
        """Ramp to zero, then output off."""
        if self._ready:
            self._ramp(0.0)
        self.write("OUTP OFF")
        self._ready = False

    # ---- Instrument, Output ----------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Limit and setpoint."""
        return super().settings() | {"current_max_a": self._current_max_a, "set_a": self._set_a}

    def make_safe(self) -> Any:
        """Ramp to 0 A in 0.4 s, output off, read back; never raises."""
        self._ready = False
        return super().make_safe()

    def _switch_off(self, link: Link) -> None:
        flowing = 0.0
        with suppress(*LINK_ERRORS):  # a box that does not answer may still listen: then without a ramp
            if ask_through(link, "OUTP?") != "0":
                flowing = float(ask_through(link, "CURR?"))
        for step in range(1, SAFE_STEPS + 1) if flowing else ():
            link.write(f"CURR {flowing * (1 - step / SAFE_STEPS):.6g}")
            self.clock.sleep(SAFE_STEP_S)
        link.write("CURR 0")
        link.write("OUTP OFF")
        self._set_a = 0.0

    def _still_on(self, link: Link) -> str:
        if ask_through(link, "OUTP?") != "0":
            return "the output is still on"
        level = float(ask_through(link, "CURR?"))
        return "" if abs(level) < 1e-3 else f"the output is off but its setpoint is {level:g} A"

    def _take_over(self) -> None:
        """An unknown current may flow in the coil: ramp it down instead of switching it off."""
        self._switch_off(self.link)

    def _prepare(self) -> None:
        self.write("FUNC:MODE CURR")
        self.write("CURR 0")
        self.write("VOLT MAX")
        self.write("OUTP ON")
        self._set_a, self._ready = 0.0, True

    def _ramp(self, target_a: float) -> None:
        start_a = self._set_a
        steps = max(1, int(abs(target_a - start_a) / STEP_A + 0.999))
        for step in range(1, steps + 1):
            level_a = start_a + (target_a - start_a) * step / steps
            self.write(f"CURR {level_a:.6g}")
            self._set_a = level_a
            if step < steps:
                self.clock.sleep(STEP_S)
