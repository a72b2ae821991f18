"""Player `software_loop`: one frame at a time with any pulse source, bias source and reader."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from drivers.players._planning import (
    RELAY_MESSAGES,
    Envelope,
    Peaks,
    grouped,
    hopeless,
    loads_of,
    missing_roles,
    peaks_by_device,
    pulses_by_device,
    refuse,
    signal_v,
    unknown_devices,
)
from hilab.frames import Flag, FrameBatch, FramePlan, FrameReadings
from hilab.roles import BiasSource, PulseSource, Reader, Station

ROLES = ("pulse_source", "bias_source", "reader")
SETTLE_S = 1e-3  # from the read current to the reading
READ_MESSAGES = 5  # level, output on, reading, compliance, off
SETUP_MESSAGES = 8  # once for each device


class SoftwareLoopPlayer:
    """Slow and simple: every pulse and every reading is an exchange of its own."""

    name = "software_loop"

    def __init__(self, station: Station):
        self._station = station
        self._source: PulseSource = station.role("pulse_source")
        self._bias: BiasSource = station.role("bias_source")
        self._reader: Reader = station.role("reader")
        self._envelope = Envelope(station.devices)

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where the bench has a pulse source, a bias source and a reader."""
        return missing_roles(station, ROLES)

    # ---- plan ------------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check against the devices' limits and price; PlanRefused with every reason."""
        refuse(unknown_devices(batch, self._station.devices))
        groups = grouped(batch)
        peaks = peaks_by_device(batch, groups)
        reasons = [] if len(batch) else ["the batch holds no frame"]
        reasons += _width_complaints(self._source, batch)
        chances: dict[str, float] = {}
        for device, peak in peaks.items():
            reasons += self._envelope.complaints(device, peak, batch, self._limit_v(device))
            chances[device] = self._envelope.misread(
                device, peak, batch.integration_s, partial(self._noise_v, device, peak, batch.integration_s)
            )
            reasons += hopeless(device, chances[device], "the reader")
        refuse(reasons)
        message_s = max(self._source.message_s, self._reader.message_s)
        loads = loads_of(batch, groups, max(len(batch), 1))
        actual = self._actual(batch)
        frame_s = self._frame_s(actual, message_s)
        return FramePlan(
            player=self.name,
            batch=batch,
            actual=actual,
            order=groups.order,
            loads=loads,
            frame_s=frame_s,
            duration_s=len(batch) * frame_s + len(loads) * (SETUP_MESSAGES + RELAY_MESSAGES) * message_s,
            relay_moves=len(loads),
            pulses=pulses_by_device(batch, groups),
            misread_probability=chances,
            notes=(
                "one frame at a time: waits are as asked or longer, the true times come with the readings",
            ),
        )

    def _limit_v(self, device: str) -> float:
        return min(self._station.devices[device].limits.voltage_max_v, self._source.compliance_max_v)

    def _range_v(self, device: str, read_a: float) -> float:
        return self._reader.range_v(signal_v(self._station.devices[device], read_a))

    def _noise_v(self, device: str, peak: Peaks, integration_s: float) -> float:
        return self._reader.noise_v(self._range_v(device, peak.read_a), integration_s)

    def _actual(self, batch: FrameBatch) -> FrameBatch:
        """Bus messages lie between the pulses and lengthen the waits."""
        reset_s, write_s = (
            self._source.pulse_s(width_s) - width_s for width_s in (batch.reset_width_s, batch.write_width_s)
        )
        return replace(
            batch,
            reset_gap_s=batch.reset_gap_s + reset_s,
            reset_wait_s=batch.reset_wait_s + reset_s,
            read_wait_s=batch.read_wait_s + write_s + SETTLE_S,
        )

    def _frame_s(self, actual: FrameBatch, message_s: float) -> float:
        read_s = READ_MESSAGES * message_s + self._reader.reading_s(actual.integration_s)
        resets_s = max(actual.reset_count - 1, 0) * (actual.reset_width_s + actual.reset_gap_s)
        if actual.reset_count:
            resets_s += actual.reset_width_s + actual.reset_wait_s
        verify_s = read_s + SETTLE_S if actual.verify_reset else 0.0
        return resets_s + verify_s + actual.write_width_s + actual.read_wait_s + read_s

    # ---- play ------------------------------------------------------------------------------------

    def play(
        self,
        plan: FramePlan,
        *,
        on_chunk: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> FrameReadings:
        """Play frame by frame; after `stop` the rest is MISSING. The source is off when it comes back."""
        readings = FrameReadings.missing(len(plan.batch))
        batch = plan.batch
        peaks = peaks_by_device(batch, grouped(batch))
        done = 0
        try:
            for load in plan.loads:
                self._station.route(load.device)
                self._prepare(load.device, peaks[load.device], batch)
                for frame in plan.order[load.start : load.stop].tolist():
                    if stop is not None and stop.is_set():
                        return readings
                    self._play_frame(batch, frame, readings)
                    done += 1
                self._bias.bias_off()
                if on_chunk is not None:
                    on_chunk(done)
        finally:
            self._bias.bias_off()
        return readings

    def _prepare(self, device: str, peak: Peaks, batch: FrameBatch) -> None:
        """Limits and reader for one device; the drivers check every level against them again."""
        compliance_v = self._limit_v(device)
        highest_a = max(peak.write_a, peak.reset_a, peak.read_a)
        name_of = self._station.instrument_name
        one_box = name_of("bias_source") == name_of("pulse_source")
        self._bias.configure_bias(highest_a if one_box else peak.read_a, compliance_v)
        self._source.configure_pulse(highest_a, compliance_v)
        self._reader.configure_reader(self._range_v(device, peak.read_a), batch.integration_s)

    def _play_frame(self, batch: FrameBatch, frame: int, readings: FrameReadings) -> None:
        clock = self._station.clock
        reset_a, write_a, read_a = (
            float(values[frame]) for values in (batch.reset_a, batch.write_a, batch.read_a)
        )
        for number in range(batch.reset_count if reset_a else 0):
            if number:
                clock.sleep(batch.reset_gap_s)
            self._source.pulse(reset_a, batch.reset_width_s)
        if batch.reset_count:
            clock.sleep(batch.reset_wait_s)
        if batch.verify_reset:
            readings.reset_voltage_v[frame], _ = self._read(read_a)
            clock.sleep(batch.reset_wait_s)
        if write_a:
            self._source.pulse(write_a, batch.write_width_s)
        clock.sleep(batch.read_wait_s)
        voltage_v, limited = self._read(read_a)
        readings.voltage_v[frame] = voltage_v
        readings.current_a[frame] = read_a
        readings.time_s[frame] = clock.now()
        readings.flags[frame] = _flags(voltage_v, limited)

    def _read(self, read_a: float) -> tuple[float, bool]:
        """One reading (V, nan on overload) at the read current, and whether the source was limited."""
        self._bias.set_bias_a(read_a)
        self._station.clock.sleep(SETTLE_S)
        voltage_v = self._reader.read_v()
        limited = self._bias.in_compliance()
        self._bias.bias_off()
        return voltage_v, limited


def _flags(voltage_v: float, limited: bool) -> np.uint16:
    overload = Flag.OVERLOAD if math.isnan(voltage_v) else 0
    return np.uint16(int(overload) | (int(Flag.COMPLIANCE) if limited else 0))


def _width_complaints(source: PulseSource, batch: FrameBatch) -> list[str]:
    low_s, high_s = source.pulse_width_s
    return [
        f"{name} = {getattr(batch, name):g} s is outside {low_s:g} to {high_s:g} s of the pulse source"
        for name in ("reset_width_s", "write_width_s")
        if not low_s <= getattr(batch, name) <= high_s
    ]
