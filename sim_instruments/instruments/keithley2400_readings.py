"""Readings of a 2400: READ?, FETCh?, MEASure?, the TRACe and CALCulate3 subsystems, and FORMat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sim_instruments.instruments.sourcemeter import Points, SourceMeter
from sim_instruments.instruments.sourcemeter_tables import LIST_LENGTH, NOT_A_NUMBER, OVERFLOW
from sim_instruments.scpi.instrument import Choice, Later, Number, ScpiError, command, query
from sim_instruments.world.contracts import FloatArray

ELEMENTS = ("VOLT", "CURR", "RES", "TIME", "STAT")
_ELEMENT = Choice("VOLTage", "CURRent", "RESistance", "TIME", "STATus")
# STATUS word; bit 3 is compliance: bench.md 2.3 [R], the others: user manual section 18 [R]
OVERFLOWED, FILTERED, FRONT, LIMITED = 1, 2, 4, 8
MEASURES = {"VOLT": 1 << 11, "CURR": 1 << 12, "RES": 1 << 13}
SOURCES = {"VOLT": 1 << 14, "CURR": 1 << 15}
# MEASUREMENT register; bit 9 buffer full: PyMeasure's KeithleyBuffer, the others: manual section 15 [R]
READING, READING_OVERFLOW, BUFFER_AVAILABLE, BUFFER_FULL, IN_COMPLIANCE = 64, 128, 256, 512, 16384
STORING = (800, "Illegal with storage active")


def numbers(values: FloatArray) -> bytes:
    """Numbers as text."""
    return (",".join(["%+.6E"] * len(values)) % tuple(values.tolist())).encode()


class Readings(SourceMeter):
    """A memory of 2500 readings that READ? fills, and the trace buffer, which *RST leaves alone."""

    state: ClassVar[tuple[str, ...]] = ("senses", "elements", "data_format", "latest", "trace", "waiting")
    waiting = False  # for an arm event

    def reset_readings(self) -> None:
        self.senses = ["CURR"]
        self.elements = list(ELEMENTS)
        self.data_format = "ASC"
        self.forget_latest()

    def forget_latest(self) -> None:
        """A new run fills the memory of READ? from its beginning."""
        self.latest = np.empty((0, len(ELEMENTS)))

    def forget_trace(self) -> None:
        """What switching on leaves in the trace buffer."""
        self.trace = np.empty((0, len(ELEMENTS)))

    def initiate(self) -> None:
        """Start the trigger model."""
        raise NotImplementedError

    # ---- readings -----------------------------------------------------------------------------------------

    def take(self, points: Points) -> None:
        rows = self._rows(points)
        self.latest = np.concatenate([self.latest, rows])[-LIST_LENGTH:]
        self.measurement.latch(READING)
        if (rows[:, 4].astype(np.int64) & OVERFLOWED).any():
            self.measurement.latch(READING_OVERFLOW)
        if self.values["feeding"] == "NEXT":
            room = int(self.values["trace_points"]) - len(self.trace)
            self.trace = np.concatenate([self.trace, rows[:room]])
            self._mark_fill()

    def _rows(self, points: Points) -> FloatArray:
        """(n, 5) voltage, current, resistance, time, status."""
        count = len(points.level)
        rows = np.full((count, len(ELEMENTS)), NOT_A_NUMBER)
        rows[:, 0 if self.sources_voltage else 1] = points.level
        over = np.zeros(count, dtype=np.bool_)
        status = FRONT if self.values["terminals"] == "FRON" else 0
        status |= SOURCES["VOLT" if self.sources_voltage else "CURR"]
        for column, name in enumerate(("VOLT", "CURR", "RES")):
            if name in self.senses:
                rows[:, column] = self.read(name, points)
                over |= rows[:, column] == OVERFLOW
                status |= MEASURES[name]
        rows[:, 3] = points.over_s - self.clock_zero_s
        rows[:, 4] = status + LIMITED * points.limited + OVERFLOWED * over
        return rows

    def _mark_fill(self) -> None:
        full = len(self.trace) >= self.values["trace_points"]
        self.measurement.set(BUFFER_AVAILABLE, len(self.trace) >= 2)
        self.measurement.set(BUFFER_FULL, full)
        if full:
            self.values["feeding"] = "NEV"

    @query("READ")
    def read_now(self) -> Later:
        self.initiate()
        if self.waiting:
            return Later(float(np.inf), "fetched")
        self.busy_for(self.figures.answer_s)
        return Later(self.operation_end_s(), "fetched")

    def fetched(self) -> bytes:
        """What READ? took."""
        return self._as_bytes(self.latest)

    @query("FETCh")
    @query("SENSe<1>:DATA")
    def fetch(self) -> bytes:
        if not len(self.latest):
            raise ScpiError(-230)
        return self._as_bytes(self.latest)

    @query("SENSe<1>:DATA:LATest")
    def get_latest(self) -> bytes:
        if not len(self.latest):
            raise ScpiError(-230)
        return self._as_bytes(self.latest[-1:])

    def _measure(self, name: str) -> Later:
        self.values["arm_count"] = self.values["trigger_count"] = 1
        self.values["arm_source"] = self.values["trigger_source"] = "IMM"
        self.senses = [name] if not self.values["concurrent"] else sorted({*self.senses, name})
        if not self.values["output"]:
            self.values["output"] = True
            self.hold()
        return self.read_now()

    @query("MEASure")
    def measure(self) -> Later:
        return self.read_now()

    @query("MEASure:VOLTage[:DC]")
    def measure_voltage(self) -> Later:
        return self._measure("VOLT")

    @query("MEASure:CURRent[:DC]")
    def measure_current(self) -> Later:
        return self._measure("CURR")

    @query("MEASure:RESistance")
    def measure_resistance(self) -> Later:
        return self._measure("RES")

    # ---- TRACe, CALCulate3, FORMat ------------------------------------------------------------------------

    def refuse_while_storing(self) -> None:
        if self.values["feeding"] == "NEXT":
            raise ScpiError(*STORING)

    def resize_trace(self) -> None:
        self.refuse_while_storing()
        self.trace = np.empty((0, len(ELEMENTS)))

    def start_feed(self) -> None:
        if self.values["feeding"] == "NEXT":
            self.trace = np.empty((0, len(ELEMENTS)))
            self.measurement.set(BUFFER_FULL | BUFFER_AVAILABLE, False)

    @command("TRACe:CLEar")
    def clear_trace(self) -> None:
        self.refuse_while_storing()
        self.trace = np.empty((0, len(ELEMENTS)))
        self.measurement.set(BUFFER_FULL | BUFFER_AVAILABLE, False)

    @query("TRACe:POINts:ACTual")
    def trace_actual(self) -> int:
        return len(self.trace)

    @query("TRACe:FREE")
    def trace_free(self) -> str:
        return f"{24 * (self.values['trace_points'] - len(self.trace))},{24 * len(self.trace)}"

    @query("TRACe:DATA")
    def trace_data(self) -> bytes:
        if not len(self.trace):
            raise ScpiError(-230)
        rows = self.trace.copy()
        times = rows[:, 3]
        rows[:, 3] = (
            times - times[0] if self.values["time_format"] == "ABS" else np.diff(times, prepend=times[0])
        )
        return self._as_bytes(rows)

    @query("CALCulate3:DATA")
    def statistics(self) -> bytes:
        """Voltage, current and resistance of the readings in the trace buffer."""
        if not len(self.trace):
            raise ScpiError(-230)
        data = self.trace[:, :3]
        ways = {
            "MEAN": data.mean(axis=0), "SDEV": data.std(axis=0), "MAX": data.max(axis=0),
            "MIN": data.min(axis=0), "PKPK": np.ptp(data, axis=0),
        }  # fmt: skip
        measured = (np.abs(data) < OVERFLOW).all(axis=0)
        chosen = np.where(measured, ways[self.values["statistic"]], NOT_A_NUMBER)
        return numbers(chosen[[column for column in range(3) if ELEMENTS[column] in self.elements]])

    @command("FORMat:ELEMents[:SENSe<1>]", *[_ELEMENT] * 5, optional=4)
    def set_elements(self, *names: str) -> None:
        self.elements = [name for name in ELEMENTS if name in names]

    @query("FORMat:ELEMents[:SENSe<1>]")
    def get_elements(self) -> str:
        return ",".join(self.elements)

    @command("FORMat[:DATA]", Choice("ASCii", "REAL", "SREal"), Number(32, 32, integer=True), optional=1)
    def set_format(self, name: str, bits: int = 32) -> None:
        self.data_format = "ASC" if name == "ASC" else "REAL"

    @query("FORMat[:DATA]")
    def get_format(self) -> str:
        return "ASC" if self.data_format == "ASC" else "REAL,32"

    def _as_bytes(self, rows: FloatArray) -> bytes:
        chosen = rows[:, [ELEMENTS.index(name) for name in self.elements]]
        if self.data_format == "ASC":
            return numbers(chosen.ravel())
        return b"#0" + chosen.astype(">f4" if self.values["order"] == "NORM" else "<f4").tobytes()
