"""One cycle of a generator's output as runs of constant level: standard functions and sampled waveforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_instruments.instruments.keysight_kernel import quantised
from sim_instruments.world.contracts import FloatArray

STAIRS = 64  # levels in a cycle of a smooth function: a sine is off by 5 % of its amplitude at most
NOISE_LEVELS = 1024  # the pattern of the noise generator repeats after so many
NOISE_CREST = 6.0  # peak to peak over standard deviation
PRBS_BITS = 7  # PN7
Codes = NDArray[np.int16]


@dataclass(frozen=True)
class Cycle:
    """Levels (k,) of -1 to 1, each from start_s (k,; the first is 0) to the next; idle: between bursts."""

    level: FloatArray
    start_s: FloatArray
    duration_s: float
    idle: float


def sampled(codes: Codes, starts: NDArray[np.int64], points: int, sample_rate_hz: float, bits: int) -> Cycle:
    """A waveform from its runs; it rests at its first sample."""
    level = quantised(codes, bits)
    start_s = starts.astype(np.float64) / sample_rate_hz
    return Cycle(level, start_s, points / sample_rate_hz, float(level[0]))


def constant() -> Cycle:
    """A level for ever (direct voltage): its cycle is long, and all of it idle."""
    return Cycle(np.zeros(1), np.zeros(1), 1e9, 0.0)


def pulse(period_s: float, width_s: float) -> Cycle:
    """High for width_s, then low."""
    return Cycle(np.array([1.0, -1.0]), np.array([0.0, width_s]), period_s, -1.0)


def sine(period_s: float) -> Cycle:
    """A staircase of `STAIRS` levels, each the sine at the middle of its step."""
    return _stairs(np.sin(2 * np.pi * (np.arange(STAIRS) + 0.5) / STAIRS), period_s, 0.0)


def ramp(period_s: float, symmetry: float) -> Cycle:
    """Up for `symmetry` (0 to 1) of the period and down for the rest, from the middle, as `STAIRS` levels."""
    phase = ((np.arange(STAIRS) + 0.5) / STAIRS + symmetry / 2) % 1.0
    up, down = max(symmetry, 1e-12), max(1 - symmetry, 1e-12)
    level = np.where(phase < symmetry, 2 * phase / up - 1, 1 - 2 * (phase - symmetry) / down)
    return _stairs(level, period_s, 0.0)


def noise(bandwidth_hz: float, random: np.random.Generator) -> Cycle:
    """Gaussian levels that change at twice the bandwidth; the pattern repeats."""
    level = np.clip(random.standard_normal(NOISE_LEVELS) * 2 / NOISE_CREST, -1.0, 1.0)
    return _stairs(np.asarray(level, np.float64), NOISE_LEVELS / (2 * bandwidth_hz), 0.0)


def pseudo_random(bit_rate_hz: float) -> Cycle:
    """The bits of a maximal shift register x^7 + x^6 + 1."""
    register, bits = 1, []
    for _ in range((1 << PRBS_BITS) - 1):
        bits.append(register & 1)
        register = (register >> 1) | (((register ^ (register >> 1)) & 1) << (PRBS_BITS - 1))
    return _stairs(2.0 * np.array(bits) - 1.0, len(bits) / bit_rate_hz, -1.0)


def rotated(cycle: Cycle, part: float) -> Cycle:
    """The same cycle begun after `part` (0 to 1) of it; it rests at the level where it begins."""
    cut_s = part * cycle.duration_s
    first = int(np.searchsorted(cycle.start_s, cut_s, side="right")) - 1
    level = np.concatenate([cycle.level[first:], cycle.level[: first + 1]])
    start_s = np.concatenate(
        [cycle.start_s[first:] - cut_s, cycle.start_s[: first + 1] + cycle.duration_s - cut_s]
    )
    start_s[0] = 0.0
    inside = start_s < cycle.duration_s
    return Cycle(level[inside], start_s[inside], cycle.duration_s, float(level[0]))


def repeated(cycle: Cycle, count: int, period_s: float) -> Cycle:
    """`count` cycles and then idle until period_s is over: a burst that an internal timer repeats."""
    starts = np.arange(count, dtype=np.float64)[:, None] * cycle.duration_s + cycle.start_s
    busy_s = count * cycle.duration_s
    level, start_s = np.tile(cycle.level, count), starts.ravel()
    if period_s > busy_s:
        level, start_s = np.append(level, cycle.idle), np.append(start_s, busy_s)
    return Cycle(level, start_s, max(period_s, busy_s), cycle.idle)


def _stairs(level: FloatArray, period_s: float, idle: float) -> Cycle:
    start_s = np.arange(len(level), dtype=np.float64) * (period_s / len(level))
    return Cycle(level, start_s, period_s, idle)
