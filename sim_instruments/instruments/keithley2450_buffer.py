"""Reading buffers of a 2450: what they hold, and how the elements of a reading are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sim_instruments.scpi.errors import ScpiError
from sim_instruments.world.contracts import FloatArray

POWER_ON = datetime(2026, 1, 1, 8, 0, 0, tzinfo=UTC)  # what the box's calendar says at the bench's time 0
COLUMNS = ("READ", "SOUR", "ABS", "STAT", "SOURSTAT", "FUNC", "SOURFUNC")  # ABS: time of the bench (s)
FUNCTIONS = ("VOLT", "CURR", "RES")
UNITS = ("Volt DC", "Amp DC", "Ohm")
NUMERIC = ("READ", "SOUR", "REL", "SEC", "FRAC", "STAT", "SOURSTAT")
ELEMENTS = (*NUMERIC, "DATE", "TIME", "TST", "FORM", "SOURFORM", "UNIT", "SOURUNIT")
ELEMENTS_MAX = 14  # of one answer; source: bench.md 2.4 [M]
DEFAULT_SIZE = 100_000  # of defbuffer1 and defbuffer2; source: bench.md 2.4


class ReadingBuffer:
    """Readings in order. ONCE refuses more than `size`, CONT overwrites the oldest."""

    def __init__(self, size: int = DEFAULT_SIZE, style: str = "STAN", fill: str = "CONT"):
        self.size, self.style, self.fill = size, style, fill
        self.clear()

    def clear(self) -> None:
        self._parts: list[FloatArray] = []
        self.count = 0

    def add(self, rows: FloatArray) -> None:
        """Take (n, 7) readings."""
        if self.fill == "ONCE":
            rows = rows[: self.size - self.count]
        if len(rows):
            self._parts.append(rows)
            self.count += len(rows)
        if self.count > self.size:
            self._parts = [self.rows()[-self.size :]]
            self.count = self.size

    def rows(self) -> FloatArray:
        """(n, 7) all readings."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.empty((0, len(COLUMNS))), *self._parts])]
        return self._parts[0]

    def state(self) -> dict[str, Any]:
        return {"size": self.size, "style": self.style, "fill": self.fill, "rows": self.rows().copy()}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> ReadingBuffer:
        made = cls(int(state["size"]), str(state["style"]), str(state["fill"]))
        rows = np.array(state["rows"], dtype=float)
        made._parts, made.count = [rows], len(rows)
        return made


def sent(rows: FloatArray, first_s: float, elements: Sequence[str], data_format: str, swapped: bool) -> bytes:
    """Readings as an answer: text, or an indefinite block. -221 for text elements in a block."""
    if data_format != "ASC":
        if any(name not in NUMERIC for name in elements):
            raise ScpiError(-221)
        values = np.column_stack([_numeric(rows, first_s, name) for name in elements])
        return (
            b"#0"
            + values.astype(("<" if swapped else ">") + ("f8" if data_format == "REAL" else "f4")).tobytes()
        )
    if all(name in NUMERIC for name in elements):
        values = np.column_stack([_numeric(rows, first_s, name) for name in elements])
        row = ",".join("%.0f" if name in ("STAT", "SOURSTAT", "SEC") else "%.6E" for name in elements)
        return (",".join([row] * len(rows)) % tuple(values.ravel().tolist())).encode()
    columns = [_texts(rows, first_s, name) for name in elements]
    return ",".join(",".join(row) for row in zip(*columns, strict=True)).encode()


def _numeric(rows: FloatArray, first_s: float, name: str) -> FloatArray:
    times = rows[:, COLUMNS.index("ABS")]
    if name == "REL":
        return np.asarray(times - first_s)
    if name in ("SEC", "FRAC"):
        whole = np.floor(times)
        return np.asarray(whole + POWER_ON.timestamp() if name == "SEC" else times - whole)
    return np.asarray(rows[:, COLUMNS.index(name)])


def _texts(rows: FloatArray, first_s: float, name: str) -> list[str]:
    if name in NUMERIC:
        return [f"{value:.6E}" for value in _numeric(rows, first_s, name)]
    if name in ("DATE", "TIME", "TST"):
        return [_calendar(float(time), name) for time in rows[:, COLUMNS.index("ABS")]]
    source = name.startswith("SOUR")
    value = rows[:, COLUMNS.index("SOUR" if source else "READ")]
    kinds = rows[:, COLUMNS.index("SOURFUNC" if source else "FUNC")].astype(np.int64)
    units = [UNITS[kind] for kind in kinds]
    return units if name.endswith("UNIT") else [f"{v:+.6E} {u}" for v, u in zip(value, units, strict=True)]


def calendar(time_s: float) -> datetime:
    """The box's clock at a time of the bench."""
    return POWER_ON + timedelta(seconds=time_s)


def _calendar(time_s: float, name: str) -> str:
    when = calendar(time_s)
    forms = {"DATE": "%m/%d/%Y", "TIME": "%H:%M:%S.%f", "TST": "%m/%d/%Y %H:%M:%S.%f"}
    return when.strftime(forms[name])
