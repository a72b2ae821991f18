"""Buffers, formats and events of the DMM6500: everything that is asked for after the readings are made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sim_instruments.instruments.keithleydmm6500_buffers import PAST_CAPACITY, Buffer, Buffers
from sim_instruments.scpi.errors import TEXTS
from sim_instruments.scpi.instrument import (
    Choice,
    Number,
    ScpiError,
    ScpiInstrument,
    Text,
    command,
    query,
)
from sim_instruments.scpi.parameters import quote
from sim_instruments.world.contracts import FloatArray

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # bench time 0 on the box's calendar; chosen
BUFFER = Text(31)
SIZE = Number(0, 1e9, integer=True)
INDEX = Number(1, 1e9, integer=True)
ELEMENTS = Choice("READing", "RELative", "SEConds", "FRACtional", "STATus", "UNIT", "TSTamp", "FORMatted")
NUMERIC = ("READ", "REL", "SEC", "FRAC", "STAT")
FULL_EVENT, EMPTY_EVENT = 4918, 4917  # of STATus:OPERation:MAP; source: laboratory code [D]
ENDLESS = float("inf")


class ReadingMemory(ScpiInstrument):
    """The part of the DMM6500 that keeps and hands out readings. `run` is the running trigger model."""

    identity = ""
    run: dict[str, Any] | None
    buffers: Buffers
    full_bit: int

    def on_reset(self) -> None:
        self.run = None
        self.full_bit = 0  # OPERation bit that says a buffer is full; 0: none is mapped
        self.buffers = Buffers()

    def snapshot(self) -> dict[str, Any]:
        return super().snapshot() | {"buffers": self.buffers.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.buffers = Buffers.of(state["buffers"])

    def format_number(self, value: float) -> str:
        return f"{value:.{self.values['digits'] or 6}E}"

    def stop(self, how: str) -> None:
        """End the running model."""
        raise NotImplementedError

    def check_idle(self) -> None:
        """-221 while the trigger model runs; a single reading is given up instead."""
        if self.run is None:
            return
        if not self.run["single"]:
            raise ScpiError(-221, "Settings conflict; the trigger model is running")
        self.stop("IDLE")

    def store(self, name: str, readings: FloatArray, times_s: FloatArray) -> bool:
        """Put (n,) readings into a buffer; False if it is full and takes no more."""
        buffer = self.buffers[name]
        fits = buffer.add(readings, times_s)
        if not fits:
            self.error(PAST_CAPACITY, "Attempting to store past the capacity of the reading buffer")
        if self.full_bit and buffer.count(ENDLESS) >= buffer.size:
            self.operation.set(self.full_bit)
        return fits

    def empty(self, name: str) -> None:
        """Forget the readings of a buffer."""
        self.buffers[name].clear()
        self.operation.set(self.full_bit, False)

    # ---- buffers -------------------------------------------------------------------------------------

    @command("TRACe:MAKE", BUFFER, SIZE, Choice("STANdard", "COMPact", "FULL"), optional=1)
    def make_buffer(self, name: str, size: int, style: str = "STAN") -> None:
        self.buffers.make(name, size)

    @command("TRACe:DELete", BUFFER)
    def delete_buffer(self, name: str) -> None:
        self.check_idle()
        self.buffers.delete(name)

    @command("TRACe:POINts", SIZE, BUFFER, optional=1)
    def resize_buffer(self, size: int, name: str = "defbuffer1") -> None:
        self.check_idle()
        self.buffers.resize(name, size)

    @query("TRACe:POINts", BUFFER, optional=1)
    def buffer_size(self, name: str = "defbuffer1") -> int:
        return self.buffers[name].size

    @command("TRACe:CLEar", BUFFER, optional=1)
    def clear_buffer(self, name: str = "defbuffer1") -> None:
        self.empty(name)

    @command("TRACe:FILL:MODE", Choice("CONTinuous", "ONCE"), BUFFER, optional=1)
    def set_fill(self, mode: str, name: str = "defbuffer1") -> None:
        self.buffers[name].once = mode == "ONCE"

    @query("TRACe:FILL:MODE", BUFFER, optional=1)
    def get_fill(self, name: str = "defbuffer1") -> str:
        return "ONCE" if self.buffers[name].once else "CONT"

    @query("TRACe:ACTual", BUFFER, optional=1)
    @query("TRACe:ACTual:END", BUFFER, optional=1)
    def held(self, name: str = "defbuffer1") -> int:
        return self.buffers[name].count(self.world.now)

    @query("TRACe:ACTual:STARt", BUFFER, optional=1)
    def first_held(self, name: str = "defbuffer1") -> int:
        return min(1, self.held(name))

    @query(
        "TRACe:DATA",
        INDEX,
        INDEX,
        BUFFER,
        *[ELEMENTS] * 6,
        optional=7,
    )
    def buffer_data(self, first: int, last: int, name: str = "defbuffer1", *elements: str) -> bytes:
        if not first <= last <= self.held(name):
            raise ScpiError(-222, "Parameter data out of range; the buffer does not hold these readings")
        return self.listed(self.buffers[name], first, last, elements or ("READ",))

    @query("TRACe:STATistics:AVERage", BUFFER, optional=1)
    def average(self, name: str = "defbuffer1") -> float:
        return float(np.mean(self._all(name)))

    @query("TRACe:STATistics:STDDev", BUFFER, optional=1)
    def deviation(self, name: str = "defbuffer1") -> float:
        return float(np.std(self._all(name), ddof=1)) if self.held(name) > 1 else 0.0

    @query("TRACe:STATistics:MINimum", BUFFER, optional=1)
    def smallest(self, name: str = "defbuffer1") -> float:
        return float(np.min(self._all(name)))

    @query("TRACe:STATistics:MAXimum", BUFFER, optional=1)
    def largest(self, name: str = "defbuffer1") -> float:
        return float(np.max(self._all(name)))

    def _all(self, name: str) -> FloatArray:
        count = self.held(name)
        if not count:
            raise ScpiError(-230)
        return self.buffers[name].part(1, count)[0]

    def listed(self, buffer: Buffer, first: int, last: int, elements: Sequence[str]) -> bytes:
        """Readings first to last in the chosen format: text, or '#0' and singles or doubles."""
        values, times_s = buffer.part(first, last)
        columns: list[Any] = [self._column(name, values, times_s, buffer) for name in elements]
        if self.values["format"] == "ASC":
            texts = [
                column
                if isinstance(column, list)
                else [self.format_number(value) for value in column.tolist()]
                for column in columns
            ]
            return ",".join(text for row in zip(*texts, strict=True) for text in row).encode()
        if any(name not in NUMERIC for name in elements):
            raise ScpiError(-221, "Settings conflict; a text element in a binary format")
        kind = (">" if self.values["order"] == "NORM" else "<") + (
            "f4" if self.values["format"] == "SRE" else "f8"
        )
        table = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
        with np.errstate(over="ignore"):
            return b"#0" + table.astype(kind).tobytes()

    def _column(self, name: str, values: FloatArray, times_s: FloatArray, buffer: Buffer) -> Any:
        if name == "READ":
            return values
        if name == "REL":
            return times_s - buffer.part(1, 1)[1]
        if name in ("SEC", "FRAC"):
            return np.floor(times_s) if name == "SEC" else times_s % 1.0
        if name == "STAT":
            return np.where(np.abs(values) > 1e30, 8.0, 0.0)
        if name == "UNIT":
            return ["Volt DC"] * len(values)
        if name == "FORM":
            return [f"{value:.6g} V" for value in values.tolist()]
        stamps = [EPOCH + timedelta(seconds=time) for time in times_s.tolist()]
        return [stamp.strftime("%m/%d/%Y %H:%M:%S.%f") for stamp in stamps]

    # ---- events --------------------------------------------------------------------------------------

    def error(self, code: int, text: str = "") -> None:
        """Events carry their severity and the date."""
        entry = ScpiError(code, text)
        when = (EPOCH + timedelta(seconds=self.world.now)).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
        super().error(code, f"{entry.text};{2 if code == PAST_CAPACITY else 1};{when}")

    @query("SYSTem:ERRor[:NEXT]")
    @query("SYSTem:EVENtlog:NEXT")
    @query("STATus:QUEue[:NEXT]")
    def _next_error(self) -> str:
        """The oldest event: code, then text, severity and date in one string."""
        code, text = self.errors.take()
        return f"{code},{quote(text if code and text != TEXTS.get(code) else f'{text};0;0 0')}"

    @query("SYSTem:ERRor:COUNt")
    @query("SYSTem:EVENtlog:COUNt")
    def count_events(self) -> int:
        return len(self.errors)

    @command("STATus:CLEar")
    def clear_status(self) -> None:
        for register in self._registers().values():
            register.event = 0

    @command("STATus:OPERation:MAP", Number(0, 14, integer=True), INDEX, INDEX)
    def map_event(self, bit: int, sets: int, clears: int) -> None:
        """Which event sets and which one clears a bit; only the full buffer is simulated."""
        if (sets, clears) != (FULL_EVENT, EMPTY_EVENT):
            raise ScpiError(-224, "Illegal parameter value; only the events 4918 and 4917 are simulated")
        self.full_bit = 1 << bit
