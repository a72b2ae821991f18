"""Player `keithley2636b_tsp`: batches on a 2636B, timed by its trigger model.

smua plays reset, write and read pulses as one hardware-timed list sweep, smub measures the Hall arms
inside the read pulses. Only levels are uploaded for a load, as integers in digits of the source range.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers._ranges import KEITHLEY_2636B_CURRENT, KEITHLEY_2636B_VOLTAGE, Range, smallest_range
from drivers._tsp_frames import NUMBERS_A_MESSAGE, Setup, SweepData, SweepState
from drivers.keithley2636b import COMPLIANCE_MAX_V, NPLC, Keithley2636B
from drivers.players._planning import (
    BYTES_PER_S,
    Envelope,
    Peaks,
    grouped,
    judged,
    loads_of,
    peaks_by_device,
    priced,
    refuse,
    route_s,
    signal_v,
    source_range,
    still_fits,
    unfilled_roles,
    unknown_devices,
)
from drivers.players._tsp_shape import STEPS_A_SECOND, FrameShape, frame_shape, microseconds
from hilab.errors import BenchError
from hilab.frames import Flag, FloatArray, FrameBatch, FramePlan, FrameReadings, IntArray, Load
from hilab.roles import Station

WIDTH_MIN_S = 100e-6  # shorter pulses do not settle
WIDTH_MAX_S = 1.0
INTERVAL_MIN_S = 110e-6  # from start to start: source, check and measurement of one point
BUFFER = 60_000  # readings that a buffer of the instrument holds
LATE_S = 1.0  # a sweep that is later than this has failed
POLL_S = 2e-3
FETCH_MESSAGES = 2  # state and fetch, of each load
READING_BYTES, STATUS_BYTES = 8, 4  # of one reading with its status, of one pulse's status
CHARS_A_LEVEL = 6


class TspPlayer:
    """The 2636B as pulse source and reader of one batch after the other."""

    name = "keithley2636b_tsp"
    reader = "the 2636B"
    line = 0  # digital line that puts out an edge for each reading; 0: channel B reads

    def __init__(self, station: Station):
        self._station = station
        self._driver: Keithley2636B = station.role("pulse_source")
        self._envelope = Envelope(station.devices)
        self._shapes: dict[Any, tuple[dict[str, Any], FrameShape]] = {}

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where one 2636B is both the pulse source and the reader."""
        missing = unfilled_roles(station, ("pulse_source", "reader"))
        if missing:
            return missing
        source, reader = station.role("pulse_source"), station.role("reader")
        if not isinstance(source, Keithley2636B):
            return "the pulse source is no Keithley 2636B"
        return "" if source is reader else "the reader is not the other channel of the same 2636B"

    # ---- plan ------------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check, quantise, split by device and buffer, and price; PlanRefused with every reason."""
        refuse(unknown_devices(batch, self._station.devices))
        line_hz = self._driver.line_hz
        asked, shape = self._timed_and_shaped(batch, line_hz)
        found = judged(
            asked,
            self._envelope,
            self._limit_v,
            self._noise_v,
            reader=self.reader,
            ranges=KEITHLEY_2636B_CURRENT,
            source="2636B",
        )
        refuse([*self._time_complaints(batch, asked, shape), *found.reasons])
        actual = found.on_digits(asked)
        loads = loads_of(batch, found.groups, BUFFER // shape.pulses)
        return priced(
            self.name,
            batch,
            actual,
            found,
            self._station.devices,
            loads=loads,
            frame_s=shape.period_s,
            spent_s=self._spent_s(loads, shape, len(found.groups)),
            relay_moves=len(found.groups),
            notes=_notes(batch, actual, found.ranges),
        )

    def _timed_and_shaped(self, batch: FrameBatch, line_hz: float) -> tuple[FrameBatch, FrameShape]:
        """The batch with times as timers and integrator can do them, and its frame; remembered."""
        names = (
            "reset_width_s",
            "write_width_s",
            "reset_gap_s",
            "reset_wait_s",
            "read_wait_s",
            "integration_s",
        )
        key = (line_hz, batch.reset_count, batch.verify_reset, *(getattr(batch, name) for name in names))
        if key not in self._shapes:
            timed = self._timed(batch)
            self._shapes = {key: ({name: getattr(timed, name) for name in names}, self._shape(timed))}
        times, shape = self._shapes[key]
        return replace(batch, **times), shape

    def _timed(self, batch: FrameBatch) -> FrameBatch:
        """The batch with times as timers and reader can do them."""
        line_hz = self._driver.line_hz
        nplc = min(max(round(batch.integration_s * line_hz, 3), NPLC[0]), NPLC[1])
        return replace(on_timers(batch), integration_s=nplc / line_hz)

    def _shape(self, timed: FrameBatch) -> FrameShape:
        return frame_shape(timed)

    def _time_complaints(self, batch: FrameBatch, asked: FrameBatch, shape: FrameShape) -> list[str]:
        low_s, high_s = (nplc / self._driver.line_hz for nplc in NPLC)
        found = timer_complaints(asked, shape)
        if not low_s * 0.999 <= batch.integration_s <= high_s * 1.001:
            found.append(
                f"integration_s = {batch.integration_s:g} s is outside {low_s:g} to {high_s:g} s of the 2636B"
            )
        return found

    def _limit_v(self, device: str) -> float:
        return min(self._station.devices[device].limits.voltage_max_v, COMPLIANCE_MAX_V)

    def _reader_range_v(self, device: str, read_a: float) -> float:
        chosen = smallest_range(KEITHLEY_2636B_VOLTAGE, signal_v(self._station.devices[device], read_a))
        return (chosen or KEITHLEY_2636B_VOLTAGE[-1]).full

    def _noise_v(self, device: str, peak: Peaks, integration_s: float) -> float:
        return self._driver.noise_v(self._reader_range_v(device, peak.read_a), integration_s)

    def _spent_s(self, loads: tuple[Load, ...], shape: FrameShape, moves: int) -> dict[str, float]:
        """The bench time of these loads by kind (s). Ranges and timers are set once, and not counted."""
        frames = sum(load.stop - load.start for load in loads)
        message_s = self._driver.message_s
        uploads = sum(-(-(load.stop - load.start) // NUMBERS_A_MESSAGE) for load in loads)
        return {
            "upload": uploads * message_s + frames * CHARS_A_LEVEL / BYTES_PER_S,
            "play": frames * shape.period_s,
            "fetch": len(loads) * FETCH_MESSAGES * message_s
            + frames * (READING_BYTES * shape.reads + STATUS_BYTES * shape.pulses) / BYTES_PER_S,
            "relays": moves * route_s(self._station),
        }

    # ---- play ------------------------------------------------------------------------------------

    def play(
        self,
        plan: FramePlan,
        *,
        on_chunk: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> FrameReadings:
        """Play the plan load by load; after `stop` the rest is MISSING.

        A frame that may have been pulsed when the sweep was aborted, but has no reading, is a TIMEOUT.
        """
        readings = FrameReadings.missing(len(plan.batch))
        shape = self._shape(plan.actual)
        times = shape.times()
        read_a = float(np.abs(plan.actual.read_a).max())
        ranges = self._ranges_again(plan.actual)
        done = 0
        for load in plan.loads:
            if stop is not None and stop.is_set():
                break
            self._station.route(load.device)
            frames = plan.order[load.start : load.stop]
            with self._station.spending("arm"):
                self._arm(load.device, read_a, plan.actual, len(frames), shape)
                self._driver.sweep.configure(self._setup(load.device, read_a, plan.actual, ranges), times)
            with self._station.spending("upload"):
                start_s = self._start(plan.actual.take(frames), ranges[load.device].step, shape)
            with self._station.spending("fetch"):
                state = self._await_end(len(frames), shape, start_s, stop)
                data = self._fetch(state, len(frames), shape)
            store_load(readings, plan.actual, frames, shape, start_s, data)
            done += len(frames)
            if on_chunk is not None:
                on_chunk(done)
        return readings

    def _arm(self, device: str, read_a: float, actual: FrameBatch, frames: int, shape: FrameShape) -> None:
        """Make the reader ready for a load."""
        self._driver.reader_taken()

    def _fetch(self, state: SweepState, frames: int, shape: FrameShape) -> SweepData:
        """What was read so far, and the pulses' statuses."""
        return self._driver.sweep.fetch(state)

    def _readings_wanted(self, frames: int, shape: FrameShape) -> int:
        """Readings that the 2636B itself takes in a load."""
        return frames * shape.reads

    def _ranges_again(self, actual: FrameBatch) -> dict[str, Range]:
        """Source range of each device: the last look before bytes go out, whatever made the plan."""
        ranges = {}
        for device, peak in peaks_by_device(actual, grouped(actual)).items():
            chosen = source_range(KEITHLEY_2636B_CURRENT, actual, peak)
            if chosen is None:
                raise BenchError(f"{device}: a level of the plan is beyond the 2636B's largest current range")
            still_fits(self._envelope, device, peak, actual, self._limit_v(device), chosen.step)
            ranges[device] = chosen
        return ranges

    def _setup(self, device: str, read_a: float, actual: FrameBatch, ranges: Mapping[str, Range]) -> Setup:
        return Setup(
            ranges[device].full,
            self._limit_v(device),
            self._reader_range_v(device, read_a),
            actual.integration_s * self._driver.line_hz,
        )

    def _start(self, load: FrameBatch, step_a: float, shape: FrameShape) -> float:
        """Upload a load and start it; the time of the first pulse's start (s)."""
        reset, write, read = (
            np.rint(values / step_a).astype(np.int64) for values in (load.reset_a, load.write_a, load.read_a)
        )
        sweep = self._driver.sweep
        readings = len(load) * shape.reads
        reads = self._read_levels(read)
        verify = reads if load.verify_reset else []
        if (reset == reset[0]).all() and (read == read[0]).all():
            before = [int(level[0]) for level in [reset] * load.reset_count + verify]
            after = [int(level[0]) for level in reads]
            sweep.start_writes(step_a, before, write, after, readings, self.line)
        else:
            columns = [reset] * load.reset_count + verify + [write, *reads]
            sweep.start_levels(step_a, np.column_stack(columns).ravel(), readings, self.line)
        return self._station.clock.now()

    def _read_levels(self, read: IntArray) -> list[IntArray]:
        """Levels of the pulses that make one read."""
        return [read]

    def _await_end(
        self, frames: int, shape: FrameShape, start_s: float, stop: threading.Event | None
    ) -> SweepState:
        """Sleep until the sweep must be over, then ask; on `stop` abort it first."""
        clock = self._station.clock
        sweep = self._driver.sweep
        expected = frames * shape.pulses
        end_s = start_s + frames * shape.period_s
        with self._station.spending("play"):
            stopped = clock.wait(stop, end_s - clock.now())
        if stopped:
            sweep.stop()
            return sweep.state()
        while True:
            state = sweep.state()
            late = clock.now() > end_s + LATE_S
            if state.errors or late:
                sweep.raise_errors()
            if state.pulses >= expected and state.readings >= self._readings_wanted(frames, shape):
                return state
            if late:
                self._driver.make_safe()
                raise BenchError(
                    f"{self._driver.name}: a sweep of {expected} pulses stopped after {state.pulses}; "
                    "its outputs were switched off"
                )
            if clock.wait(stop, POLL_S):
                sweep.stop()
                return sweep.state()


# ---- plan, in pieces --------------------------------------------------------------------------------


def on_timers(batch: FrameBatch) -> FrameBatch:
    """The batch with widths and waits as the timers can do them."""
    names = ("reset_width_s", "write_width_s", "reset_gap_s", "reset_wait_s", "read_wait_s")
    times = {name: max(float(microseconds([getattr(batch, name)])[0]), 1 / STEPS_A_SECOND) for name in names}
    return replace(batch, **times)  # type: ignore[arg-type]


def timer_complaints(asked: FrameBatch, shape: FrameShape) -> list[str]:
    """Widths and intervals that the trigger model cannot do, in sentences."""
    found = []
    for name in ("reset_width_s", "write_width_s"):
        width_s = getattr(asked, name)
        if not WIDTH_MIN_S <= width_s <= WIDTH_MAX_S:
            found.append(
                f"{name} = {width_s:g} s is outside {WIDTH_MIN_S:g} to {WIDTH_MAX_S:g} s of the 2636B"
            )
    if min(np.diff([*shape.starts_s, shape.period_s])) < INTERVAL_MIN_S:
        found.append(
            f"two pulses would start less than {INTERVAL_MIN_S:g} s apart; widen the pulses or the gaps"
        )
    return found


def _notes(batch: FrameBatch, actual: FrameBatch, ranges: Mapping[str, Range]) -> tuple[str, ...]:
    worst_a = float(np.abs(actual.write_a - batch.write_a).max()) if len(batch) else 0.0
    notes = [f"write amplitudes are quantised, at most {worst_a:.2g} A off"] if worst_a > 0 else []
    if abs(actual.integration_s / batch.integration_s - 1) > 1e-6:
        notes.append(f"integration {batch.integration_s:.4g} s asked, {actual.integration_s:.4g} s used")
    used = sorted({chosen.full for chosen in ranges.values()})
    notes.append("source ranges: " + ", ".join(f"{full:g} A" for full in used))
    return tuple(notes)


# ---- play, in pieces --------------------------------------------------------------------------------


def store_load(
    readings: FrameReadings,
    actual: FrameBatch,
    frames: np.ndarray,
    shape: FrameShape,
    start_s: float,
    data: SweepData,
) -> None:
    """Write what a load brought into the arrays of the whole batch: one voltage for each read of a frame."""
    reads = 2 if actual.verify_reset else 1
    whole = len(data.voltage_v) // reads
    voltage = data.voltage_v[: whole * reads].reshape(whole, reads)
    mine = frames[:whole]
    readings.voltage_v[mine] = voltage[:, -1]
    readings.current_a[mine] = actual.read_a[mine]
    readings.time_s[mine] = start_s + np.arange(whole) * shape.period_s + shape.read_end_s(-1)
    if reads > 1:
        readings.reset_voltage_v[mine] = voltage[:, 0]
    readings.flags[mine] = _flags(whole, shape.pulses, voltage, data)
    # The last pulse is checked before it ends, so a frame may have begun that no count shows yet.
    if whole < len(frames):
        in_flight = frames[whole]
        readings.flags[in_flight] = Flag.TIMEOUT
        readings.time_s[in_flight] = start_s + whole * shape.period_s


def _flags(whole: int, pulses: int, voltage: FloatArray, data: SweepData) -> np.ndarray:
    flags = np.where(np.isnan(voltage).any(axis=1), int(Flag.OVERLOAD), 0)
    readings = data.reading_compliance[: voltage.size].reshape(voltage.shape)
    limited: NDArray[np.bool_] = np.any(readings, axis=1)
    limited |= np.any(data.pulse_compliance[: whole * pulses].reshape(whole, pulses), axis=1)
    return (flags | np.where(limited, int(Flag.COMPLIANCE), 0)).astype(np.uint16)
