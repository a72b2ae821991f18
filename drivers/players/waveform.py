"""Players `waveform` and `waveform_baseline`: batches as one wave, read by a triggered digitiser.

Reset, write and read pulses of all frames of one device are one wave of a voltage source behind a shunt.
A marker on the second channel triggers the digitiser once in each read: apertures while the read current
flows, and as many while it is reversed (`waveform`) or zero (`waveform_baseline`). The difference is free of
offsets and of slow pick-up.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from drivers.players._compile import LEAD, FrameWave, frame_wave, step_a
from drivers.players._planning import (
    BYTES_PER_S,
    Envelope,
    Judgement,
    Peaks,
    grouped,
    judged,
    missing_roles,
    peaks_by_device,
    priced,
    refuse,
    route_s,
    signal_v,
    still_fits,
    unfilled_roles,
    unknown_devices,
)
from drivers.players._waveform_load import LineLoad, measured_load, nominal_load, unmeasured_complaints
from drivers.players._waveform_play import Drive, Playback, Programme, Slot, exact
from hilab.errors import BenchError
from hilab.frames import FrameBatch, FramePlan, FrameReadings, Load
from hilab.roles import Digitiser, Station, WaveformSource

ROLES = ("waveform_source", "digitiser")
SETTLE_S = 5e-6  # from the start of a half read to its first aperture
TAIL_S = 1e-6  # kept free at the end of a half read
LEAST_STEPS = 10  # of the converter: smaller reads are too coarse
READ_BYTES = 8  # of one reading on its way back
SPLIT_MESSAGES = 30  # a load is worth splitting where its upload takes longer than so many messages
LONGEST_LOAD_S = 5.0  # of play, where there is more: the rest is uploaded meanwhile
FIRST_PART = 8  # a first load is so many times shorter than the others
LOAD_MESSAGES = 2  # arm and trigger
BATCH_MESSAGES = 3  # arm the digitiser, fetch, outputs off and look


class WaveformPlayer:
    """A waveform source and a digitiser as pulse source and reader of one batch after the other."""

    name = "waveform"
    reversed_read = True

    def __init__(self, station: Station):
        self._station = station
        self._source: WaveformSource = station.role("waveform_source")
        self._digitiser: Digitiser = station.role("digitiser")
        self._envelope = Envelope(station.devices)
        self._loads: dict[str, LineLoad] = {}
        self._shapes: dict[tuple[object, ...], tuple[FrameWave, Slot] | str] = {}

    @classmethod
    def unsuitable(cls, station: Station) -> str:
        """'' where a waveform source that also pulses and a triggered digitiser are on the bench."""
        missing = missing_roles(station, ROLES) or unfilled_roles(station, ("pulse_source", "bias_source"))
        if missing:
            return missing
        same = station.role("pulse_source") is station.role("waveform_source")
        return "" if same else "the waveform source is not the pulse source that the relays are wired to"

    # ---- prepare -----------------------------------------------------------------------------------

    def prepare(self, batch: FrameBatch) -> None:
        """Measure the line of each device of the batch at the shunt, where that was not done lately."""
        shunt = self._station.shunt
        if shunt is None:
            return
        for device in batch.devices:
            known = self._loads.get(device)
            if device in self._station.devices and not (known and known.fresh(self._station.clock.now())):
                self._loads[device] = measured_load(self._station, device, shunt)

    def _load(self, device: str) -> LineLoad:
        known = self._loads.get(device)
        return known or nominal_load(self._station.devices[device], self._station.shunt)

    # ---- plan --------------------------------------------------------------------------------------

    def plan(self, batch: FrameBatch) -> FramePlan:
        """Check, quantise, split by memory and buffer, price; PlanRefused with every reason."""
        refuse(unknown_devices(batch, self._station.devices))
        shape = self._shape(batch)
        if isinstance(shape, str):
            refuse([shape, *self._judged(batch).reasons])
        assert not isinstance(shape, str)  # refused
        frame, slot = shape
        asked = self._timed(batch, frame, slot)
        found = self._judged(asked)
        drives: dict[str, Drive] = {}
        reasons = list(found.reasons)
        reasons += unmeasured_complaints(self._station, self._envelope, found.peaks, asked)
        for device, peak in found.peaks.items():
            try:
                drives[device] = self._drive(device, peak, asked)
            except BenchError as error:
                reasons.append(str(error))
                continue
            reasons += self._complaints(device, peak, drives[device])
        frames_max = self._frames_max(frame, slot)
        if frames_max < 1:
            reasons.append(f"a frame of {frame.samples} samples does not fit into the source's memory")
        refuse(reasons)
        loads = self._split(batch, found, frame, frames_max)
        return priced(
            self.name,
            batch,
            exact(asked, drives, self._source.wave_code_step),
            found,
            self._station.devices,
            loads=loads,
            frame_s=frame.period_s,
            spent_s=self._spent_s(loads, frame, slot, drives, len(found.groups)),
            relay_moves=len(found.groups),
            notes=self._notes(batch, frame, slot, drives),
            amplitude_uncertainty=max(self._load(device).uncertainty for device in drives),
        )

    def _shape(self, batch: FrameBatch) -> tuple[FrameWave, Slot] | str:
        """The frame in samples and how it is read, remembered; or why that cannot be."""
        key = (
            batch.reset_width_s,
            batch.write_width_s,
            batch.reset_count,
            batch.reset_gap_s,
            batch.reset_wait_s,
            batch.read_wait_s,
            batch.integration_s,
            batch.verify_reset,
        )
        if key not in self._shapes:
            if len(self._shapes) > 100:
                self._shapes.clear()
            self._shapes[key] = self._shaped(batch)
        return self._shapes[key]

    def _shaped(self, batch: FrameBatch) -> tuple[FrameWave, Slot] | str:
        frame = frame_wave(batch, self._source.wave_sample_s[0])
        if frame is None:
            return (
                "the times of a frame have no common sample: make pulses, waits and half the integration "
                "whole multiples of one time"
            )
        longest_s = self._digitiser.aperture_s[1]
        parts = max(1, math.ceil(frame.half_s / longest_s * (1 - 1e-9)))
        interval_s = frame.half_s / parts
        try:
            set_up = self._digitiser.digitising(
                self._digitiser.range_v(0.0),
                math.floor((interval_s - SETTLE_S - TAIL_S) * 1e6 * (1 + 1e-9)) * 1e-6,
                2 * parts,
                interval_s,
                SETTLE_S,
                1,
            )
        except BenchError as error:
            return f"integration_s = {batch.integration_s:g} s: {error}"
        apart_s = min(
            (later[0] - earlier[0]) * frame.sample_s
            for earlier, later in zip(
                frame.reads,
                (*frame.reads[1:], (frame.reads[0][0] + frame.samples, 0)),
                strict=True,
            )
        )
        if set_up.busy_s > apart_s:
            return (
                f"a read keeps the digitiser busy for {set_up.busy_s:.3g} s and they come every "
                f"{apart_s:.3g} s; wait longer between pulses"
            )
        return frame, Slot(parts, set_up.aperture_s, set_up.interval_s, set_up.delay_s)

    def _timed(self, batch: FrameBatch, frame: FrameWave, slot: Slot) -> FrameBatch:
        """The batch with times as samples and apertures make them."""
        sample_s = frame.sample_s
        names = ("reset_width_s", "write_width_s", "reset_gap_s", "reset_wait_s", "read_wait_s")
        times = {name: max(round(getattr(batch, name) / sample_s), 1) * sample_s for name in names}
        return replace(batch, integration_s=slot.integration_s, **times)

    def _judged(self, asked: FrameBatch) -> Judgement:
        devices = self._station.devices
        return judged(
            asked,
            self._envelope,
            lambda device: devices[device].limits.voltage_max_v,
            self._noise_v,
            reader=f"the digitiser {self._station.instrument_name('digitiser')!r}",
        )

    def _noise_v(self, device: str, peak: Peaks, integration_s: float) -> float:
        """rms noise (V) of one read: of the apertures, and what is left of the mains pick-up."""
        parts = max(1, math.ceil(integration_s / 2 / self._digitiser.aperture_s[1] * (1 - 1e-9)))
        aperture_s = integration_s / 2 / parts
        noise_v = self._digitiser.noise_v(self._range_v(device, peak), aperture_s)
        scale = 0.5 if self.reversed_read else 1.0
        line_hz = float(getattr(self._digitiser, "line_hz", 50.0))
        # the difference of two means that lie half a read apart, of a sine of unknown phase
        apart = math.sin(min(math.pi * line_hz * integration_s / 2, math.pi / 2))
        pickup_v = math.sqrt(2) * self._digitiser.mains_v * apart
        return scale * math.hypot(noise_v * math.sqrt(2 / parts), pickup_v)

    def _range_v(self, device: str, peak: Peaks) -> float:
        return self._digitiser.range_v(signal_v(self._station.devices[device], peak.read_a))

    def _drive(self, device: str, peak: Peaks, asked: FrameBatch) -> Drive:
        """How the device is driven. BenchError where the source does not reach its amplitudes."""
        load = self._load(device)
        card = self._station.devices[device]
        trouble = load.complaint(card, self._station.shunt)
        if trouble:
            raise BenchError(trouble)
        ohm = load.ohm + self._source.wave_ohm
        highest_a = max(peak.write_a, peak.read_a, peak.reset_a if asked.reset_count else 0.0)
        if highest_a * ohm > self._source.wave_v:
            raise BenchError(
                f"{device}: {highest_a:.4g} A through {ohm:.4g} ohm take {highest_a * ohm:.3g} V, above the "
                f"{self._source.wave_v:g} V (open circuit) of the waveform source; lower the amplitude"
            )
        full_scale_v = self._source.wave_full_scale_v(max(highest_a * ohm, 1e-9))
        limits = card.limits
        most_a = max(
            self._envelope.pulse_max_a(device, asked.write_width_s),
            self._envelope.pulse_max_a(device, asked.reset_width_s) if asked.reset_count else 0.0,
            limits.read_max_a,
        )
        half_step_a = step_a(ohm, full_scale_v, self._source.wave_code_step) / 2
        extra_ohm = load.ohm - card.r_ohm
        limit_v = min(limits.voltage_max_v + most_a * max(extra_ohm, 0.0), self._source.wave_v)
        return Drive(load.ohm, ohm, full_scale_v, most_a + half_step_a, limit_v, self._range_v(device, peak))

    def _complaints(self, device: str, peak: Peaks, drive: Drive) -> list[str]:
        step = step_a(drive.volt_per_a, drive.full_scale_v, self._source.wave_code_step)
        if 0 < peak.read_least_a < LEAST_STEPS * step:
            return [
                f"{device}: a read of {peak.read_least_a:.3g} A is less than {LEAST_STEPS} steps of "
                f"{step:.3g} A of the waveform source at its largest pulse; read with more current"
            ]
        return []

    def _frames_max(self, frame: FrameWave, slot: Slot) -> int:
        samples = min(self._source.wave_samples[1], self._source.wave_memory)
        readings = slot.readings * len(frame.reads)
        return min((samples - LEAD) // frame.samples, self._digitiser.buffer_max // readings)

    def _split(
        self, batch: FrameBatch, found: Judgement, frame: FrameWave, frames_max: int
    ) -> tuple[Load, ...]:
        """Loads of each device's run; long ones in parts of which one is uploaded while another plays."""
        longest = max(1, min(frames_max, int(LONGEST_LOAD_S / frame.period_s)))
        loads: list[Load] = []
        groups = found.groups
        runs = zip(groups.device.tolist(), groups.start.tolist(), groups.stop.tolist(), strict=True)
        for index, start, stop in runs:
            first = longest
            upload_s = 2 * frame.samples * min(stop - start, longest) / BYTES_PER_S
            if not loads and upload_s > SPLIT_MESSAGES * self._source.message_s:
                first = max(1, min(longest, stop - start) // FIRST_PART)
            at = start
            while at < stop:
                end = min(at + (first if at == start else longest), stop)
                loads.append(Load(batch.devices[index], at, end))
                at = end
        return tuple(loads)

    def _spent_s(
        self,
        loads: tuple[Load, ...],
        frame: FrameWave,
        slot: Slot,
        drives: Mapping[str, Drive],
        moves: int,
    ) -> dict[str, float]:
        """Bench time (s) by kind: the first upload and the last fetch, the others happen during play."""
        sizes = [load.stop - load.start for load in loads]
        source_s, digitiser_s = self._source.message_s, self._digitiser.message_s
        play_s = sum((LEAD + size * frame.samples) * frame.sample_s for size in sizes)
        fetch_s = sizes[-1] * len(frame.reads) * slot.readings * READ_BYTES / BYTES_PER_S
        return {
            "upload": 2 * frame.samples * sizes[0] / BYTES_PER_S + source_s,
            "arm": (2 * len(sizes) - 1 + moves) * source_s + digitiser_s,
            "play": play_s,
            "fetch": fetch_s + digitiser_s,
            "relays": moves * route_s(self._station),
        }

    def _notes(
        self, batch: FrameBatch, frame: FrameWave, slot: Slot, drives: Mapping[str, Drive]
    ) -> tuple[str, ...]:
        how = "reversed" if self.reversed_read else "followed by zero"
        notes = [
            f"sample {frame.sample_s:.4g} s, {frame.samples} samples a frame",
            f"each read of {batch.integration_s:.4g} s is {how} in its second half; "
            f"{slot.readings} apertures of {slot.aperture_s:.4g} s",
        ]
        for device in drives:
            load = self._load(device)
            how = "not measured" if load.measured_s is None else "measured at the shunt"
            notes.append(f"{device}: {load.ohm:.5g} ohm, {how}, amplitudes to {load.uncertainty:.2g}")
        return tuple(notes)

    # ---- play --------------------------------------------------------------------------------------

    def play(
        self,
        plan: FramePlan,
        *,
        on_chunk: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> FrameReadings:
        """Play the plan load by load; after `stop` the rest is MISSING.

        A frame that may have been pulsed when the wave was aborted, but has no reading, is a TIMEOUT.
        """
        shape = self._shape(plan.batch)
        if isinstance(shape, str):
            raise BenchError(f"the plan does not fit the bench any more: {shape}")
        frame, slot = shape
        asked = peaks_by_device(plan.batch, grouped(plan.batch))
        drives: dict[str, Drive] = {}
        for device, peak in peaks_by_device(plan.actual, grouped(plan.actual)).items():
            drives[device] = drive = self._drive(device, asked[device], plan.actual)
            step = step_a(drive.volt_per_a, drive.full_scale_v, self._source.wave_code_step)
            limit_v = self._station.devices[device].limits.voltage_max_v
            still_fits(self._envelope, device, peak, plan.actual, limit_v, step)
            if max(peak[:3]) * drive.volt_per_a > drive.full_scale_v:
                raise BenchError(f"{device}: the plan's amplitudes are not those that it was made for")
        programme = Programme(plan, frame, slot, self.reversed_read, drives)
        return Playback(self._station, programme, on_chunk, stop).run()


class WaveformBaselinePlayer(WaveformPlayer):
    """The same with reads of one polarity and a zero beside each, where a reversed read would disturb."""

    name = "waveform_baseline"
    reversed_read = False
