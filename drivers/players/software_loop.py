"""Player `software_loop`: one frame at a time with any pulse source, bias source and reader."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from drivers.players._planning import (
    Envelope,
    Peaks,
    grouped,
    judged,
    loads_of,
    missing_roles,
    peaks_by_device,
    priced,
    refuse,
    route_s,
    signal_v,
    unknown_devices,
)
from drivers.players._waveform_load import LineLoad, measured_load, nominal_load, unmeasured_complaints
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
        self._loads: dict[str, LineLoad] = {}

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where the bench has a pulse source, a bias source and a reader."""
        return missing_roles(station, ROLES)

    # ---- prepare -----------------------------------------------------------------------------------

    def prepare(self, batch: FrameBatch) -> None:
        """Measure at the shunt what hangs on a voltage source, where that was not done lately."""
        shunt = self._station.shunt
        if shunt is None or not self._by_voltage:
            return
        for device in batch.devices:
            known = self._loads.get(device)
            if device in self._station.devices and not (known and known.fresh(self._station.clock.now())):
                self._loads[device] = measured_load(self._station, device, shunt)

    @property
    def _by_voltage(self) -> bool:
        """Whether the source makes its currents with a voltage into a load that it must be told."""
        return hasattr(self._source, "set_load_ohm")

    def _load(self, device: str) -> LineLoad:
        return self._loads.get(device) or nominal_load(self._station.devices[device], self._station.shunt)

    # ---- plan ------------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check against the devices' limits and price; PlanRefused with every reason."""
        refuse(unknown_devices(batch, self._station.devices))
        found = judged(batch, self._envelope, self._limit_v, self._noise_v, reader="the reader")
        lines = self._line_complaints(found.peaks, batch)
        refuse([*_width_complaints(self._source, batch), *found.reasons, *lines])
        loads = loads_of(batch, found.groups, max(len(batch), 1))
        actual = self._actual(batch)
        frame = self._frame_spent_s(actual, max(self._source.message_s, self._reader.message_s))
        spent = {kind: len(batch) * seconds for kind, seconds in frame.items()}
        spent["arm"] += len(loads) * SETUP_MESSAGES * self._source.message_s
        spent["relays"] = len(loads) * route_s(self._station)
        return priced(
            self.name,
            batch,
            actual,
            found,
            self._station.devices,
            loads=loads,
            frame_s=sum(frame.values()),
            spent_s=spent,
            relay_moves=len(loads),
            notes=(
                "one frame at a time: waits are as asked or longer, the true times come with the readings",
            ),
            amplitude_uncertainty=max((self._load(device).uncertainty for device in found.peaks), default=0.0)
            if self._by_voltage
            else 0.0,
        )

    def _line_complaints(self, peaks: Mapping[str, Peaks], batch: FrameBatch) -> list[str]:
        """Lines that are not as the bench file says, where they matter."""
        if not self._by_voltage:
            return []
        cards, shunt = self._station.devices, self._station.shunt
        found = [self._load(device).complaint(cards[device], shunt) for device in peaks]
        loose = unmeasured_complaints(self._station, self._envelope, peaks, batch)
        return [*(sentence for sentence in found if sentence), *loose]

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

    def _frame_spent_s(self, actual: FrameBatch, message_s: float) -> dict[str, float]:
        """Bench time (s) of one frame by kind: pulses and waits, levels, settling, the reading."""
        pulses_s = max(actual.reset_count - 1, 0) * (actual.reset_width_s + actual.reset_gap_s)
        if actual.reset_count:
            pulses_s += actual.reset_width_s + actual.reset_wait_s
        reads = 2 if actual.verify_reset else 1
        return {
            "play": pulses_s + actual.write_width_s + actual.read_wait_s - SETTLE_S,
            "arm": reads * (READ_MESSAGES - 1) * message_s,
            "settle": reads * SETTLE_S,
            "fetch": reads * (message_s + self._reader.reading_s(actual.integration_s)),
        }

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
                with self._station.spending("arm"):
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
        if self._by_voltage:
            self._source.set_load_ohm(self._load(device).ohm)  # type: ignore[attr-defined]
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
        with self._station.spending("play"):
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
        spending = self._station.spending
        with spending("arm"):
            self._bias.set_bias_a(read_a)
            with spending("settle"):
                self._station.clock.sleep(SETTLE_S)
            with spending("fetch"):
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
