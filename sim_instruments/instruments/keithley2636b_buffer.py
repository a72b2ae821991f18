"""Reading buffers of the 2636B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_instruments.instruments.keithley2636b_tables import BUFFER_FULL, BUFFER_PLAIN
from sim_instruments.tsp.errors import ParameterError, TspError
from sim_instruments.tsp.runtime import Attribute
from sim_instruments.world.contracts import FloatArray

COLUMNS = ("readings", "timestamps", "sourcevalues", "statuses")
FILL_ONCE, FILL_WINDOW = 0, 1


class ReadingBuffer:
    """Columns of equal length; times in s since the first reading. Full: drops the new ones, or the oldest
    with fill mode WINDOW."""

    def __init__(self, capacity: int | None = None):
        self._made = capacity
        self.settings = {
            "appendmode": 0,
            "collecttimestamps": 1,
            "collectsourcevalues": 0,
            "fillmode": FILL_ONCE,
        }
        if capacity is None:
            self.settings["collecttimestamps"] = 0
        self.clear()

    def clear(self) -> None:
        self._parts: list[tuple[FloatArray, FloatArray, FloatArray, FloatArray]] = []
        self._count = 0
        self.base_s = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        if self._made is not None:
            return self._made
        extras = self.settings["collecttimestamps"] + self.settings["collectsourcevalues"]
        return (BUFFER_PLAIN, (BUFFER_PLAIN + BUFFER_FULL) // 2, BUFFER_FULL)[extras]

    def append(
        self, values: FloatArray, times_s: FloatArray, sources: FloatArray, statuses: FloatArray
    ) -> None:
        """Store readings taken at times_s (the world's time)."""
        if not len(values):
            return
        if self._count == 0:
            self.base_s = float(times_s[0])
        part = (values, times_s - self.base_s, sources, statuses)
        room = self.capacity - self._count
        if len(values) > room and self.settings["fillmode"] == FILL_ONCE:
            part = tuple(column[:room] for column in part)  # type: ignore[assignment]
        self._parts.append(part)
        self._count += len(part[0])
        if self._count > self.capacity:
            self._set_columns([column[-self.capacity :] for column in self._columns()])

    def column(self, name: str) -> FloatArray:
        """(n,) readings, timestamps, sourcevalues or statuses."""
        if name in ("timestamps", "sourcevalues") and not self.settings[f"collect{name}"]:
            raise TspError(f"the buffer holds no {name}")
        return self._columns()[COLUMNS.index(name)]

    def _columns(self) -> tuple[FloatArray, ...]:
        if not self._parts:
            return (np.empty(0),) * 4
        if len(self._parts) > 1:
            self._set_columns([np.concatenate(columns) for columns in zip(*self._parts, strict=True)])
        return self._parts[0]

    def _set_columns(self, columns: list[FloatArray]) -> None:
        self._parts = [(columns[0], columns[1], columns[2], columns[3])]
        self._count = len(columns[0])

    # ---- for scripts ----

    def members(self) -> dict[Any, Any]:
        """The buffer's namespace, but for its columns."""
        return {
            "clear": lambda *_: self.clear(),
            "n": Attribute(lambda: self._count),
            "capacity": Attribute(lambda: self.capacity),
            "basetimestamp": Attribute(lambda: self.base_s),
            "timestampresolution": 1e-6,
            **{name: self._setting(name) for name in self.settings},
        }

    def _setting(self, name: str) -> Attribute:
        def change(value: Any) -> None:
            if isinstance(value, bool) or value not in (0, 1):
                raise ParameterError(
                    1102 if isinstance(value, (int, float)) and value > 1 else 1103, "Parameter out of range"
                )
            if self._count and name != "fillmode" and value != self.settings[name]:
                raise ParameterError(-221, "Settings conflict: the buffer is not empty")  # bench.md 2.5 [M]
            self.settings[name] = int(value)

        return Attribute(lambda: self.settings[name], change)

    def at(self, name: str, index: int) -> float | None:
        """Entry 1..n of a column; nil outside, as a table gives."""
        if not 1 <= index <= self._count:
            return None
        return float(self.column(name)[int(index) - 1])

    # ---- snapshot ----

    def snapshot(self) -> dict[str, Any]:
        return {
            "settings": dict(self.settings),
            "made": self._made,
            "base_s": self.base_s,
            "columns": [np.array(column) for column in self._columns()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._made = state["made"]
        self.settings = dict(state["settings"])
        self._set_columns(list(state["columns"]))
        self.base_s = float(state["base_s"])
