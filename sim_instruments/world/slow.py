"""Slow drifts as functions of bench time: the same whenever and in whatever order they are asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_instruments.world import streams

STEP_S = 10.0  # grid of all slow processes; between its points they are linear
_CHUNK = 512


class OrnsteinUhlenbeck:
    """Stationary Ornstein-Uhlenbeck process on the grid 0, STEP_S, 2 STEP_S ... s.

    Its shocks are numbered blocks of a named stream, so a value depends on seed, name and time only.
    """

    def __init__(self, seed: int, name: str, sigma: float, correlation_s: float):
        if sigma < 0 or correlation_s <= 0:
            raise ValueError(f"drift {name}: sigma {sigma}, correlation time {correlation_s} s make no sense")
        self.sigma = sigma
        self._seed, self._name = seed, name
        self._keep = float(np.exp(-STEP_S / correlation_s))
        self._values: NDArray[np.float64] = np.empty(0)

    def upto(self, time_s: float) -> NDArray[np.float64]:
        """Grid values from 0 to at least one step beyond time_s."""
        while len(self._values) * STEP_S < time_s + 2 * STEP_S:
            self._values = np.concatenate([self._values, self._next_chunk()])
        return self._values

    def at(self, time_s: ArrayLike) -> NDArray[np.float64]:
        """The process at these times (any shape)."""
        if self.sigma == 0 or not np.size(time_s):
            return np.zeros(np.shape(time_s))
        return on_grid(self.upto(float(np.max(time_s))), time_s)

    def _next_chunk(self) -> NDArray[np.float64]:
        if self.sigma == 0:
            return np.zeros(_CHUNK)
        number = len(self._values) // _CHUNK
        shocks = np.random.default_rng(streams.sequence(self._seed, f"{self._name}#{number}"))
        draws = shocks.standard_normal(_CHUNK)
        kick = self.sigma * float(np.sqrt(1 - self._keep**2))
        chunk = np.empty(_CHUNK)
        value = self._values[-1] if number else None
        for position, draw in enumerate(draws):
            value = self.sigma * draw if value is None else self._keep * value + kick * draw
            chunk[position] = value
        return chunk


def on_grid(values: NDArray[np.float64], time_s: ArrayLike) -> NDArray[np.float64]:
    """Linear interpolation of grid values at these times (s); negative times take the first value."""
    times = np.asarray(time_s, dtype=np.float64)
    if times.size > 1 and times.min() >= 0:
        cell = int(times.min() / STEP_S)
        if int(times.max() / STEP_S) == cell:  # the usual train lies in one cell: one straight line
            slope = (values[cell + 1] - values[cell]) / STEP_S
            return np.asarray(values[cell] + slope * (times - cell * STEP_S))
    position = np.clip(times / STEP_S, 0, len(values) - 1.001)
    index = position.astype(np.int64)
    below = values[index]
    return np.asarray(below + (position - index) * (values[index + 1] - below))
