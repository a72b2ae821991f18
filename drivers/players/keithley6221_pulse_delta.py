"""Player `keithley6221_pulse_delta`: batches on a 6221 and 2182A by pulse delta with a custom list.

Every reset, write and read is one cycle of the list: all pulses have the same width, the reading is
integrated inside the pulse, and a cycle lasts five mains periods. Slow, but free of thermal voltages.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from drivers._pulse_delta import (
    ARM_S,
    BUFFER,
    FETCH,
    INTERVAL_PLC,
    LIST_MAX,
    WIDTH_S,
    Cycles,
    aperture_s,
)
from drivers._ranges import KEITHLEY_6221_CURRENT
from drivers.keithley2182a import Keithley2182A
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
from drivers.players._points import no_classic_pair
from hilab.errors import BenchError
from hilab.frames import Flag, FrameBatch, FramePlan, FrameReadings, Load
from hilab.roles import Station

LOW_READINGS = 2  # a reading is V_high - mean of two V_low: its noise is sqrt(1 + 1/2) of one reading's
RELAYED_S = 75e-3  # a command passed on to the 2182A [D]
LOAD_MESSAGES = 8  # set-up, arming and start of a load
LIST_MESSAGES = 2  # levels and delays of a part of the list
END_MESSAGES = 2  # count and stop
ANSWER_BYTES = 40  # of one reading with time and compliance
POLL_S = 0.05
LATE_S = 5.0


class PulseDeltaPlayer:
    """A 6221 with a 2182A on its serial port and trigger link."""

    name = "keithley6221_pulse_delta"

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
        width_s, period_s = min(max(batch.write_width_s, WIDTH_S[0]), WIDTH_S[1]), self._period_s
        timed = _timed(batch, width_s, period_s)
        found = judged(
            timed,
            self._envelope,
            self._limit_v,
            self._noise_v,
            reader="pulse delta",
            ranges=KEITHLEY_6221_CURRENT,
            source="6221",
        )
        refuse([*_time_complaints(batch), *found.reasons])
        actual = found.on_digits(timed)
        cycles = _cycles(batch)
        loads = loads_of(batch, found.groups, min(BUFFER, LIST_MAX) // cycles)
        return priced(
            self.name,
            batch,
            actual,
            found,
            self._station.devices,
            loads=loads,
            frame_s=cycles * period_s,
            spent_s=self._spent_s(loads, cycles, len(found.groups)),
            relay_moves=len(found.groups),
            notes=(
                f"all pulses last {width_s:.4g} s; {actual.integration_s:.4g} s of each are integrated",
                f"one cycle of {period_s:.3g} s for each reset, write and read",
            ),
        )

    @property
    def _period_s(self) -> float:
        return INTERVAL_PLC / self._reader.line_hz

    def _limit_v(self, device: str) -> float:
        return min(self._station.devices[device].limits.voltage_max_v, COMPLIANCE_V[1])

    def _range_v(self, device: str, read_a: float) -> float:
        return self._reader.range_v(signal_v(self._station.devices[device], read_a))

    def _noise_v(self, device: str, peak: Peaks, integration_s: float) -> float:
        single_v = self._reader.noise_v(self._range_v(device, peak.read_a), integration_s)
        return single_v * math.sqrt(1 + 1 / LOW_READINGS)

    def _spent_s(self, loads: tuple[Load, ...], cycles: int, moves: int) -> dict[str, float]:
        """The bench time of these loads by kind (s)."""
        message_s = self._source.message_s
        levels = [(load.stop - load.start) * cycles for load in loads]
        lists = sum(math.ceil(count / LIST_CHUNK) for count in levels)
        fetches = sum(END_MESSAGES + math.ceil(count / FETCH) for count in levels)
        return {
            "upload": LIST_MESSAGES * lists * message_s,
            "arm": len(loads) * (ARM_S + RELAYED_S + LOAD_MESSAGES * message_s),
            "play": sum(levels) * self._period_s,
            "fetch": fetches * message_s + sum(levels) * ANSWER_BYTES / BYTES_PER_S,
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
        peaks = peaks_by_device(actual, grouped(actual))
        done = 0
        for load in plan.loads:
            if stop is not None and stop.is_set():
                break
            self._station.route(load.device)
            frames = plan.order[load.start : load.stop]
            start_s = self._start(load.device, peaks[load.device], actual, frames)
            with self._station.spending("fetch"):
                measured = self._await_end(len(frames) * _cycles(actual), start_s, stop)
                data = self._source.pulse_delta.fetch(measured)
                self._source.pulse_delta.stop()
            _store(readings, actual, frames, start_s, self._period_s, data)
            done += len(frames)
            if on_chunk is not None:
                on_chunk(done)
        return readings

    def _start(self, device: str, peak: Peaks, actual: FrameBatch, frames: np.ndarray) -> float:
        """Set up, load, arm and start one load; the time its first cycle began (s)."""
        programme = self._source.pulse_delta
        chosen = source_range(KEITHLEY_6221_CURRENT, actual, peak) or KEITHLEY_6221_CURRENT[-1]
        still_fits(self._envelope, device, peak, actual, self._limit_v(device), chosen.step)
        with self._station.spending("arm"):
            self._source.configure_pulse(max(peak.write_a, peak.reset_a, peak.read_a), self._limit_v(device))
            self._reader.forget()
            programme.configure(actual.write_width_s, self._range_v(device, peak.read_a))
            with self._station.spending("upload"):
                programme.load(_levels(actual, frames).tolist(), self._period_s)
            programme.arm()
            programme.start()
        return self._station.clock.now()

    def _await_end(self, cycles: int, start_s: float, stop: threading.Event | None) -> int:
        """Sleep until the list must be over, then ask; the number of readings taken."""
        clock, programme = self._station.clock, self._source.pulse_delta
        end_s = start_s + cycles * self._period_s
        with self._station.spending("play"):
            stopped = clock.wait(stop, end_s - clock.now())
        if stopped:
            programme.stop()
            return programme.count()
        while (count := programme.count()) < cycles:
            if clock.now() > end_s + LATE_S:
                errors = self._source.check_errors()
                self._source.make_safe()
                raise BenchError(
                    f"{self._source.name}: pulse delta stopped after {count} of {cycles} cycles"
                    + (f": {errors[0]}" if errors else "; its output was switched off")
                )
            if clock.wait(stop, POLL_S):
                programme.stop()
                return programme.count()
        return count


# ---- in pieces --------------------------------------------------------------------------------------


def _cycles(batch: FrameBatch) -> int:
    """Cycles of one frame."""
    return batch.reset_count + (1 if batch.verify_reset else 0) + 2


def _time_complaints(batch: FrameBatch) -> list[str]:
    found: list[str] = []
    width_s = batch.write_width_s
    if batch.reset_count and not math.isclose(batch.reset_width_s, width_s, rel_tol=1e-6):
        found.append(
            f"pulse delta has one width for all pulses: reset_width_s = {batch.reset_width_s:g} s and "
            f"write_width_s = {width_s:g} s differ"
        )
    if not WIDTH_S[0] <= width_s <= WIDTH_S[1]:
        found.append(
            f"write_width_s = {width_s:g} s is outside {WIDTH_S[0]:g} to {WIDTH_S[1]:g} s of pulse delta"
        )
    if batch.integration_s > aperture_s(width_s) * (1 + 1e-9):
        found.append(
            f"integration_s = {batch.integration_s:g} s does not fit into the pulse: with widths of "
            f"{width_s:g} s pulse delta integrates {max(aperture_s(width_s), 0):.4g} s"
        )
    return found


def _timed(batch: FrameBatch, width_s: float, period_s: float) -> FrameBatch:
    """The batch with the times of pulse delta: every wait lasts until the next cycle."""
    wait_s = period_s - width_s
    return replace(
        batch,
        write_width_s=width_s,
        reset_width_s=width_s,
        reset_gap_s=wait_s,
        reset_wait_s=wait_s,
        read_wait_s=wait_s,
        integration_s=aperture_s(width_s),
    )


def _levels(actual: FrameBatch, frames: np.ndarray) -> np.ndarray:
    reset, write, read = (values[frames] for values in (actual.reset_a, actual.write_a, actual.read_a))
    verify = 1 if actual.verify_reset else 0
    return np.column_stack([reset] * actual.reset_count + [read] * verify + [write, read]).ravel()


def _store(
    readings: FrameReadings,
    actual: FrameBatch,
    frames: np.ndarray,
    start_s: float,
    period_s: float,
    data: Cycles,
) -> None:
    """Write what a load brought into the arrays of the whole batch."""
    cycles = _cycles(actual)
    whole = len(data.voltage_v) // cycles
    voltage = data.voltage_v[: whole * cycles].reshape(whole, cycles)
    limited = data.compliance[: whole * cycles].reshape(whole, cycles).any(axis=1)
    mine = frames[:whole]
    readings.voltage_v[mine] = voltage[:, -1]
    readings.current_a[mine] = actual.read_a[mine]
    readings.time_s[mine] = start_s + (np.arange(1, whole + 1) * cycles - 1) * period_s + actual.write_width_s
    if actual.verify_reset:
        readings.reset_voltage_v[mine] = voltage[:, actual.reset_count]
    overload = np.isnan(voltage[:, -1])
    readings.flags[mine] = overload * int(Flag.OVERLOAD) | limited * int(Flag.COMPLIANCE)
    if whole < len(frames):
        readings.flags[frames[whole]] = Flag.TIMEOUT  # it may have been pulsed
        readings.time_s[frames[whole]] = start_s + whole * cycles * period_s
