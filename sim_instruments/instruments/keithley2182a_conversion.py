"""Conversions of the 2182A: ranges, noise, mains pick-up, overload and its recovery, digital filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_instruments.world.contracts import NO_ERRORS, BoolArray, FloatArray, InstrumentErrors
from sim_instruments.world.noise import NoiseTable

RANGES_V = {1: (0.01, 0.1, 1.0, 10.0, 100.0), 2: (0.1, 1.0, 10.0)}  # source: bench.md 2.2
OVERRANGE = 1.2  # a range reads up to 120 %; source: bench.md 1.3 (120 V on the 100 V range)
OVERLOAD = 9.9e37
RECOVERY_SHARE, RECOVERY_S = 1e-3, 0.02  # rest of an overload voltage and its decay; chosen, not verified
PICKUP_V = 10e-6  # amplitude of mains pick-up at the input; chosen within bench.md 1.3, not verified

# rms noise at one line period, filter off; source: 2182A data sheet, peak to peak / 6.6, recalled and not
# verified. Shorter integrations: growing faster than white noise down to 0.1 PLC, then as 1/t, not verified.
_AT_20_MS = {0.01: 12e-9, 0.1: 50e-9, 1.0: 0.11e-6, 10.0: 1e-6, 100.0: 50e-6}
_FACTORS = {20e-6: 500.0, 0.2e-3: 50.0, 2e-3: 10.0, 20e-3: 1.0, 100e-3: 1 / 2.2}
NOISE = NoiseTable.of(
    [
        (span, integration_s, rms * factor, "2182A data sheet, recalled and not verified")
        for span, rms in _AT_20_MS.items()
        for integration_s, factor in _FACTORS.items()
    ]
)


def range_for(volt: float, channel: int) -> float:
    """The lowest range that reads this voltage; the highest one if none does."""
    fitting = [span for span in RANGES_V[channel] if abs(volt) <= OVERRANGE * span * (1 + 1e-12)]
    return fitting[0] if fitting else RANGES_V[channel][-1]


@dataclass(frozen=True)
class Converter:
    """One way of converting; all arrays (n,)."""

    range_v: float
    auto_range: bool
    channel: int
    integration_s: float
    mains_hz: float
    line_sync: bool
    random: np.random.Generator
    averages: int = 1  # conversions that a repeating filter averages
    errors: InstrumentErrors = NO_ERRORS

    def readings(
        self, true_v: FloatArray, ends_s: FloatArray, overload: tuple[float, float]
    ) -> tuple[FloatArray, list[float]]:
        """Readings, and voltage and time of the last overload. nan (open leads) reads as overload."""
        spans = self._spans(true_v)
        noise_v = self._rms(spans) * self.random.standard_normal(len(true_v))
        values = self.errors.read(true_v, spans) + noise_v + self._pickup(ends_s)
        over = ~(np.abs(true_v) <= OVERRANGE * spans)
        tail, last = self._recovery(true_v, ends_s, over, overload)
        return np.where(over, OVERLOAD, values + tail), last

    def pulsed(self, true_v: FloatArray) -> FloatArray:
        """Conversions inside pulses, which are synchronous to the line: no pick-up in their differences."""
        noise_v = NOISE.rms(self.range_v, self.integration_s) * self.random.standard_normal(len(true_v))
        values = self.errors.read(true_v, self.range_v) + noise_v
        return np.where(np.abs(true_v) <= OVERRANGE * self.range_v, values, OVERLOAD)

    def _spans(self, true_v: FloatArray) -> FloatArray:
        if not self.auto_range:
            return np.full(len(true_v), self.range_v)
        ranges = np.array(RANGES_V[self.channel])
        place = np.searchsorted(OVERRANGE * ranges, np.abs(np.nan_to_num(true_v)))
        return ranges[np.minimum(place, len(ranges) - 1)]

    def _rms(self, spans: FloatArray) -> FloatArray:
        ranges, place = np.unique(spans, return_inverse=True)
        rms = np.array([NOISE.rms(float(span), self.integration_s) for span in ranges])
        return np.asarray(rms[place] / np.sqrt(self.averages))

    def _pickup(self, ends_s: FloatArray) -> FloatArray:
        """Mean of the pick-up over the integration; none over whole line periods."""
        periods = self.integration_s * self.mains_hz
        starts_s = np.zeros(len(ends_s)) if self.line_sync else ends_s - self.integration_s
        amplitude = PICKUP_V * float(np.sinc(periods))
        return amplitude * np.sin(2 * np.pi * self.mains_hz * starts_s + np.pi * periods)

    @staticmethod
    def _recovery(
        true_v: FloatArray, ends_s: FloatArray, over: BoolArray, overload: tuple[float, float]
    ) -> tuple[FloatArray, list[float]]:
        volts = np.concatenate([[overload[0]], np.clip(np.nan_to_num(true_v), -120, 120)])
        times = np.concatenate([[overload[1]], ends_s])
        mine = np.maximum.accumulate(np.concatenate([[0], np.where(over, np.arange(1, len(times)), 0)]))
        tail = RECOVERY_SHARE * volts[mine] * np.exp(-(times - times[mine]) / RECOVERY_S)
        last = int(mine[-1])
        return np.nan_to_num(tail[1:]), [float(volts[last]), float(times[last])]


def moved(history: FloatArray, raw: FloatArray, count: int, window_v: float) -> tuple[FloatArray, FloatArray]:
    """Moving means over up to `count` conversions, and the conversions to remember.

    A step beyond the window empties the filter, so that it does not smear the step.
    """
    values = np.concatenate([history, raw])
    steps = np.abs(np.diff(values, prepend=values[:1])) > window_v
    begins = np.maximum.accumulate(np.where(steps, np.arange(len(values)), 0))
    ends = np.arange(1, len(values) + 1)
    first = np.maximum(begins, ends - count)
    finite = np.where(values == OVERLOAD, 0.0, values)
    sums = np.concatenate([[0.0], np.cumsum(finite)])
    means = (sums[ends] - sums[first]) / (ends - first)
    filtered = np.where(values == OVERLOAD, OVERLOAD, means)[len(history) :]
    return filtered, values[first[-1] :] if len(values) else values
