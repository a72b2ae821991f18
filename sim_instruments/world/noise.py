"""Reader noise by range and integration time, from tables in which every row names its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REMEMBERED = 1000  # values of a table that need not be worked out again


@dataclass(frozen=True)
class NoiseRow:
    """rms noise (V or A) of one reading on a range at one integration time (s)."""

    range: float
    integration_s: float
    rms: float
    source: str


class NoiseTable:
    """rms noise, interpolated log-log in integration time on each range, then log-log in range.

    Beyond the longest integration the noise stays (1/f floor); below the shortest it goes on with the
    slope of the two shortest rows. Ranges outside the table scale with the nearest range.
    """

    def __init__(self, rows: Sequence[NoiseRow]):
        if not rows:
            raise ValueError("a noise table needs at least one row")
        for row in rows:
            if not (row.range > 0 and row.integration_s > 0 and row.rms > 0):
                raise ValueError(f"a noise row needs a positive range, integration and rms, got {row}")
            if not row.source:
                raise ValueError(f"a noise row needs a source, got {row}")
        self.rows = tuple(rows)
        self._known: dict[tuple[float, float], float] = {}
        self._curves = {}
        for span in sorted({row.range for row in rows}):
            mine = sorted((row.integration_s, row.rms) for row in rows if row.range == span)
            times, values = np.log(np.array(mine)).T
            if len(set(times)) < len(times):
                raise ValueError(f"the noise table has two rows for range {span} at one integration time")
            self._curves[span] = (times, values)

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, float, str]]) -> NoiseTable:
        """From tuples (range, integration_s, rms, source)."""
        return cls([NoiseRow(*row) for row in rows])

    def rms(self, span: float, integration_s: float) -> float:
        """rms noise of one reading on range `span` with this integration time."""
        key = span, integration_s
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = self._rms(span, integration_s)
        return self._known[key]

    def _rms(self, span: float, integration_s: float) -> float:
        if not (span > 0 and integration_s > 0):
            raise ValueError(f"range and integration must be positive, got {span} and {integration_s}")
        log_time = float(np.log(integration_s))
        spans = np.array(list(self._curves))
        values = np.array([_curve(*self._curves[each], log_time) for each in self._curves])
        nearest = float(np.clip(span, spans[0], spans[-1]))
        inside = float(np.interp(np.log(nearest), np.log(spans), values))
        return float(np.exp(inside)) * span / nearest


def _curve(times: np.ndarray, values: np.ndarray, log_time: float) -> float:
    if log_time < times[0] and len(times) > 1:
        slope = (values[1] - values[0]) / (times[1] - times[0])
        return float(values[0] + slope * (log_time - times[0]))
    return float(np.interp(log_time, times, values))
