"""Plays compiled waves load after load: while one plays, the next is uploaded and the last one fetched."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from drivers.players._compile import (
    LEAD,
    Codes,
    FrameWave,
    compile_frames,
    marker_codes,
    step_a,
    wave_samples,
)
from drivers.players._planning import BYTES_PER_S
from hilab.errors import BenchError
from hilab.frames import Flag, FloatArray, FrameBatch, FramePlan, FrameReadings, IntArray, Load
from hilab.roles import Digitiser, Station, WaveformSource, WaveSetup

END_S = 200e-6  # after the last sample: the last reading is in the buffer
LATE_S = 1.0  # readings that are later than this never come
POLL_S = 5e-3
READING_BYTES = 8
FETCH_MESSAGES = 20  # readings are fetched while something else plays if that takes longer than so many,
FETCH_AFTER_S = 4.0  # or when so much was played since the last time
AHEAD = 0.8  # part of a load's time in which the next ones are uploaded


@dataclass(frozen=True)
class Drive:
    """How one device is driven and read: its load, open-circuit volts for each ampere and for code 32767,
    limits (A, V), and the digitiser's range."""

    load_ohm: float
    volt_per_a: float
    full_scale_v: float
    current_max_a: float
    voltage_max_v: float
    range_v: float


@dataclass(frozen=True)
class Slot:
    """One read as the digitiser takes it: `parts` apertures in each half, the first delay_s after an edge."""

    parts: int
    aperture_s: float
    interval_s: float
    delay_s: float

    @property
    def readings(self) -> int:
        return 2 * self.parts

    @property
    def integration_s(self) -> float:
        return self.readings * self.aperture_s


@dataclass(frozen=True)
class Programme:
    """A plan as the two instruments get it."""

    plan: FramePlan
    frame: FrameWave
    slot: Slot
    reversed_read: bool
    drives: Mapping[str, Drive]

    @property
    def triggers_a_frame(self) -> int:
        return len(self.frame.reads)

    @property
    def readings_a_frame(self) -> int:
        return self.triggers_a_frame * self.slot.readings

    def frames(self, load: Load) -> IntArray:
        """Their places in the batch."""
        return self.plan.order[load.start : load.stop]


@dataclass(frozen=True)
class _Running:
    """A load that was started: its frames, the time of its trigger, its first reading in the buffer."""

    load: Load
    start_s: float
    first: int


class Playback:
    """One programme on its way through a waveform source and a digitiser. Used once."""

    def __init__(
        self,
        station: Station,
        programme: Programme,
        on_chunk: Callable[[int], None] | None,
        stop: threading.Event | None,
    ):
        self._station = station
        self._source: WaveformSource = station.role("waveform_source")
        self._digitiser: Digitiser = station.role("digitiser")
        self._programme = programme
        self._loads = programme.plan.loads
        self._on_chunk = on_chunk
        self._stop = stop
        self._readings = FrameReadings.missing(len(programme.plan.batch))
        self._ahead: dict[int, str] = {}  # loads whose waves are in memory
        self._played: list[_Running] = []  # loads that are over (the last may be running), not fetched yet
        self._armed = self._taken = 0  # readings that the digitiser waits for, and those of started loads
        self._routed = ""
        self._done = 0

    def run(self) -> FrameReadings:
        """Play every load; after `stop` the rest is MISSING, the frame in flight a TIMEOUT.

        Whatever goes wrong on the way, nothing plays on: the wave is aborted and the outputs are off.
        """
        over = False
        try:
            for number in range(len(self._loads)):
                if (self._stop is not None and self._stop.is_set()) or not self._play(number):
                    break
            self._collect()
            self._off()
            over = True
        finally:
            if not over:
                self._give_up()
        return self._readings

    def _give_up(self) -> None:
        """Abort both instruments and rely on nothing that was sent to them.

        One that does not answer is left to the safe state that follows.
        """
        for driver, stop in (
            (self._source, self._source.stop_waves),
            (self._digitiser, self._digitiser.abort),
        ):
            with suppress(BenchError):
                stop()
            if hasattr(driver, "forget"):
                driver.forget()

    # ---- one load ----------------------------------------------------------------------------------

    def _play(self, number: int) -> bool:
        """Play one load; False if it was stopped."""
        load = self._loads[number]
        self._connect(load.device)
        self._select(number)
        if self._armed == self._taken:
            self._arm(number)  # while the source makes the wave ready
        running = self._trigger(load)
        with self._station.spending("play"):
            if number == len(self._loads) - 1 or self._worth_fetching():
                self._collect()
            self._upload_ahead(number)
            self._played.append(running)
            end_s = running.start_s + self._source.start_s + self._length_s(load) + END_S
            clock = self._station.clock
            if not clock.wait(self._stop, end_s - clock.now()):
                return True
        self._abort(running)
        return False

    def _connect(self, device: str) -> None:
        if device == self._routed:
            return
        self._off()
        self._station.route(device)
        drive = self._programme.drives[device]
        self._source.set_load_ohm(drive.load_ohm)
        self._source.limit_waves(drive.current_max_a, drive.voltage_max_v)
        self._routed = device

    def _arm(self, number: int) -> None:
        """Let the digitiser wait for this load and for what follows it with the same settings."""
        self._collect()  # arming empties the buffer
        programme, slot = self._programme, self._programme.slot
        each, range_v = programme.readings_a_frame, programme.drives[self._loads[number].device].range_v
        frames = 0
        for load in self._loads[number:]:
            more = load.stop - load.start
            full = (frames + more) * each > self._digitiser.buffer_max
            if programme.drives[load.device].range_v != range_v or (frames and full):
                break
            frames += more
        with self._station.spending("arm"):
            self._digitiser.arm_triggered(
                range_v,
                slot.aperture_s,
                slot.readings,
                slot.interval_s,
                slot.delay_s,
                frames * programme.triggers_a_frame,
            )
        self._armed, self._taken = frames * each, 0

    def _select(self, number: int) -> None:
        """Have the source ready to play a load; it is uploaded here if it was not before."""
        load, programme = self._loads[number], self._programme
        codes = None
        if number not in self._ahead:
            codes = self._compiled(load)
            self._make_room(len(codes))
            self._ahead[number] = self._free_name()
        marker, marker_sample_s = self._marker()
        drive = programme.drives[load.device]
        setup = WaveSetup(
            self._ahead.pop(number),
            programme.frame.sample_s,
            drive.full_scale_v,
            marker,
            marker_sample_s,
            load.stop - load.start,
        )
        with self._station.spending("arm" if codes is None else "upload"):
            self._source.arm_waves(setup, codes)

    def _trigger(self, load: Load) -> _Running:
        """Start what is selected. Its time is known to the source's `start_s`."""
        with self._station.spending("arm"):
            self._source.waves_ready()
            self._source.trigger_waves()
        running = _Running(load, self._station.clock.now(), self._taken)
        self._taken += (load.stop - load.start) * self._programme.readings_a_frame
        return running

    def _length_s(self, load: Load) -> float:
        frame = self._programme.frame
        return (LEAD + (load.stop - load.start) * frame.samples) * frame.sample_s

    def _abort(self, running: _Running) -> None:
        with self._station.spending("arm"):
            self._source.stop_waves()
            self._digitiser.abort()
        self._routed = ""  # its outputs are off
        self._played.remove(running)
        self._collect()
        with self._station.spending("fetch"):
            each = self._programme.readings_a_frame
            whole = max(0, self._digitiser.count_now() - running.first) // each
            frames = self._programme.frames(running.load)
            whole = min(whole, len(frames))
            if whole:
                self._store(running, self._digitiser.fetch(whole * each, running.first))
            if whole < len(frames):
                in_flight = frames[whole]
                self._readings.flags[in_flight] = Flag.TIMEOUT
                self._readings.time_s[in_flight] = running.start_s + whole * self._programme.frame.period_s

    def _off(self) -> None:
        """Outputs off; BenchError with what the source complains of."""
        if not self._routed:
            return
        self._routed = ""
        with self._station.spending("arm"):
            errors = self._source.end_waves()
        if errors:
            raise BenchError(
                f"{self._station.instrument_name('waveform_source')} complains of the last waves: {errors[0]}"
                + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")
            )

    # ---- memory ------------------------------------------------------------------------------------

    def _compiled(self, load: Load) -> Codes:
        programme = self._programme
        drive = programme.drives[load.device]
        return compile_frames(
            programme.frame,
            programme.plan.actual,
            programme.frames(load),
            drive.volt_per_a,
            drive.full_scale_v,
            code_step=self._source.wave_code_step,
            reversed_read=programme.reversed_read,
            fewest=self._source.wave_samples[0],
        )

    def _upload_ahead(self, number: int) -> None:
        """While this load plays, upload those that come next, as many as time and memory allow."""
        left_s = AHEAD * self._length_s(self._loads[number])
        room, fewest = self._room(), self._source.wave_samples[0]
        waves: dict[str, Codes] = {}
        for later in range(number + 1, len(self._loads)):
            load = self._loads[later]
            samples = wave_samples(self._programme.frame, load.stop - load.start, fewest)
            room, left_s = room - samples, left_s - 2 * samples / BYTES_PER_S
            if later in self._ahead:
                break
            if room < 0 or (left_s < 0 and later > number + 1):
                break
            name = self._ahead[later] = self._free_name(waves)
            waves[name] = self._compiled(load)
        if waves:
            self._source.upload_waves(waves)

    def _room(self) -> int:
        """Samples that fit into the source's memory besides what lies there; -1 while that is not known."""
        waves = self._source.waves
        return -1 if waves is None else self._source.wave_memory - sum(waves.values())

    def _make_room(self, samples: int) -> None:
        """Nothing plays: empty the memory where it does not hold so much more."""
        if self._room() < samples:
            with self._station.spending("upload"):
                self._source.forget_waves()
            self._ahead.clear()

    def _marker(self) -> tuple[str, float]:
        """Name and sample (s) of the marker wave, uploaded where it is not in memory."""
        codes, sample_s = marker_codes(self._programme.frame, self._source.wave_samples[0])
        name = f"m{zlib.crc32(codes.tobytes()):08x}"
        if name not in (self._source.waves or {}):
            with self._station.spending("upload"):
                self._source.upload_marker(name, codes)
        return name, sample_s

    def _free_name(self, besides: Mapping[str, Codes] | None = None) -> str:
        taken = {*(self._source.waves or {}), *(besides or {})}
        number = len(taken) + 1
        while f"f{number}" in taken:
            number += 1
        return f"f{number}"

    # ---- readings ----------------------------------------------------------------------------------

    def _worth_fetching(self) -> bool:
        """True if what was played is so much that it should be fetched now, while something else plays."""
        frames = sum(running.load.stop - running.load.start for running in self._played)
        transfer_s = READING_BYTES * frames * self._programme.readings_a_frame / BYTES_PER_S
        played_s = frames * self._programme.frame.period_s
        return transfer_s > FETCH_MESSAGES * self._digitiser.message_s or played_s > FETCH_AFTER_S

    def _collect(self) -> None:
        """Fetch what was played: one exchange for all of it."""
        if not self._played:
            return
        played, self._played = self._played, []
        each = self._programme.readings_a_frame
        counts = [each * (running.load.stop - running.load.start) for running in played]
        with self._station.spending("fetch"):
            values = self._fetched(played[0].first, sum(counts))
        at = 0
        for running, count in zip(played, counts, strict=True):
            self._store(running, values[at : at + count])
            at += count
            self._done += count // each
            if self._on_chunk is not None:
                self._on_chunk(self._done)

    def _fetched(self, first: int, count: int) -> FloatArray:
        """Readings of a load that is over; BenchError if they do not all come."""
        try:
            return self._digitiser.fetch(count, first)
        except BenchError as error:
            trouble = error
        deadline_s = self._station.clock.now() + LATE_S
        while (found := self._digitiser.count_now()) < first + count:
            if self._station.clock.now() > deadline_s:
                self._source.stop_waves()
                self._digitiser.abort()
                raise BenchError(
                    f"{found - first} of {count} readings came, so nobody knows which frames they belong to; "
                    "outputs were switched off: is the marker wired to the digitiser's trigger input? "
                    f"({trouble})"
                ) from trouble
            self._station.clock.sleep(POLL_S)
        return self._digitiser.fetch(count, first)

    def _store(self, running: _Running, values: FloatArray) -> None:
        """Write readings into the arrays of the whole batch, in the order asked."""
        programme, readings = self._programme, self._readings
        frame, actual = programme.frame, programme.plan.actual
        voltage = halves(values, programme)
        count = len(voltage) // programme.triggers_a_frame
        frames = programme.frames(running.load)[:count]
        mine = _as_slice(frames)
        last = voltage[programme.triggers_a_frame - 1 :: programme.triggers_a_frame]
        readings.voltage_v[mine] = last
        readings.current_a[mine] = actual.read_a[mine]
        first_s = running.start_s + frame.read_end_s(-1)
        readings.time_s[mine] = first_s + np.arange(count) * frame.period_s
        if programme.triggers_a_frame > 1:
            readings.reset_voltage_v[mine] = voltage[0::2]
        readings.flags[mine] = np.isnan(last) * np.uint16(int(Flag.OVERLOAD))


def halves(values: FloatArray, programme: Programme) -> FloatArray:
    """One voltage for each read: half the difference of its halves, or the first minus the (zero) second."""
    if programme.slot.parts == 1:
        difference = values[0::2] - values[1::2]
    else:
        means = values.reshape(-1, 2, programme.slot.parts).mean(axis=2)
        difference = means[:, 0] - means[:, 1]
    return 0.5 * difference if programme.reversed_read else difference


def _as_slice(frames: IntArray) -> IntArray | slice:
    """The same positions as a slice where they are consecutive: much cheaper to write to."""
    if len(frames) and frames[-1] - frames[0] == len(frames) - 1 and (np.diff(frames) == 1).all():
        return slice(int(frames[0]), int(frames[-1]) + 1)
    return frames


def exact(batch: FrameBatch, drives: Mapping[str, Drive], code_step: int) -> FrameBatch:
    """The batch with its amplitudes as the source's converter will make them."""
    steps = [
        step_a(drives[name].volt_per_a, drives[name].full_scale_v, code_step) if name in drives else 1.0
        for name in batch.devices
    ]
    step = np.array(steps)[batch.device] if len(steps) > 1 else steps[0]
    write, reset, read = (
        np.rint(values / step) * step for values in (batch.write_a, batch.reset_a, batch.read_a)
    )
    return replace(batch, write_a=write, reset_a=reset, read_a=read)
