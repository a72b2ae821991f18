"""Keithley 2450 SourceMeter in its SCPI mode: direct current, pulses and lists from the force leads, readings
at the remote sense leads.

Command set and traps: bench notes 2.4 (2450 reference manual 3-28, 6-78, 6-109).
"""

from __future__ import annotations

from pymeasure.instruments.keithley import Keithley2450 as StockKeithley2450

from drivers._link import ask_through
from drivers._list_sweep import ListSetup, ListState
from drivers._sourcemeter import ListSourceMeter
from drivers._sourcemeter_tables import KEITHLEY_2450
from hilab.errors import BenchError

BUFFER = '"defbuffer1"'


class Keithley2450(ListSourceMeter, StockKeithley2450):
    """Driver `keithley2450`: pulse source, bias source and reader in one box.

    Over PyMeasure's class: lists in few long messages, binary read-out of the reading buffer (the stock
    buffer commands belong to the 2400 and are refused by a 2450), limits before every byte.
    """

    model_pattern = "2450"
    figures = KEITHLEY_2450
    compliance_max_v = KEITHLEY_2450.compliance_v[1]
    list_query = ":TRIG:STAT?;:TRAC:ACT?;:SYST:ERR:COUN?"
    limited_bit = 32  # STAT_LIMIT of the source status [M]
    list_columns = (1, 2)

    def bias_setup(
        self, range_a: float, limit_v: float, range_v: float, nplc: float, remote: bool
    ) -> list[str]:
        """Direct current with readings on one fixed range."""
        return [
            *self._common(range_a, limit_v, range_v, nplc, remote),
            ":SENS:VOLT:AZER ON", ":SENS:COUN 1", ":FORM:DATA ASC", ":SOUR:CURR:DEL 0",
        ]  # fmt: skip

    def list_setup(self, setup: ListSetup) -> list[str]:
        """A list without zeroes between its readings."""
        return [
            *self._common(setup.range_a, setup.limit_v, setup.range_v, setup.nplc, remote=True),
            ":SENS:VOLT:AZER OFF", ":SENS:AZER:ONCE", ":FORM:DATA SRE", ":FORM:BORD SWAP",
        ]  # fmt: skip

    def list_start(self, count: int, setup: ListSetup) -> list[str]:
        """The sweep switches the output on and, after its last level, off."""
        return [f":SOUR:SWE:CURR:LIST 1,{self.delay_s(setup):.9g},1,OFF,{BUFFER}", ":INIT"]

    def list_state(self, fields: list[str]) -> ListState:
        """State of the trigger model, readings in the buffer, errors in the queue."""
        return ListState(int(fields[3]), fields[0].strip() not in ("RUNNING", "WAITING"), int(fields[4]))

    def list_fetch(self, count: int) -> str:
        """Reading, source status and relative time."""
        return f":TRAC:DATA? 1,{count},{BUFFER},READ,SOURSTAT,REL"

    def limit_query(self) -> str:
        """The voltage limit."""
        return ":SOUR:CURR:VLIM:TRIP?"

    def _check_language(self) -> None:
        language = ask_through(self.link, "*LANG?")
        if language != "SCPI":
            raise BenchError(
                f"{self.name} speaks {language}, the driver SCPI: send '*LANG SCPI' (or choose SCPI in its "
                "menu under System, Settings) and switch it off and on"
            )

    @staticmethod
    def _common(range_a: float, limit_v: float, range_v: float, nplc: float, remote: bool) -> list[str]:
        return [
            ":OUTP OFF", ":SOUR:FUNC CURR", f":SOUR:CURR:RANG {range_a:.6g}", ":SOUR:CURR 0",
            f":SOUR:CURR:VLIM {limit_v:.6g}", ":SOUR:CURR:READ:BACK OFF", ":SENS:FUNC 'VOLT'",
            f":SENS:VOLT:RSEN {'ON' if remote else 'OFF'}", f":SENS:VOLT:RANG {range_v:.6g}",
            f":SENS:VOLT:NPLC {nplc:.6g}",
        ]  # fmt: skip
