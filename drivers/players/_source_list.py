"""Batches as list sweeps of one source-meter that reads the Hall arms itself (2450, 2400).

Every level of a list lasts the same time, so a frame is a row of equal points: the shorter of the two pulses
is one point, everything else a whole number of them. Each point ends with a reading; those of the read
levels are kept, and averaged where the integration asked does not fit into one point.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from drivers._list_sweep import ListData, ListSetup
from drivers._sourcemeter import ListSourceMeter
from drivers._sourcemeter_tables import LIST_CHUNK, LIST_MAX, NPLC
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
from drivers.players._points import frame_levels
from hilab.errors import BenchError
from hilab.frames import Flag, FloatArray, FrameBatch, FramePlan, FrameReadings, IntArray, Load
from hilab.roles import Station

WIDTH_MAX_S = 10.0
LEVEL_CHARS = 11  # of one level in the upload
READING_BYTES = 12  # voltage, status, time
LOAD_MESSAGES = 3  # set up and start, state, fetch
COMMANDS_A_MESSAGE = 8
POLL_S = 5e-3
LATE_S = 2.0


@dataclass(frozen=True)
class Points:
    """One frame as points of equal time: what each sources ("reset", "write", "read", or "" for zero)."""

    what: tuple[str, ...]
    dwell_s: float
    nplc: float
    read_points: int

    def __len__(self) -> int:
        return len(self.what)

    @property
    def period_s(self) -> float:
        return len(self) * self.dwell_s

    @property
    def reads(self) -> tuple[int, ...]:
        """Places of the read points within a frame; `read_points` of them make one reading."""
        return tuple(place for place, what in enumerate(self.what) if what == "read")

    def levels(self, actual: FrameBatch, frames: IntArray) -> FloatArray:
        """Levels (A) of these frames, one after the other."""
        return frame_levels(self.what, actual, frames)


class SourceListPlayer:
    """Base of the two players; `driver` and `model` say which box each is for."""

    name: ClassVar[str]
    model: ClassVar[str]
    driver: ClassVar[type[ListSourceMeter]]

    def __init__(self, station: Station):
        self._station = station
        self._smu: ListSourceMeter = station.role("pulse_source")
        self._envelope = Envelope(station.devices)

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where one such box is both the pulse source and the reader."""
        missing = unfilled_roles(station, ("pulse_source", "reader"))
        if missing:
            return missing
        source, reader = station.role("pulse_source"), station.role("reader")
        if not isinstance(source, cls.driver):
            return f"the pulse source is no Keithley {cls.model}"
        return "" if source is reader else f"the reader is not the same {cls.model}"

    # ---- plan ------------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check, quantise, split by device and list, and price; PlanRefused with every reason."""
        refuse(unknown_devices(batch, self._station.devices))
        timed, points = timed_points(batch, self._smu)
        found = judged(
            timed,
            self._envelope,
            self._limit_v,
            self._noise_v(points),
            reader=f"the {self.model}",
            ranges=self._smu.figures.current,
            source=self.model,
        )
        refuse([*self._complaints(batch, points), *found.reasons])
        actual = found.on_digits(timed)
        loads = loads_of(batch, found.groups, LIST_MAX // len(points))
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
            notes=_notes(batch, actual, points),
        )

    def _complaints(self, batch: FrameBatch, points: Points) -> list[str]:
        found = []
        low_s, high_s = (nplc / self._smu.line_hz for nplc in NPLC)
        if not low_s * (1 - 1e-6) <= batch.integration_s <= high_s * (1 + 1e-6):
            found.append(
                f"integration_s = {batch.integration_s:g} s is outside {low_s:g} to {high_s:g} s "
                f"of the {self.model}"
            )
        shortest_s = self._smu.shortest_dwell_s(low_s)
        widths = {"write_width_s": batch.write_width_s}
        if batch.reset_count:
            widths["reset_width_s"] = batch.reset_width_s
        for name, width_s in widths.items():
            if not shortest_s * (1 - 1e-6) <= width_s <= WIDTH_MAX_S:
                found.append(
                    f"{name} = {width_s:g} s is outside {shortest_s:g} to {WIDTH_MAX_S:g} s "
                    f"of a level in a list of the {self.model}"
                )
        if len(points) > LIST_MAX:
            found.append(
                f"one frame takes {len(points)} points of the list, which holds {LIST_MAX}: "
                "integrate shorter or make the two widths more alike"
            )
        return found

    def _limit_v(self, device: str) -> float:
        return min(self._station.devices[device].limits.voltage_max_v, self._smu.compliance_max_v)

    def _range_v(self, device: str, read_a: float) -> float:
        return self._smu.range_v(signal_v(self._station.devices[device], read_a))

    def _noise_v(self, points: Points) -> Callable[[str, Peaks, float], float]:
        """Noise of the mean over a frame's read points."""
        aperture_s = points.nplc / self._smu.line_hz

        def noise_v(device: str, peak: Peaks, integration_s: float) -> float:
            one = self._smu.noise_v(self._range_v(device, peak.read_a), aperture_s)
            return float(one / np.sqrt(points.read_points))

        return noise_v

    def _spent_s(self, loads: tuple[Load, ...], points: Points, moves: int) -> dict[str, float]:
        message_s = self._smu.message_s
        counts = [(load.stop - load.start) * len(points) for load in loads]
        uploads = sum(-(-count // (LIST_CHUNK * COMMANDS_A_MESSAGE)) for count in counts)
        return {
            "upload": uploads * message_s + sum(counts) * LEVEL_CHARS / BYTES_PER_S,
            "arm": moves * message_s,
            "play": sum(counts) * points.dwell_s,
            "fetch": len(loads) * LOAD_MESSAGES * message_s + sum(counts) * READING_BYTES / BYTES_PER_S,
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
        """Play the plan load by load; after `stop` the rest is MISSING, the frame in flight a TIMEOUT."""
        readings = FrameReadings.missing(len(plan.batch))
        actual = plan.actual
        _, points = timed_points(plan.batch, self._smu)
        peaks = peaks_by_device(actual, grouped(actual))
        done = 0
        for load in plan.loads:
            if stop is not None and stop.is_set():
                break
            self._station.route(load.device)
            frames = plan.order[load.start : load.stop]
            start_s = self._start(load.device, peaks[load.device], actual, frames, points)
            count = self._await_end(len(frames) * len(points), start_s, points.dwell_s, stop)
            with self._station.spending("fetch"):
                data = self._smu.sweep.fetch(count)
            _store(readings, actual, frames, start_s, points, data)
            self._smu.sweep.check_times(data)
            done += len(frames)
            if on_chunk is not None:
                on_chunk(done)
        return readings

    def _start(self, device: str, peak: Peaks, actual: FrameBatch, frames: IntArray, points: Points) -> float:
        """Set up, upload and start one load; the time its first point began (s)."""
        chosen = source_range(self._smu.figures.current, actual, peak)
        if chosen is None:
            raise BenchError(f"{device}: a level of the plan is beyond the largest range of {self._smu.name}")
        limit_v = self._limit_v(device)
        still_fits(self._envelope, device, peak, actual, limit_v, chosen.step)
        setup = ListSetup(
            chosen.full, limit_v, self._range_v(device, peak.read_a), points.nplc, points.dwell_s
        )
        with self._station.spending("arm"):
            self._smu.configure_list(setup, max(peak.write_a, peak.reset_a, peak.read_a))
        with self._station.spending("upload"):
            self._smu.sweep.start(points.levels(actual, frames).tolist())
        return self._station.clock.now()

    def _await_end(self, points: int, start_s: float, dwell_s: float, stop: threading.Event | None) -> int:
        """Sleep until the list must be over, then ask; the number of readings taken."""
        clock, sweep = self._station.clock, self._smu.sweep
        end_s = start_s + points * dwell_s
        with self._station.spending("play"):
            stopped = clock.wait(stop, end_s - clock.now())
        while not stopped:
            state = sweep.state()
            if state.over and state.readings >= points:
                return state.readings
            late = clock.now() > end_s + LATE_S
            if state.errors or state.over or late:
                sweep.raise_errors()
                self._smu.make_safe()
                raise BenchError(
                    f"{self._smu.name}: a list of {points} points stopped after {state.readings}; "
                    "its output was switched off"
                )
            stopped = clock.wait(stop, POLL_S)
        sweep.stop()
        return sweep.state().readings


# ---- in pieces --------------------------------------------------------------------------------------


def timed_points(batch: FrameBatch, smu: ListSourceMeter) -> tuple[FrameBatch, Points]:
    """The batch with the times of the list, and one of its frames.

    A write pulse longer than the reset is divided, so that its width is kept exactly.
    """
    low_s = NPLC[0] / smu.line_hz
    shortest_s = smu.shortest_dwell_s(low_s)
    write_points = 1
    if batch.reset_count and batch.write_width_s > batch.reset_width_s:
        most = max(1, int(batch.write_width_s / shortest_s * (1 + 1e-9)))
        write_points = min(max(1, round(batch.write_width_s / batch.reset_width_s)), most)
    dwell_s = max(batch.write_width_s / write_points, shortest_s)
    aperture_s = min(max(smu.longest_aperture_s(dwell_s), low_s), batch.integration_s)
    nplc = min(max(int(aperture_s * smu.line_hz * 1e4 + 1e-6) / 1e4, NPLC[0]), NPLC[1])
    read_points = max(1, int(np.ceil(batch.integration_s * smu.line_hz / nplc - 1e-2)))

    def held(asked_s: float) -> int:
        return max(1, round(asked_s / dwell_s))

    resets = held(batch.reset_width_s)
    frame: list[str] = []
    for number in range(batch.reset_count):
        gap = batch.reset_wait_s if number == batch.reset_count - 1 else batch.reset_gap_s
        frame += ["reset"] * resets + [""] * held(gap)
    if batch.verify_reset:
        frame += ["read"] * read_points + [""] * held(batch.reset_wait_s)
    frame += ["write"] * write_points + [""] * held(batch.read_wait_s) + ["read"] * read_points
    actual = replace(
        batch,
        reset_width_s=resets * dwell_s,
        write_width_s=write_points * dwell_s,
        reset_gap_s=held(batch.reset_gap_s) * dwell_s,
        reset_wait_s=held(batch.reset_wait_s) * dwell_s,
        read_wait_s=held(batch.read_wait_s) * dwell_s,
        integration_s=read_points * nplc / smu.line_hz,
    )
    return actual, Points(tuple(frame), dwell_s, nplc, read_points)


def _notes(batch: FrameBatch, actual: FrameBatch, points: Points) -> tuple[str, ...]:
    notes = [
        f"{len(points)} points of {points.dwell_s:.4g} s a frame; resets last {actual.reset_width_s:.4g} s, "
        f"waits {actual.read_wait_s:.4g} s"
    ]
    if points.read_points > 1:
        notes.append(
            f"a reading is the mean of {points.read_points} readings of "
            f"{actual.integration_s / points.read_points:.3g} s, one in each point"
        )
    worst_a = float(np.abs(actual.write_a - batch.write_a).max()) if len(batch) else 0.0
    if worst_a > 0:
        notes.append(f"write amplitudes are quantised, at most {worst_a:.2g} A off")
    return tuple(notes)


def _store(
    readings: FrameReadings,
    actual: FrameBatch,
    frames: IntArray,
    start_s: float,
    points: Points,
    data: ListData,
) -> None:
    """Write what a load brought into the arrays of the whole batch."""
    size = len(points)
    whole = len(data.voltage_v) // size
    mine = frames[:whole]
    table = data.voltage_v[: whole * size].reshape(whole, size)[:, list(points.reads)]
    limited = data.limited[: whole * size].reshape(whole, size).any(axis=1)
    readings.voltage_v[mine] = table[:, -points.read_points :].mean(axis=1)
    readings.current_a[mine] = actual.read_a[mine]
    first_s = start_s + points.dwell_s  # the box's clock starts with its first reading
    readings.time_s[mine] = first_s + data.time_s[: whole * size].reshape(whole, size)[:, -1]
    if actual.verify_reset:
        readings.reset_voltage_v[mine] = table[:, : points.read_points].mean(axis=1)
    overload = np.isnan(table).any(axis=1)
    readings.flags[mine] = overload * int(Flag.OVERLOAD) | limited * int(Flag.COMPLIANCE)
    if whole < len(frames):
        readings.flags[frames[whole]] = Flag.TIMEOUT  # it may have been pulsed
        readings.time_s[frames[whole]] = start_s + whole * points.period_s
