"""Single passes over the arrays of a pulse train, compiled: no temporary arrays, however long the train."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
IN_ORDER, OVERLAPS, LATE = 0, 1, 2


@njit(cache=True, nogil=True, error_model="numpy")
def order(start: Floats, width: Floats, now: float, tolerance: float) -> int:
    """IN_ORDER, OVERLAPS (or a pulse has no width), or LATE: the last one ends after now."""
    end = start[0]
    for i in range(len(start)):
        if start[i] < end - tolerance or not width[i] > 0.0:
            return OVERLAPS
        end = start[i] + width[i]
    return LATE if end > now + tolerance else IN_ORDER


@njit(cache=True, nogil=True, error_model="numpy")
def largest(values: Floats) -> float:
    """The largest size; 0 of none."""
    found = 0.0
    for value in values:
        found = max(found, abs(value))
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def driven_by_volts(level_v: Floats, emf_v: float, siemens: float, limit_a: float, current: Floats) -> bool:
    """Fill current (n,) of open-circuit voltages behind a resistance; True if the limit held any."""
    limited = False
    for i in range(len(level_v)):
        value = (level_v[i] - emf_v) * siemens
        if abs(value) > limit_a:
            value, limited = np.copysign(limit_a, value), True
        current[i] = value
    return limited


@njit(cache=True, nogil=True, error_model="numpy")
def hall_v(
    current: Floats,
    current_level: Floats,
    time_s: Floats,
    warm_k: Floats,
    state_ohm: float,
    ohm: float,
    offset_v: float,
    grid: Floats,
    step_s: float,
    volts_per_k: float,
    volts: Floats,
) -> None:
    """Fill volts (n,): by state and current, of an offset that drifts on a grid, of warmth."""
    low, high, base, slope = 0.0, 0.0, 0.0, 0.0
    for i in range(len(current)):
        when = time_s[i]
        if not low <= when < high:
            cell = np.uint64(max(when, 0.0) / step_s)
            low, high = cell * step_s, (cell + 1.0) * step_s
            base = grid[cell] + offset_v
            slope = (grid[cell + np.uint64(1)] - grid[cell]) / step_s
        thermal = base + slope * max(when - low, 0.0) + warm_k[i] * volts_per_k
        volts[i] = current_level[i] * state_ohm + current[i] * ohm + thermal
