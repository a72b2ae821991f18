"""What the drivers of the Keithley 2450 and 2400 share: one box that forces a current and reads a voltage.

The force leads carry the current line, the remote sense leads lie on the Hall arms. Without a reader
configured the box senses locally: then the voltage is that of the current line itself.
"""

from __future__ import annotations

import math
from typing import Any

from drivers._link import Link, VisaDriver, ask_through
from drivers._list_sweep import ListSetup, ListState, ListSweep
from drivers._ranges import noise_at, range_for, refuse_above
from drivers._sourcemeter_tables import DELAY_MIN_S, NPLC, POINT_MIN_S, Figures
from hilab.errors import BenchError
from hilab.roles import Identity

OVERFLOW_V = 9e36
PULSE_WIDTH_S = (POINT_MIN_S, 10.0)
PULSE_MESSAGES = 4  # set up, start, state, off
PULSE_LATE_S = 0.5
POLL_S = 5e-3
BIAS_NPLC = 0.1  # of the voltage that comes with a bias


class ListSourceMeter(VisaDriver):
    """Pulse source, bias source and reader in one box; the two models differ in their commands only."""

    figures: Figures
    compliance_max_v: float
    pulse_width_s = PULSE_WIDTH_S
    list_query: str
    limited_bit: int
    list_columns: tuple[int, int]  # of status and time in what is fetched
    off_commands = (":ABOR", ":OUTP OFF", ":SOUR:CURR 0", ":SOUR:VOLT 0")

    def __init__(self, address: Any, **kwargs: Any):
        self.line_hz = 50.0
        self._current_max_a = 0.0
        self._compliance_v = self.figures.compliance_v[0]
        self._reader = (self.figures.voltage[0].full, 0.02)
        self._reads_remotely = False
        self._ready = False  # the box holds the settings of a bias
        self._bias_on = False
        self._level_a = 0.0
        super().__init__(address, **kwargs)
        self.sweep = ListSweep(self)

    # ---- what a model says ---------------------------------------------------------------------------

    def bias_setup(
        self, range_a: float, limit_v: float, range_v: float, nplc: float, remote: bool
    ) -> list[str]:
        """Commands for a direct current (A) with readings on one range (V); the output is off afterwards."""
        raise NotImplementedError

    def list_setup(self, setup: ListSetup) -> list[str]:
        """Commands that prepare a list; the output is off afterwards."""
        raise NotImplementedError

    def list_start(self, count: int, setup: ListSetup) -> list[str]:
        """Commands that start a list of `count` levels."""
        raise NotImplementedError

    def list_state(self, fields: list[str]) -> ListState:
        """The answer to `list_query`, cut at its semicolons."""
        raise NotImplementedError

    def list_fetch(self, count: int) -> str:
        """The message that asks for `count` readings: voltage, status and time in singles."""
        raise NotImplementedError

    def limit_query(self) -> str:
        """The query for being at the voltage limit."""
        raise NotImplementedError

    # ---- BiasSource -------------------------------------------------------------------------------

    def configure_bias(self, current_max_a: float, compliance_v: float) -> None:
        """Direct current up to current_max_a (A) on one fixed range, output off, into compliance_v (V)."""
        self._set_limits(current_max_a, compliance_v)
        self._reads_remotely = False
        self._apply()

    def set_bias_a(self, current_a: float) -> None:
        """Set the level (A); the output goes on with the first call after `configure_bias` or a pulse."""
        self.refuse_level(current_a)
        if not self._ready:
            self._apply()
        switch_on = "" if self._bias_on else ";:OUTP ON"
        self.write(f":SOUR:CURR {current_a:.9g}{switch_on}")
        self._level_a, self._bias_on = current_a, True

    def bias_off(self) -> None:
        """0 A and output off."""
        self.write(":SOUR:CURR 0;:OUTP OFF")
        self._bias_on = False

    def bias_voltage_v(self) -> float | None:
        """Voltage across the current line (V, nan: overflow); None while the meter is on the sense leads."""
        return None if self._reads_remotely else self._reading_v()

    def in_compliance(self) -> bool:
        """True while the source is at its voltage limit."""
        return self.number(self.limit_query()) != 0

    # ---- PulseSource ------------------------------------------------------------------------------

    def configure_pulse(self, current_max_a: float, compliance_v: float) -> None:
        """Pulses up to current_max_a (A) into compliance_v (V)."""
        self._set_limits(current_max_a, compliance_v)
        self._ready = False
        self.sweep.forget()
        self.bias_off()

    def pulse(self, amplitude_a: float, width_s: float) -> None:
        """One rectangular pulse, a list of this level and zero; back when it is over, output off."""
        self.refuse_level(amplitude_a)
        if not PULSE_WIDTH_S[0] * (1 - 1e-9) <= width_s <= PULSE_WIDTH_S[1]:
            raise BenchError(
                f"{self.name}: a pulse of {width_s:g} s is outside {PULSE_WIDTH_S[0]:g} to "
                f"{PULSE_WIDTH_S[1]:g} s"
            )
        self._ready = self._bias_on = False
        range_a = range_for(self.figures.current, self._current_max_a, self.name, "A").full
        range_v = range_for(self.figures.voltage, self._compliance_v, self.name, "V").full
        self.sweep.configure(ListSetup(range_a, self._compliance_v, range_v, NPLC[0], width_s))
        self.sweep.start([amplitude_a, 0.0])
        self._wait_for_pulse(2 * width_s)

    def pulse_s(self, width_s: float) -> float:
        """Time that `pulse` takes (s)."""
        return 2 * width_s + PULSE_MESSAGES * self.message_s

    def _wait_for_pulse(self, duration_s: float) -> None:
        self.clock.sleep(duration_s)
        end = self.clock.now() + PULSE_LATE_S
        while not (state := self.sweep.state()).over:
            if state.errors or self.clock.now() > end:
                self.sweep.raise_errors()
                self.make_safe()
                raise BenchError(f"{self.name}: a pulse did not end in time; its output was switched off")
            self.clock.sleep(POLL_S)
        self.bias_off()

    # ---- Reader -----------------------------------------------------------------------------------

    def configure_reader(self, range_v: float, integration_s: float) -> float:
        """Read at the remote sense leads, on a fixed range (V); returns the integration really used (s)."""
        nplc = self.nplc(integration_s)
        chosen = range_for(self.figures.voltage, range_v, self.name, "V").full
        wanted = (chosen, nplc / self.line_hz)
        if not (self._reads_remotely and wanted == self._reader and self._ready):
            self._reader, self._reads_remotely = wanted, True
            was_on = self._bias_on
            self._apply()
            if was_on:  # the output went off with the change
                self.set_bias_a(self._level_a)
        return wanted[1]

    def read_v(self) -> float:
        """One reading at the sense leads (V); nan on overload."""
        return self._reading_v()

    def reading_s(self, integration_s: float) -> float:
        """Time of one reading with its zero and reference (s)."""
        return 3 * integration_s + self.figures.reading_s

    def noise_v(self, range_v: float, integration_s: float) -> float:
        """Expected rms noise (V) from the sourced table in `_sourcemeter_tables`."""
        return noise_at(self.figures.noise, range_v, integration_s)

    def range_v(self, signal_v: float) -> float:
        """The smallest range (V) that holds the signal."""
        return range_for(self.figures.voltage, signal_v, self.name, "V").full

    # ---- lists (used by the players) ------------------------------------------------------------------

    def configure_list(self, setup: ListSetup, current_max_a: float) -> None:
        """Prepare lists with levels up to current_max_a (A), read at the sense leads."""
        self._set_limits(current_max_a, setup.limit_v)
        self._ready = self._bias_on = False
        self.sweep.configure(setup)

    def shortest_dwell_s(self, integration_s: float) -> float:
        """Shortest time of one level with this integration (s)."""
        return max(POINT_MIN_S, self.figures.point_s + DELAY_MIN_S + integration_s)

    def longest_aperture_s(self, dwell_s: float) -> float:
        """Longest integration that fits into a level of this time (s); not positive if none does."""
        return dwell_s - self.figures.point_s - DELAY_MIN_S

    def delay_s(self, setup: ListSetup) -> float:
        """Source delay that makes a level last setup.dwell_s."""
        return setup.dwell_s - self.figures.point_s - setup.nplc / self.line_hz

    def nplc(self, integration_s: float) -> float:
        """Integration in mains periods; BenchError outside what the box can do."""
        nplc = round(integration_s * self.line_hz, 4)
        if not NPLC[0] <= nplc <= NPLC[1]:
            raise BenchError(
                f"{self.name}: an integration of {integration_s:g} s is outside "
                f"{NPLC[0] / self.line_hz:g} to {NPLC[1] / self.line_hz:g} s"
            )
        return nplc

    def refuse_level(self, current_a: float) -> None:
        """BenchError above the limit in force."""
        refuse_above(current_a, self._current_max_a, self.name)

    # ---- Instrument, Output ----------------------------------------------------------------------

    def identify(self) -> Identity:
        """Who answers; learns the mains frequency as well."""
        identity = super().identify()
        if self.model_pattern in identity.model:
            self._check_language()
            self.line_hz = float(ask_through(self.link, ":SYST:LFR?"))
        return identity

    def _check_language(self) -> None:
        """BenchError where the box speaks another language than this driver."""

    def settings(self) -> dict[str, Any]:
        """Limits, reader and mains frequency."""
        return super().settings() | {
            "current_max_a": self._current_max_a,
            "compliance_v": self._compliance_v,
            "reader_range_v": self._reader[0],
            "reader_integration_s": self._reader[1],
            "line_hz": self.line_hz,
        }

    def forget(self) -> None:
        """Rely on nothing that was sent before."""
        self._ready = self._bias_on = False
        self.sweep.forget()

    def make_safe(self) -> Any:
        """Abort, level 0, output off, read back; never raises."""
        self.forget()
        return super().make_safe()

    def _still_on(self, link: Link) -> str:
        on, level = ask_through(link, ":OUTP?;:SOUR:CURR?").split(";")
        if on not in ("0", "OFF"):
            return "the output is still on"
        return "" if float(level) == 0 else f"the output is off but its level is {float(level):g} A"

    # ---- inside -----------------------------------------------------------------------------------

    def _apply(self) -> None:
        """Send all settings of a bias as one message."""
        range_a = range_for(self.figures.current, self._current_max_a, self.name, "A").full
        range_v, integration_s = self._reader
        if not self._reads_remotely:
            range_v = range_for(self.figures.voltage, self._compliance_v, self.name, "V").full
            integration_s = BIAS_NPLC / self.line_hz
        nplc = self.nplc(integration_s)
        self.write(
            ";".join(self.bias_setup(range_a, self._compliance_v, range_v, nplc, self._reads_remotely))
        )
        self.sweep.forget()
        self._ready, self._bias_on = True, False

    def _set_limits(self, current_max_a: float, compliance_v: float) -> None:
        low, high = self.figures.compliance_v
        if not low <= compliance_v <= high:
            raise BenchError(
                f"{self.name}: a compliance of {compliance_v:g} V is outside {low:g} to {high:g} V"
            )
        range_for(self.figures.current, current_max_a, self.name, "A")
        self._current_max_a, self._compliance_v = abs(current_max_a), compliance_v

    def _reading_v(self) -> float:
        value = self.number(":READ?")
        return math.nan if abs(value) > OVERFLOW_V else value
