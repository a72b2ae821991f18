"""Frames as waves: the samples of one frame, and batches as 16-bit codes for an arbitrary-wave source.

Pure arithmetic without instruments, so that every player whose programme is a wave can share it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hilab.frames import FrameBatch, IntArray

Codes = NDArray[np.int16]
Span = tuple[int, int]

FULL_CODE = 32767  # of a 16-bit wave
RESET, WRITE, READ = "reset", "write", "read"
LEAD = 1  # samples at zero before the first frame: a source rests at the first sample of its wave
TOLERANCE = 1e-3  # of each time: what a longer sample may cost
DIVISIONS = 1000  # of the shortest time, at most: finer waves are not made


@dataclass(frozen=True)
class FrameWave:
    """One frame in whole samples of sample_s: where resets, write and reads lie in it, as (start, stop).

    A read is driven forward in its first half; in the second it is reversed, or at zero.
    """

    sample_s: float
    samples: int
    resets: tuple[Span, ...]
    write: Span
    reads: tuple[Span, ...]

    @property
    def period_s(self) -> float:
        return self.samples * self.sample_s

    @property
    def half_s(self) -> float:
        """Time of half a read (s)."""
        start, stop = self.reads[-1]
        return (stop - start) // 2 * self.sample_s

    def length_s(self, span: Span) -> float:
        return (span[1] - span[0]) * self.sample_s

    def read_end_s(self, number: int) -> float:
        """End of read `number`, from the trigger, for the first frame (s)."""
        return (LEAD + self.reads[number][1]) * self.sample_s

    def pieces(self, second_half: int) -> list[tuple[int, int, int, str]]:
        """(start, stop, sign, RESET|WRITE|READ) of each constant piece; second_half is that of reads."""
        found = [(*span, 1, RESET) for span in self.resets] + [(*self.write, 1, WRITE)]
        for start, stop in self.reads:
            middle = (start + stop) // 2
            found += [(start, middle, 1, READ), (middle, stop, second_half, READ)]
        return found


def sample_period_s(times_s: list[float], shortest_s: float) -> float | None:
    """The longest sample (s) of which all times are whole multiples (to TOLERANCE); None if there is none."""
    least = min(times_s)
    times = np.array(times_s)
    for division in range(1, DIVISIONS + 1):
        sample_s = least / division
        if sample_s < shortest_s:
            break
        if (np.abs(times / sample_s - np.rint(times / sample_s)) * sample_s <= TOLERANCE * times).all():
            return sample_s
    return None


def frame_wave(batch: FrameBatch, shortest_s: float) -> FrameWave | None:
    """The batch's frame in the longest samples that hold all its times; None where none does."""
    half_s = batch.integration_s / 2
    used = [half_s, batch.write_width_s, batch.read_wait_s]
    if batch.reset_count or batch.verify_reset:
        used.append(batch.reset_wait_s)
    if batch.reset_count:
        used.append(batch.reset_width_s)
    if batch.reset_count > 1:
        used.append(batch.reset_gap_s)
    sample_s = sample_period_s(used, shortest_s)
    if sample_s is None:
        return None
    at = 0
    resets: list[Span] = []
    reads: list[Span] = []

    def span(time_s: float) -> Span:
        nonlocal at
        start, at = at, at + round(time_s / sample_s)
        return start, at

    for number in range(batch.reset_count):
        if number:
            span(batch.reset_gap_s)
        resets.append(span(batch.reset_width_s))
    if batch.verify_reset:
        if resets:
            span(batch.reset_wait_s)
        reads.append((span(half_s)[0], span(half_s)[1]))
    if resets or reads:
        span(batch.reset_wait_s)
    write = span(batch.write_width_s)
    span(batch.read_wait_s)
    reads.append((span(half_s)[0], span(half_s)[1]))
    return FrameWave(sample_s, at, tuple(resets), write, tuple(reads))


def wave_samples(frame: FrameWave, frames: int, fewest: int) -> int:
    """Samples of a wave of so many frames."""
    return max(LEAD + frames * frame.samples, fewest)


def step_a(volt_per_a: float, full_scale_v: float, code_step: int) -> float:
    """Smallest difference of two amplitudes (A) of a wave."""
    return full_scale_v / volt_per_a * code_step / FULL_CODE


def compile_frames(
    frame: FrameWave,
    batch: FrameBatch,
    order: IntArray,
    volt_per_a: float,
    full_scale_v: float,
    *,
    code_step: int,
    reversed_read: bool,
    fewest: int = 0,
) -> Codes:
    """The frames order (n,) of a batch as int16 codes (LEAD + n * samples,), zero between the pulses.

    volt_per_a turns amperes into open-circuit volts, full_scale_v is code 32767; each amplitude is rounded to
    a multiple of code_step. Filled with zeros up to `fewest` samples.
    """
    codes = np.zeros(wave_samples(frame, len(order), fewest), dtype=np.int16)
    frames = codes[LEAD : LEAD + len(order) * frame.samples].reshape(len(order), frame.samples)
    steps_per_a = 1.0 / step_a(volt_per_a, full_scale_v, code_step)
    levels = {
        what: (np.rint(amplitude_a[order] * steps_per_a) * code_step).astype(np.int16)
        for what, amplitude_a in ((RESET, batch.reset_a), (WRITE, batch.write_a), (READ, batch.read_a))
    }
    pieces = [piece for piece in frame.pieces(-1 if reversed_read else 0) if piece[2] != 0]
    same = {what for what, level in levels.items() if len(level) and (level == level[0]).all()}
    row = np.zeros(frame.samples, dtype=np.int16)  # what all frames have in common
    for start, stop, sign, what in pieces:
        if what in same:
            row[start:stop] = sign * levels[what][0]
    frames[:] = row
    for start, stop, sign, what in pieces:
        if what not in same:
            frames[:, start:stop] = (sign * levels[what])[:, None]
    return codes


def marker_codes(frame: FrameWave, fewest: int) -> tuple[Codes, float]:
    """(codes, sample_s) of the marker wave: as long as one frame, high from the start of each read.

    It runs together with the wave of frames and so begins LEAD samples before each frame.
    """
    finer = max(1, math.ceil(fewest / frame.samples))
    codes = np.zeros(frame.samples * finer, dtype=np.int16)
    for start, stop in frame.reads:
        high = max((stop - start) // 2, 1)
        where = np.arange((LEAD + start) * finer, (LEAD + start + high) * finer)
        codes[where] = FULL_CODE
    return codes, frame.sample_s / finer
