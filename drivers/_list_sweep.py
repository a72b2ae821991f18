"""A list of current levels that a source-meter plays by itself, with one voltage reading for each level.

Every level lasts the same time: delay, integration and what the box needs for itself. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drivers._sourcemeter_tables import LIST_CHUNK, LIST_MAX
from hilab.errors import BenchError
from hilab.frames import FloatArray

if TYPE_CHECKING:
    from drivers._sourcemeter import ListSourceMeter

BoolArray = NDArray[np.bool_]
COMMANDS_A_MESSAGE = 8  # of 100 levels each: messages stay below 10 kB
OVERFLOW_V = 9e36
WRONG_DWELL = 0.2  # the box's own times may differ so much from the planned dwell


@dataclass(frozen=True)
class ListSetup:
    """Fixed settings of a load; ranges are full scales the instrument has, dwell_s the time of one level."""

    range_a: float
    limit_v: float
    range_v: float
    nplc: float
    dwell_s: float


@dataclass(frozen=True)
class ListState:
    """Readings taken so far, whether the list is over, and errors in the queue."""

    readings: int
    over: bool
    errors: int


@dataclass(frozen=True)
class ListData:
    """Of each level (n,): voltage (V, nan on overflow), source limited, time since the first one (s)."""

    voltage_v: FloatArray
    limited: BoolArray
    time_s: FloatArray


class ListSweep:
    """One at a time: configure, start, state until over, fetch; or stop."""

    def __init__(self, driver: ListSourceMeter):
        self._driver = driver
        self._setup: ListSetup | None = None

    def configure(self, setup: ListSetup) -> None:
        """Ranges and times of the next load; sent only where they changed. The output is off afterwards."""
        if setup != self._setup:
            self._driver.write(";".join(self._driver.list_setup(setup)))
            self._setup = setup

    def start(self, levels_a: Sequence[float]) -> None:
        """Upload the levels (A) and start."""
        if not 0 < len(levels_a) <= LIST_MAX:
            raise BenchError(f"{self._driver.name}: a list holds 1 to {LIST_MAX} levels, not {len(levels_a)}")
        if self._setup is None:
            raise BenchError(f"{self._driver.name}: a list was started without being configured")
        for level_a in (min(levels_a), max(levels_a)):
            self._driver.refuse_level(level_a)
        texts = [f"{level:.7g}" for level in levels_a]
        commands = [
            f":SOUR:LIST:CURR{':APP' if start else ''} {','.join(texts[start : start + LIST_CHUNK])}"
            for start in range(0, len(texts), LIST_CHUNK)
        ]
        commands += self._driver.list_start(len(texts), self._setup)
        for start in range(0, len(commands), COMMANDS_A_MESSAGE):
            self._driver.write(";".join(commands[start : start + COMMANDS_A_MESSAGE]))

    def state(self) -> ListState:
        """One status query."""
        answer = self._driver.ask(self._driver.list_query)
        try:
            return self._driver.list_state(answer.strip().split(";"))
        except (ValueError, IndexError):
            raise BenchError(
                f"{self._driver.name}: the state of a list came back as {answer[:60]!r}; "
                "another program may be speaking to it"
            ) from None

    def fetch(self, count: int) -> ListData:
        """Output off, and the first `count` readings as one binary block."""
        if count == 0:
            empty = np.empty(0)
            return ListData(empty, empty.astype(np.bool_), empty)
        link = self._driver.link
        with link.lock:
            self._driver.write(self._driver.list_fetch(count))
            table = np.frombuffer(link.read_block(12 * count), dtype="<f4").reshape(-1, 3)
        voltage = table[:, 0].astype(np.float64)
        voltage[np.abs(voltage) > OVERFLOW_V] = np.nan
        status, times = (table[:, column] for column in self._driver.list_columns)
        limited = (status.astype(np.int64) & self._driver.limited_bit) != 0
        return ListData(voltage, limited, times.astype(np.float64))

    def check_times(self, data: ListData) -> None:
        """BenchError if the box's own clock says that its levels did not last as planned."""
        if len(data.time_s) < 2 or self._setup is None:
            return
        dwell_s = float(np.median(np.diff(data.time_s)))
        if abs(dwell_s / self._setup.dwell_s - 1) > WRONG_DWELL:
            raise BenchError(
                f"{self._driver.name}: its levels lasted {dwell_s:.3g} s instead of "
                f"{self._setup.dwell_s:.3g} s: the point timing in drivers/_sourcemeter_tables.py is wrong"
            )

    def stop(self) -> None:
        """Abort, output off; what was measured can still be fetched."""
        self._driver.write(":ABOR;:SOUR:CURR 0;:OUTP OFF")

    def forget(self) -> None:
        """Somebody else changed the settings."""
        self._setup = None

    def raise_errors(self) -> None:
        """BenchError with what the instrument complains of, if it does; its output is off then."""
        errors = self._driver.check_errors()
        if errors:
            self._driver.make_safe()
            raise BenchError(f"{self._driver.name} stopped the list: {errors[0]}")
