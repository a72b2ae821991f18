"""What the SR830's sine does to the bench as a staircase through the world, and the harmonics it brings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.contracts import FloatArray, PulseTrain, World

SINE_OHM = 50.0  # source: SR830 specifications [M]
STEPS = 32  # of the staircase in one period; more for high harmonics
STEPS_MAX = 512
LIVED_STEPS = 20_000  # of a long stretch only so many last steps are lived through
BLOCKS = 32  # means that the filter gets of one stretch, at most


class Drive(NamedTuple):
    """The sine (V rms, open circuit), its frequency, and the harmonic that is detected."""

    sine_v: float
    frequency_hz: float
    harmonic: int


class Fed(NamedTuple):
    """A detected phasor X + iY (V rms) before the filter, and for how long it stands."""

    value: complex
    seconds: float


class Detector:
    """Drives terminal `sine` and demodulates terminal `input`, period by period."""

    def __init__(self, world: World, sine: str, reader: str):
        self.world, self.sine, self.reader = world, sine, reader
        self.since_s = world.now  # up to here the sine is played
        self.sum, self.sum_s = 0j, 0.0  # of the period that is not over yet
        self.peak_v = 0.0  # at the input, of the last stretch

    def advance(self, now: float, drive: Drive) -> list[Fed]:
        """Play the sine up to now; what was detected meanwhile, in order."""
        if now <= self.since_s:
            return []
        pieces = self._pieces(now, drive)
        skipped_s = pieces[0] - self.since_s
        self.since_s = now
        middle, width_s = 0.5 * (pieces[1:] + pieces[:-1]), np.diff(pieces)
        seen_v = self._played(pieces[:-1], width_s, middle, drive)
        self.peak_v = float(np.abs(seen_v).max())
        angle = 2 * np.pi * drive.harmonic * ((middle * drive.frequency_hz) % 1.0)
        product = np.sqrt(2) * 1j * seen_v * np.exp(-1j * angle) * width_s
        period = np.floor(middle * drive.frequency_hz + 1e-9).astype(np.int64)
        fed = self._periods(period - period[0], product, width_s, now, drive)
        return [Fed(fed[0].value, skipped_s), *fed] if fed and skipped_s > 0 else fed

    def _pieces(self, now: float, drive: Drive) -> FloatArray:
        """Edges of the staircase from the last stretch on, whole steps but for the first and the last."""
        steps = min(STEPS_MAX, max(STEPS, 4 * drive.harmonic))
        step_s = 1.0 / (drive.frequency_hz * steps)
        start_s = self.since_s
        if now - start_s > LIVED_STEPS * step_s:
            begun = np.ceil((now - LIVED_STEPS * step_s) * drive.frequency_hz)
            start_s = max(start_s, float(begun) / drive.frequency_hz)  # where a period begins
            self.forget()
        first, behind = int(np.ceil(start_s / step_s)), int(np.ceil(now / step_s))
        inner = step_s * np.arange(first, behind)
        shortest_s = 1e-6 * step_s
        inside = (inner > start_s + shortest_s) & (inner < now - shortest_s)
        return np.concatenate([[start_s], inner[inside], [now]])

    def _played(
        self, start_s: FloatArray, width_s: FloatArray, middle_s: FloatArray, drive: Drive
    ) -> FloatArray:
        """(n,) voltage at the input during each step; 0 where the leads are open."""
        level_v = np.sqrt(2) * drive.sine_v * np.sin(2 * np.pi * ((middle_s * drive.frequency_hz) % 1.0))
        # rounding must not make steps overlap
        train = PulseTrain(level_v, start_s, width_s * (1 - 1e-9), 0.0, np.inf, True, SINE_OHM)
        trace = self.world.play(self.sine, train)
        return np.nan_to_num(trace.sensed_v(self.reader))

    def _periods(
        self,
        period: NDArray[np.int64],
        product: NDArray[np.complex128],
        width_s: FloatArray,
        now: float,
        drive: Drive,
    ) -> list[Fed]:
        """Means over the periods that are over; the rest is kept for the next stretch."""
        count = int(period[-1]) + 1
        sums = np.bincount(period, product.real, count) + 1j * np.bincount(period, product.imag, count)
        times = np.bincount(period, width_s, count)
        sums[0] += self.sum
        times[0] += self.sum_s
        over = count if _whole(now * drive.frequency_hz) else count - 1
        self.sum, self.sum_s = (0j, 0.0) if over == count else (complex(sums[-1]), float(times[-1]))
        sums, times = sums[:over], times[:over]
        parts = np.array_split(np.arange(over), min(over, BLOCKS)) if over else []
        return [
            Fed(complex(sums[part].sum() / times[part].sum()), float(times[part].sum())) for part in parts
        ]

    def forget(self) -> None:
        """Something was changed: the period that has begun does not count."""
        self.sum, self.sum_s = 0j, 0.0

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {
            "since_s": self.since_s,
            "sum": [self.sum.real, self.sum.imag],
            "sum_s": self.sum_s,
            "peak_v": self.peak_v,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Back to `state`."""
        self.since_s, self.sum_s = float(state["since_s"]), float(state["sum_s"])
        self.sum, self.peak_v = complex(*state["sum"]), float(state["peak_v"])


def _whole(periods: float) -> bool:
    return abs(periods - round(periods)) < 1e-6
