"""The host's side of `keithley2636b_frames.lua`: upload, start, watch, fetch and stop a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilab.errors import BenchError
from hilab.frames import FloatArray, IntArray

if TYPE_CHECKING:
    from drivers.keithley2636b import Keithley2636B

BoolArray = NDArray[np.bool_]

SCRIPT = "keithley2636b_frames.lua"
VERSION = 2  # of the script
NUMBERS_A_MESSAGE = 1_500  # keeps a line below 12 kB
COMPLIANCE_BIT = 0x40  # of a buffer status [M 2600B reference, buffer statuses]
OVERFLOW_V = 9e36  # readings of 9.91e37 mean overflow


@dataclass(frozen=True)
class Setup:
    """Fixed settings of a load; ranges are full scales the instrument has."""

    range_a: float
    limit_v: float
    range_v: float
    nplc: float


@dataclass(frozen=True)
class FrameTimes:
    """Times (s) of one frame, see h_times in the script."""

    intervals_s: tuple[float, ...]
    widths_s: tuple[float, ...]
    first_read_s: float
    between_reads_s: tuple[float, ...]
    check_s: float


@dataclass(frozen=True)
class SweepState:
    """Pulses played and readings taken so far, errors in the queue."""

    pulses: int
    readings: int
    errors: int


@dataclass(frozen=True)
class SweepData:
    """Readings (V, nan where the range overflowed) and the compliance seen in readings and pulses."""

    voltage_v: FloatArray
    reading_compliance: BoolArray
    pulse_compliance: BoolArray


class FrameSweep:
    """One at a time: configure, upload, start, state until done, fetch; or stop."""

    def __init__(self, driver: Keithley2636B):
        self._driver = driver
        self._loaded = False
        self._load = 0
        self._setup: Setup | None = None
        self._times: FrameTimes | None = None

    def configure(self, setup: Setup, times: FrameTimes) -> None:
        """Ranges and times of the next load; sends only what changed."""
        self._load_script()
        if setup != self._setup:
            limit_b = max(1.0, setup.range_v)
            self._driver.write(
                f"h_setup({setup.range_a:.6g},{setup.limit_v:.6g},{setup.range_v:.6g},{setup.nplc:.6g},{limit_b:.6g})"
            )
            self._setup = setup
        if times != self._times:
            self._driver.write(
                f"h_times({_table(times.intervals_s)},{_table(times.widths_s)},{times.first_read_s:.9g},"
                f"{_table(times.between_reads_s)},{times.check_s:.9g})"
            )
            self._times = times

    def start_writes(
        self,
        unit_a: float,
        before: Sequence[int],
        writes: IntArray,
        after: Sequence[int],
        readings: int,
        line: int = 0,
    ) -> None:
        """Upload frames that differ in their write level only (all in digits of unit_a) and start.

        With a digital line (1 to 14) smub does not read: an edge goes out on the line for each reading.
        """
        self._start(f"h_new({unit_a:.6g},{_digits(before)},{_digits(after)})", "h_w", writes, readings, line)

    def start_levels(self, unit_a: float, levels: IntArray, readings: int, line: int = 0) -> None:
        """Upload every level (in digits of unit_a) and start; line as in `start_writes`."""
        self._start(f"h_new({unit_a:.6g},{{}},{{}})", "h_l", levels, readings, line)

    def state(self) -> SweepState:
        """One status query. A load that never started counts as nothing played, whatever the buffers hold."""
        fields = self._driver.ask("h_state()").split()
        try:
            load, pulses, readings, errors = (int(float(field)) for field in fields)
        except ValueError:
            raise BenchError(
                f"{self._driver.name}: the state of a sweep came back as {' '.join(fields)[:60]!r}; "
                "another program may be speaking to it"
            ) from None
        return SweepState(pulses, readings, errors) if load == self._load else SweepState(0, 0, errors)

    def fetch(self, state: SweepState) -> SweepData:
        """Outputs off and everything measured, as binary blocks."""
        link = self._driver.link
        empty = np.empty(0)
        if state.pulses == 0 and state.readings == 0:
            return SweepData(empty, empty.astype(np.bool_), empty.astype(np.bool_))
        with link.lock:
            link.write("h_get()")
            pairs = link.read_block(8 * state.readings) if state.readings else b""
            statuses = link.read_block(4 * state.pulses)
        table = np.frombuffer(pairs, dtype="<f4").reshape(-1, 2)
        voltage = table[:, 0].astype(np.float64)
        voltage[np.abs(voltage) > OVERFLOW_V] = np.nan
        return SweepData(voltage, _in_compliance(table[:, 1]), _in_compliance(np.frombuffer(statuses, "<f4")))

    def stop(self) -> None:
        """Abort the sweep, outputs off; what was measured can still be fetched."""
        self._driver.write("h_stop()")
        self.forget()

    def forget(self) -> None:
        """Nothing is known any more of ranges and timers (somebody else used the channels)."""
        self._setup = None
        self._times = None

    def raise_errors(self) -> None:
        """BenchError with what the instrument complains of, if it does."""
        errors = self._driver.check_errors()
        if errors:
            self.forget()
            self._driver.make_safe()
            raise BenchError(
                f"{self._driver.name} stopped the sweep: {errors[0]}"
                + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")
            )

    def _start(self, new: str, append: str, numbers: IntArray, readings: int, line: int) -> None:
        digits = numbers.tolist()
        lines = [
            f"{append}({_digits(digits[i : i + NUMBERS_A_MESSAGE])})"
            for i in range(0, len(digits), NUMBERS_A_MESSAGE)
        ]
        lines[0] = f"{new} {lines[0]}"
        self._load += 1
        lines[-1] += f" h_run({readings},{self._load},{line})"
        for text in lines:
            self._driver.write(text)

    def _load_script(self) -> None:
        if self._loaded:
            return
        for chunk in script_chunks():
            self._driver.write(chunk)
        version = self._driver.ask("print(hilab_version)").strip()
        if version == "nil" or float(version) != VERSION:
            errors = "; ".join(self._driver.check_errors())
            raise BenchError(f"{self._driver.name} did not take {SCRIPT}: {errors}")
        self._loaded = True


def script_chunks() -> list[str]:
    """The script as messages: each block between blank lines is a complete statement and fits on one line."""
    text = resources.files("drivers").joinpath(SCRIPT).read_text(encoding="utf-8")
    blocks = [
        [line.strip() for line in block.splitlines() if line.strip() and not line.lstrip().startswith("--")]
        for block in text.split("\n\n")
    ]
    return [" ".join(block) for block in blocks if block]


def _in_compliance(statuses: NDArray[np.float32]) -> BoolArray:
    return np.asarray((statuses.astype(np.int64) & COMPLIANCE_BIT) != 0, dtype=np.bool_)


def _digits(values: Sequence[int]) -> str:
    return "{" + str(list(values))[1:-1].replace(" ", "") + "}"


def _table(values: Sequence[float]) -> str:
    return "{" + ",".join(f"{value:.9g}" for value in values) + "}"
