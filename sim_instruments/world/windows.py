"""Means over windows of time of what a pulse train makes, compiled: one walk over pulses and windows."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def window_means(
    start: Floats,
    width: Floats,
    pulse: Floats,
    level: Floats,
    warm: Floats,
    base: float,
    level_before: float,
    warm_before: float,
    opens: Floats,
    closes: Floats,
    mean: Floats,
    mean_level: Floats,
    mean_warm: Floats,
) -> bool:
    """Fill the means (m,) of a piecewise constant signal, of the signal times the level, of the warmth.

    The signal is pulse[i] (n,) during pulse i and base elsewhere; level and warmth are level[i] and
    warm[i] from the beginning of pulse i on (none: 0). Windows open in ascending order; one without
    length takes the value at its time. Returns False (nothing useful filled) if they do not ascend.
    """
    count, stateless = len(start), len(level) == 0
    first = 0  # the first pulse that ends after the window opens
    for k in range(len(opens)):
        begin, end = opens[k], closes[k]
        if end < begin or (k > 0 and begin < opens[k - 1]):
            return False
        while first < count and start[first] + width[first] <= begin:
            first += 1
        if first < count and start[first] <= begin and end <= start[first] + width[first]:
            mean[k] = pulse[first]
            mean_level[k] = 0.0 if stateless else pulse[first] * level[first]
            mean_warm[k] = 0.0 if stateless else warm[first]
            continue
        at, i = begin, first
        total, total_level = 0.0, 0.0
        now, hot, total_warm = level_before, warm_before, 0.0
        if first > 0 and not stateless:
            now, hot = level[first - 1], warm[first - 1]
        while i < count and start[i] < end:
            gap = max(start[i] - at, 0.0)
            stop = min(start[i] + width[i], end)
            part = stop - max(start[i], begin)
            total += base * gap + pulse[i] * part
            total_level += base * gap * now
            total_warm += gap * hot
            if not stateless:
                now, hot = level[i], warm[i]
            total_level += pulse[i] * part * now
            total_warm += part * hot
            at = stop
            i += 1
        rest = max(end - at, 0.0)
        if end > begin:
            mean[k] = (total + base * rest) / (end - begin)
            mean_level[k] = (total_level + base * rest * now) / (end - begin)
            mean_warm[k] = (total_warm + rest * hot) / (end - begin)
        else:
            mean[k], mean_level[k], mean_warm[k] = base, base * now, hot
    return True
