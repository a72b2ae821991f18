"""What a 6221 can play: ranges, quantised levels, and programmes as pulses with known times.

A programme is one pass of pulses that repeats; its times are fixed when it is armed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim_instruments.scpi.instrument import ScpiError
from sim_instruments.world.contracts import FloatArray

# Range (A) and programming resolution (A); source: 6220/6221 specification, ranges as in bench.md 2.1,
# resolutions recalled and not verified
RANGES_A = np.array([2e-9, 20e-9, 200e-9, 2e-6, 20e-6, 200e-6, 2e-3, 20e-3, 100e-3])
RESOLUTION_A = np.array([1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5])
OVERRANGE = 1.05  # source: bench.md 2.1
RANGE_CHANGE_S = 0.2e-3  # the output is at zero so long; source: chosen, bench.md 2.1 says only that it is
SINE_STEPS = 32  # a sine or ramp is played in so many steps a cycle
FOR_EVER_S = 1e12  # how long a point waits for a trigger that nobody sends
CHUNK = 200_000  # pulses played in one call at most
LONGEST_WAVE = 4_000_000  # pulses between two looks at the bench; beyond that only a part is played


def range_index(level_a: FloatArray | float) -> Any:
    """Index of the lowest range that holds each level."""
    place = np.searchsorted(RANGES_A * OVERRANGE * (1 + 1e-12), np.abs(level_a))
    return np.minimum(place, len(RANGES_A) - 1)


def quantised(level_a: FloatArray, index: Any) -> FloatArray:
    """Levels as the source makes them on the given ranges: clipped at 105 %, in steps of the resolution."""
    limit = OVERRANGE * RANGES_A[index]
    step = RESOLUTION_A[index]
    return np.asarray(np.round(np.clip(level_a, -limit, limit) / step) * step)


def ranged(level_a: FloatArray, ranging: str, fixed_a: float) -> tuple[FloatArray, FloatArray]:
    """(levels as sourced, range of each) for FIX (clips silently), BEST (one range) or AUTO."""
    if ranging == "FIX":
        index = np.full(len(level_a), range_index(fixed_a))
    elif ranging == "BEST":
        index = np.full(len(level_a), range_index(float(np.abs(level_a).max(initial=0.0))))
    else:
        index = np.asarray(range_index(level_a))
    return quantised(level_a, index), RANGES_A[index]


@dataclass
class Programme:
    """One pass of n pulses; `passes` of them follow each other, each `period_s` long.

    done_s: time within a pass at which each point is over and its reading there (after the pulse, where
    something is measured behind it). bounded: played only as complete points (pulse delta); otherwise
    the point in progress is held at its level.
    """

    kind: str
    level_a: FloatArray
    offset_s: FloatArray
    width_s: FloatArray
    done_s: FloatArray
    period_s: float
    passes: float
    base_a: float
    limit_v: float
    bounded: bool
    integration_s: float = 0.0  # of the voltmeter inside a pulse
    lows: int = 2  # measurements at the low level around a pulse
    start_s: float = np.nan
    played: int = 0
    played_until_s: float = -np.inf

    @property
    def total(self) -> float:
        """Number of points."""
        return len(self.level_a) * self.passes

    @property
    def end_s(self) -> float:
        """Time at which the last point is over."""
        if self.bounded:
            return float(self.start_s + (self.passes - 1) * self.period_s + self.done_s[-1])
        return float(self.start_s + self.passes * self.period_s)

    def count_done(self, now: float) -> int:
        """How many points are over at `now`."""
        elapsed = now - self.start_s + 1e-12
        passes = max(0, int(elapsed // self.period_s))
        within = int(np.searchsorted(self.done_s, elapsed - passes * self.period_s, side="right"))
        return int(min(passes * len(self.level_a) + within, self.total + 1e-9))

    def points(self, first: int, end: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """(level, start, width, over) of the points first..end-1, in the world's time."""
        index = np.arange(first, end)
        place = index % len(self.level_a)
        begin = self.start_s + (index // len(self.level_a)) * self.period_s
        starts = begin + self.offset_s[place]
        width = self.width_s[place]
        if len(starts) and self.played_until_s > starts[0] + 1e-10:  # a part of the first one has been played
            end = starts[0] + width[0]
            starts[0] = min(self.played_until_s, end)
            width[0] = max(end - starts[0], 1e-12)  # rounding must not leave a point of no length
        return self.level_a[place], starts, width, begin + self.done_s[place]

    def in_progress(self, now: float) -> tuple[float, float, float] | None:
        """(level, start, width so far) of the point that `now` cuts, if any."""
        if self.played >= self.total - 1e-9:
            return None
        level, start, width, _ = self.points(self.played, self.played + 1)
        so_far = min(now - start[0], width[0])
        return (float(level[0]), float(start[0]), float(so_far)) if so_far > 1e-12 else None

    def level_after(self, now: float) -> float:
        """What the source holds from `now` on, when everything before has been played."""
        if self.bounded or self.played >= self.total - 1e-9:
            return self.base_a
        level, start, _, _ = self.points(self.played, self.played + 1)
        return float(level[0]) if start[0] <= now + 1e-12 else self.base_a

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return dict(vars(self))


def contiguous(
    kind: str, level_a: FloatArray, hold_s: FloatArray, range_a: FloatArray | None, **rest: Any
) -> Programme:
    """Points that follow each other without a gap, each held `hold_s`.

    With range_a (AUTO ranging) the output goes to zero first wherever the range changes. Steps of a wave
    at zero are no points: nothing is sourced there.
    """
    ends = np.cumsum(hold_s)
    starts = np.concatenate([[0.0], ends[:-1]])
    if range_a is not None:
        gap = np.where(np.diff(range_a, prepend=range_a[:1]) != 0, RANGE_CHANGE_S, 0.0)
        starts = starts + np.minimum(gap, 0.5 * hold_s)
    sourced = np.flatnonzero(level_a) if kind == "WAVE" and level_a.any() else slice(None)
    return Programme(
        kind,
        level_a[sourced],
        starts[sourced],
        (ends - starts)[sourced],
        ends[sourced],
        float(ends[-1]),
        base_a=0.0,
        bounded=False,
        **rest,
    )


def stuck(programme: Programme) -> Programme:
    """The first point of a programme, for ever: nobody releases it."""
    ever = np.array([FOR_EVER_S])
    return replace(
        programme,
        level_a=programme.level_a[:1],
        offset_s=programme.offset_s[:1],
        width_s=ever,
        done_s=ever,
        period_s=FOR_EVER_S,
    )


def pulse_delta(
    level_a: FloatArray, interval_s: FloatArray, width_s: float, line_s: float, **rest: Any
) -> Programme:
    """Cycles low, high, low on the first three line periods, then low until the interval is over."""
    begins = np.concatenate([[0.0], np.cumsum(interval_s)[:-1]])
    return Programme(
        "PDEL",
        level_a,
        begins + line_s,
        np.full(len(level_a), width_s),
        begins + 2 * line_s + width_s,
        float(interval_s.sum()),
        bounded=True,
        **rest,
    )


def wave_cycle(
    function: str, amplitude_a: float, offset_a: float, duty: float, data: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(levels, shares of the period) of one cycle. A square begins with its high half."""
    if function == "SQU":
        shares = np.array([duty, 1 - duty])
        levels = np.array([offset_a + amplitude_a, offset_a - amplitude_a])
        return levels[shares > 0], shares[shares > 0]
    if function.startswith("ARB"):
        shape = data
    else:
        phase = (np.arange(SINE_STEPS) + 0.5) / SINE_STEPS
        shape = np.sin(2 * np.pi * phase) if function == "SIN" else _ramp(phase, duty)
    return offset_a + amplitude_a * shape, np.full(len(shape), 1 / len(shape))


def _ramp(phase: FloatArray, duty: float) -> FloatArray:
    """From -1 up to 1 in the share `duty` of the period, then down again."""
    return np.interp(phase, [0.0, max(duty, 1e-9), 1.0 + 1e-9], [-1.0, 1.0, -1.0])


def staircase(spacing: str, start_a: float, stop_a: float, points: int) -> FloatArray:
    """Levels of a linear or logarithmic staircase sweep; -221 for a logarithm through zero."""
    if spacing == "LIN":
        return np.linspace(start_a, stop_a, points)
    if start_a * stop_a <= 0:
        raise ScpiError(-221)
    return np.asarray(np.sign(start_a) * np.geomspace(abs(start_a), abs(stop_a), points))
