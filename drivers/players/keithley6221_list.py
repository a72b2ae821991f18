"""Player `keithley6221_list`: batches on a 6221 and 2182A as list sweeps over the trigger link.

Every reset, write and read is one point of the list, held for a delay of whole milliseconds and then until
the 2182A has read it: a pulse lasts at least 1 ms and one reading. Waits shorter than half a point are none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from drivers._ranges import KEITHLEY_6221_CURRENT
from drivers._trigger_link import ARM_S, DELAY_S, DELAY_STEP_S
from drivers.keithley2182a import BUFFER, NPLC, Keithley2182A
from drivers.keithley6221 import COMPLIANCE_V, LIST_CHUNK, Keithley6221
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
    unknown_devices,
)
from drivers.players._points import frame_levels, no_classic_pair
from hilab.errors import BenchError
from hilab.frames import Flag, FloatArray, FrameBatch, FramePlan, FrameReadings, IntArray, Load
from hilab.roles import Station

ARM_MESSAGES = 13  # of a load, besides its list
FETCH_MESSAGES = 6
LIST_CHARS = 20  # of one point: level and delay
ANSWER_CHARS = 16  # of one reading
WIDTH_MAX_S = 100.0
POLL_S = 0.02
LATE_S = 5.0


@dataclass(frozen=True)
class Points:
    """One frame as points of the list: what each sources, and how long it is held before it is read (s).

    what: "reset", "write", "read", or "" for zero. reading_s is added to each by the voltmeter.
    """

    what: tuple[str, ...]
    delays_s: tuple[float, ...]
    reading_s: float

    def __len__(self) -> int:
        return len(self.what)

    @property
    def period_s(self) -> float:
        return sum(self.delays_s) + len(self) * self.reading_s

    @property
    def reads(self) -> tuple[int, ...]:
        """Places of the reads within a frame."""
        return tuple(place for place, what in enumerate(self.what) if what == "read")

    def levels(self, actual: FrameBatch, frames: IntArray) -> FloatArray:
        """Levels (A) of these frames, one after the other."""
        return frame_levels(self.what, actual, frames)


class ListPlayer:
    """A 6221 and a 2182A that release each other over the trigger link."""

    name = "keithley6221_list"

    def __init__(self, station: Station):
        self._station = station
        self._source: Keithley6221 = station.role("pulse_source")
        self._reader: Keithley2182A = station.role("reader")
        self._envelope = Envelope(station.devices)

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where a 6221 pulses and a 2182A reads. Whether they are cabled shows when a plan is played."""
        return no_classic_pair(station)

    # ---- plan ------------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check, quantise, split by device and buffer, and price; PlanRefused with every reason."""
        refuse(unknown_devices(batch, self._station.devices))
        line_hz = self._reader.line_hz
        timed, points = _timed(batch, self._reader)
        found = judged(
            timed,
            self._envelope,
            self._limit_v,
            self._noise_v,
            reader="the 2182A",
            ranges=KEITHLEY_6221_CURRENT,
            source="6221",
        )
        refuse([*_time_complaints(batch, points.reading_s, line_hz), *found.reasons])
        actual = found.on_digits(timed)
        loads = loads_of(batch, found.groups, BUFFER // len(points))
        return priced(
            self.name,
            batch,
            actual,
            found,
            self._station.devices,
            loads=loads,
            frame_s=points.period_s,
            spent_s=self._spent_s(loads, points, len(found.groups)),
            relay_moves=len(found.groups),
            notes=(
                f"resets last {actual.reset_width_s:.4g} s and writes {actual.write_width_s:.4g} s: "
                f"delay of the list and {points.reading_s:.3g} s of reading",
                "levels follow each other without a wait"
                if actual.read_wait_s == 0
                else "waits are points of the list at zero",
            ),
        )

    def _limit_v(self, device: str) -> float:
        return min(self._station.devices[device].limits.voltage_max_v, COMPLIANCE_V[1])

    def _range_v(self, device: str, peak: Peaks) -> float:
        """One range for all points: an overload in a pulse would still be felt in the reading behind it."""
        highest_a = max(peak.write_a, peak.reset_a, peak.read_a)
        return self._reader.range_v(signal_v(self._station.devices[device], highest_a))

    def _noise_v(self, device: str, peak: Peaks, integration_s: float) -> float:
        return self._reader.noise_v(self._range_v(device, peak), integration_s)

    def _spent_s(self, loads: tuple[Load, ...], points: Points, moves: int) -> dict[str, float]:
        message_s = max(self._source.message_s, self._reader.message_s)
        count = sum(load.stop - load.start for load in loads) * len(points)
        lists = sum(2 * -(-(load.stop - load.start) * len(points) // LIST_CHUNK) for load in loads)
        return {
            "upload": lists * message_s + count * LIST_CHARS / BYTES_PER_S,
            "arm": len(loads) * (ARM_MESSAGES * message_s + ARM_S),
            "play": sum(load.stop - load.start for load in loads) * points.period_s,
            "fetch": len(loads) * FETCH_MESSAGES * message_s + count * ANSWER_CHARS / BYTES_PER_S,
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
        """Play the plan load by load; after `stop` the rest is MISSING, the frame in flight a TIMEOUT.

        The 6221 tells of a compliance only that there was one: then every frame of the load is flagged.
        """
        readings = FrameReadings.missing(len(plan.batch))
        actual = plan.actual
        points = _points(actual, self._reader)
        peaks = peaks_by_device(actual, grouped(actual))
        done = 0
        for load in plan.loads:
            if stop is not None and stop.is_set():
                break
            self._station.route(load.device)
            frames = plan.order[load.start : load.stop]
            start_s = self._start(load.device, peaks[load.device], actual, frames, points)
            count = self._await_end(len(frames) * len(points), len(frames) * points.period_s, start_s, stop)
            with self._station.spending("fetch"):
                self._source.trigger_link.stop()
                limited = self._source.trigger_link.limited()
                self._reader.stop_buffer()
                voltage_v = self._reader.fetch_buffer(count)
            _store(readings, actual, frames, start_s, points, voltage_v, limited)
            done += len(frames)
            if on_chunk is not None:
                on_chunk(done)
        return readings

    def _start(self, device: str, peak: Peaks, actual: FrameBatch, frames: IntArray, points: Points) -> float:
        """Set up, load, arm and start one load; the time its first point began (s)."""
        sweep, spending = self._source.trigger_link, self._station.spending
        chosen = source_range(KEITHLEY_6221_CURRENT, actual, peak)
        if chosen is None:
            raise BenchError(f"{device}: a level of the plan is beyond the 6221's largest current range")
        still_fits(self._envelope, device, peak, actual, self._limit_v(device), chosen.step)
        with spending("arm"):
            self._source.configure_pulse(max(peak.write_a, peak.reset_a, peak.read_a), self._limit_v(device))
            sweep.configure()
        with spending("upload"):
            levels_a = points.levels(actual, frames)
            sweep.load(levels_a.tolist(), list(points.delays_s) * len(frames))
        with spending("arm"):
            self._reader.arm_buffer(self._range_v(device, peak), actual.integration_s, len(levels_a))
            sweep.arm()
            sweep.start()
        return self._station.clock.now()

    def _await_end(self, count: int, duration_s: float, start_s: float, stop: threading.Event | None) -> int:
        """Sleep until the list must be over, then ask; the number of readings taken."""
        clock = self._station.clock
        end_s = start_s + duration_s
        with self._station.spending("play"):
            stopped = clock.wait(stop, end_s - clock.now())
        while not stopped:
            if (taken := self._reader.buffered()) >= count:
                return taken
            if clock.now() > end_s + LATE_S:
                self._give_up(taken, count)
            stopped = clock.wait(stop, POLL_S)
        self._source.trigger_link.stop()
        return self._reader.buffered()

    def _give_up(self, taken: int, count: int) -> None:
        errors = self._source.check_errors() + self._reader.check_errors()
        cause = (errors or ["check the trigger link cable to the 2182A; the output was switched off"])[0]
        self._source.make_safe()
        raise BenchError(
            f"{self._source.name}: a list over the trigger link stopped after {taken} of {count} points: "
            + cause
        )


# ---- in pieces --------------------------------------------------------------------------------------


def _timed(batch: FrameBatch, reader: Keithley2182A) -> tuple[FrameBatch, Points]:
    """The batch with the times of the list, and one of its frames."""
    line_hz = reader.line_hz
    nplc = min(max(round(batch.integration_s * line_hz, 2), NPLC[0]), NPLC[1])
    integration_s = nplc / line_hz
    reading_s = reader.triggered_s(integration_s)
    shortest_s = DELAY_S[0] + reading_s

    def held(asked_s: float) -> float:
        return _delay_s(asked_s, reading_s) + reading_s

    def waited(asked_s: float) -> float:
        return held(asked_s) if asked_s >= shortest_s / 2 else 0.0

    actual = replace(
        batch,
        reset_width_s=held(batch.reset_width_s),
        write_width_s=held(batch.write_width_s),
        reset_gap_s=held(batch.reset_gap_s),
        reset_wait_s=waited(batch.reset_wait_s),
        read_wait_s=waited(batch.read_wait_s),
        integration_s=integration_s,
    )
    return actual, _points(actual, reader)


def _delay_s(width_s: float, reading_s: float) -> float:
    """The delay of a point that is to last for width_s (s)."""
    steps = round((width_s - reading_s) / DELAY_STEP_S)
    return max(steps * DELAY_STEP_S, DELAY_S[0])


def _points(actual: FrameBatch, reader: Keithley2182A) -> Points:
    """One frame of a batch whose times are those of the list."""
    reading_s = reader.triggered_s(actual.integration_s)
    frame: list[tuple[str, float]] = []
    for number in range(actual.reset_count):
        if number:  # two resets without a zero between them would be one
            frame.append(("", actual.reset_gap_s))
        frame.append(("reset", actual.reset_width_s))
    between = [("", actual.reset_wait_s)] if actual.reset_wait_s else []
    if actual.reset_count:
        frame += between
    if actual.verify_reset:
        frame += [("read", 0.0), *between]
    frame.append(("write", actual.write_width_s))
    if actual.read_wait_s:
        frame.append(("", actual.read_wait_s))
    frame.append(("read", 0.0))
    return Points(
        tuple(what for what, _ in frame),
        tuple(_delay_s(held_s, reading_s) for _, held_s in frame),
        reading_s,
    )


def _time_complaints(batch: FrameBatch, reading_s: float, line_hz: float) -> list[str]:
    found = []
    shortest_s = DELAY_S[0] + reading_s
    low_s, high_s = NPLC[0] / line_hz, NPLC[1] / line_hz
    if not low_s * 0.999 <= batch.integration_s <= high_s * 1.001:
        found.append(
            f"integration_s = {batch.integration_s:g} s is outside {low_s:g} to {high_s:g} s of the 2182A"
        )
    for name in ("reset_width_s", "write_width_s"):
        width_s = getattr(batch, name)
        if not shortest_s * (1 - 1e-6) <= width_s <= WIDTH_MAX_S:
            found.append(
                f"{name} = {width_s:g} s is outside {shortest_s:.4g} to {WIDTH_MAX_S:g} s of a point of the "
                f"list, which lasts 1 ms and one reading of {batch.integration_s:g} s at least"
            )
    return found


def _store(
    readings: FrameReadings,
    actual: FrameBatch,
    frames: IntArray,
    start_s: float,
    points: Points,
    voltage_v: FloatArray,
    limited: bool,
) -> None:
    """Write what a load brought into the arrays of the whole batch."""
    whole = len(voltage_v) // len(points)
    table = voltage_v[: whole * len(points)].reshape(whole, len(points))
    mine = frames[:whole]
    readings.voltage_v[mine] = table[:, -1]
    readings.current_a[mine] = actual.read_a[mine]
    readings.time_s[mine] = start_s + np.arange(1, whole + 1) * points.period_s
    if actual.verify_reset:
        readings.reset_voltage_v[mine] = table[:, points.reads[0]]
    overload = np.isnan(table[:, list(points.reads)]).any(axis=1)
    readings.flags[mine] = overload * int(Flag.OVERLOAD) | int(Flag.COMPLIANCE if limited else 0)
    if whole < len(frames):
        readings.flags[frames[whole]] = Flag.TIMEOUT  # it may have been pulsed
        readings.time_s[frames[whole]] = start_s + whole * points.period_s
