"""The reading buffer of a 6221: what is stored, and how it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_instruments.scpi.instrument import ScpiError
from sim_instruments.world.contracts import FloatArray

CAPACITY = 65_536
OVERFLOW = 9.9e37
ELEMENTS = ("READ", "TST", "UNIT", "RNUM", "SOUR", "COMP", "AVOL")
_NUMERIC = ("READ", "TST", "RNUM", "SOUR", "COMP", "AVOL")  # columns of the stored rows


def as_elements(words: list[str]) -> list[str]:
    """The elements that a FORMat:ELEMents command asks for, in the order in which they are sent."""
    if words == ["ALL"]:
        return list(ELEMENTS)
    if words == ["DEF"]:
        return ["READ", "TST"]
    if not words or "ALL" in words or "DEF" in words:
        raise ScpiError(-224)
    return [element for element in ELEMENTS if element in words]


def as_bytes(rows: FloatArray, elements: list[str], unit: str, data_format: str, order: str) -> bytes:
    """Rows as they are sent: text, or an indefinite block of singles or doubles."""
    values = rows[:, [_NUMERIC.index(element) for element in elements if element != "UNIT"]]
    if data_format != "ASC":
        kind = "f8" if data_format in ("DRE", "REAL64") else "f4"
        return b"#0" + values.astype((">" if order == "NORM" else "<") + kind).tobytes()
    formats = {"UNIT": unit, "RNUM": "%+.0f", "COMP": "%.0f"}
    row = ",".join(formats.get(element, "%+.6E") for element in elements)
    text = ",".join([row] * len(values)) % tuple(values.ravel().tolist())
    return text.replace("+9.900000E+37", "+9.9E37").encode()


class TraceBuffer:
    """Readings of the programme that runs: the last one, and up to `points` stored ones.

    A row holds reading, time since power-on (s), number, source (A), compliance, average voltage (V).
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._rows: list[FloatArray] = []
        self.stored = 0
        self.made = 0
        self.latest = np.empty((0, len(_NUMERIC)))

    def add(
        self,
        reading: FloatArray,
        time_s: FloatArray,
        source_a: FloatArray,
        compliance: Any,
        average_v: FloatArray,
        room: int,
    ) -> None:
        """Take (n,) readings; the first `room` of them are stored."""
        numbers = np.arange(self.made + 1, self.made + 1 + len(reading))
        new = np.column_stack([reading, time_s, numbers, source_a, compliance, average_v])
        self.made += len(new)
        self.latest = new[-1:]
        if room > 0:
            self._rows.append(new[:room])
            self.stored += len(self._rows[-1])

    def rows(self, time_format: str, start: int = 0, count: int = CAPACITY) -> FloatArray:
        """Stored rows; times from the first reading on (ABS) or between readings (DELT). -230 if empty."""
        if not self.stored:
            raise ScpiError(-230)
        if len(self._rows) > 1:
            self._rows = [np.concatenate(self._rows)]
        result = self._rows[0][start : start + count].copy()
        times = self._rows[0][:, 1]
        if time_format == "ABS":
            result[:, 1] -= times[0]
        else:
            result[:, 1] -= times[np.maximum(np.arange(start, start + len(result)) - 1, 0)]
        return result

    def state(self) -> dict[str, Any]:
        rows = np.concatenate(self._rows) if self._rows else np.empty((0, len(_NUMERIC)))
        return {"rows": rows, "made": self.made, "latest": self.latest.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        rows = np.array(state["rows"], dtype=float)
        self._rows = [rows] if len(rows) else []
        self.stored, self.made = len(rows), int(state["made"])
        self.latest = np.array(state["latest"], dtype=float)
