"""Keithley 2400 SourceMeter: direct current, pulses and lists from the force leads, readings at the remote
sense leads.

Command set and traps: bench notes 2.3 (2400 user manual 9-5, 18-18, 18-91, 18-115).
"""

from __future__ import annotations

from pymeasure.instruments import Instrument
from pymeasure.instruments.keithley import Keithley2400 as StockKeithley2400

from drivers._list_sweep import ListSetup, ListState
from drivers._sourcemeter import ListSourceMeter
from drivers._sourcemeter_tables import KEITHLEY_2400

IDLE = 1024  # bit 10 of the operation condition register [R]


class Keithley2400(ListSourceMeter, StockKeithley2400):
    """Driver `keithley2400`: pulse source, bias source and reader in one box.

    Over PyMeasure's class: a silent constructor, lists in few long messages, binary read-out of the trace
    buffer, limits before every byte.
    """

    model_pattern = "2400"
    figures = KEITHLEY_2400
    compliance_max_v = KEITHLEY_2400.compliance_v[1]
    list_query = ":STAT:OPER:COND?;:TRAC:POIN:ACT?"
    limited_bit = 8  # of the STATus word
    list_columns = (2, 1)

    def _start(self, name: str) -> None:
        Instrument.__init__(
            self, self.link, name, includeSCPI=False
        )  # the stock constructor talks to the box

    def bias_setup(
        self, range_a: float, limit_v: float, range_v: float, nplc: float, remote: bool
    ) -> list[str]:
        """Direct current with readings on one fixed range."""
        return [
            *self._common(range_a, limit_v, range_v, nplc, remote),
            ":SOUR:CURR:MODE FIX", ":SOUR:DEL 0", ":ARM:COUN 1", ":TRIG:COUN 1", ":SYST:AZER ON",
            ":FORM:DATA ASC", ":FORM:ELEM VOLT",
        ]  # fmt: skip

    def list_setup(self, setup: ListSetup) -> list[str]:
        """A list without zeroes between its readings."""
        return [
            *self._common(setup.range_a, setup.limit_v, setup.range_v, setup.nplc, remote=True),
            ":SOUR:CURR:MODE LIST", ":SOUR:SWE:RANG FIX", f":SOUR:DEL {self.delay_s(setup):.6f}",
            ":SYST:AZER ONCE", ":FORM:DATA REAL,32", ":FORM:BORD SWAP", ":FORM:ELEM VOLT,TIME,STAT",
        ]  # fmt: skip

    def list_start(self, count: int, setup: ListSetup) -> list[str]:
        """The output goes on at the list's beginning; it stays at the last level until `list_fetch`."""
        return [
            ":ARM:COUN 1", f":TRIG:COUN {count}", ":TRAC:FEED:CONT NEV", ":TRAC:TST:FORM ABS", ":TRAC:CLE",
            f":TRAC:POIN {count}", ":TRAC:FEED SENS", ":TRAC:FEED:CONT NEXT", ":OUTP ON", ":INIT",
        ]  # fmt: skip

    def list_state(self, fields: list[str]) -> ListState:
        """Idle or not, and readings in the trace buffer."""
        return ListState(int(fields[1]), bool(int(fields[0]) & IDLE), 0)

    def list_fetch(self, count: int) -> str:
        """Output off; voltage, time and status, in the order in which the box sends them."""
        return ":OUTP OFF;:TRAC:DATA?"

    def limit_query(self) -> str:
        """The voltage limit."""
        return ":SENS:VOLT:PROT:TRIP?"

    @staticmethod
    def _common(range_a: float, limit_v: float, range_v: float, nplc: float, remote: bool) -> list[str]:
        return [
            ":OUTP OFF", ":SOUR:FUNC CURR", f":SOUR:CURR:RANG {range_a:.6g}", ":SOUR:CURR 0",
            ":SENS:FUNC:CONC OFF", ":SENS:FUNC 'VOLT'", f":SENS:VOLT:PROT {limit_v:.6g}",
            f":SENS:VOLT:RANG {range_v:.6g}", f":SENS:VOLT:NPLC {nplc:.6g}", ":SOUR:CLE:AUTO OFF",
            ":TRIG:DEL 0", f":SYST:RSEN {'ON' if remote else 'OFF'}",
        ]  # fmt: skip
