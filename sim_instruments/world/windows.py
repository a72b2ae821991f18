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
    base: float,
    level_before: float,
    opens: Floats,
    closes: Floats,
    mean: Floats,
    mean_level: Floats,
) -> bool:
    """Fill mean and mean_level (m,): of a piecewise constant signal, and of the signal times the level.

    The signal is pulse[i] (n,) during pulse i and base elsewhere; the level is level[i] from the
    beginning of pulse i on. Windows open in ascending order; a window without length takes the value
    at its time. Returns False (nothing useful filled) if the windows do not ascend.
    """
    count = len(start)
    first = 0  # the first pulse that ends after the window opens
    for k in range(len(opens)):
        begin, end = opens[k], closes[k]
        if end < begin or (k > 0 and begin < opens[k - 1]):
            return False
        while first < count and start[first] + width[first] <= begin:
            first += 1
        if first < count and start[first] <= begin and end <= start[first] + width[first]:
            mean[k], mean_level[k] = pulse[first], pulse[first] * level[first]
            continue
        at, i = begin, first
        total, total_level = 0.0, 0.0
        now = level[first - 1] if first > 0 else level_before
        while i < count and start[i] < end:
            gap = max(start[i] - at, 0.0)
            stop = min(start[i] + width[i], end)
            part = stop - max(start[i], begin)
            total += base * gap + pulse[i] * part
            total_level += base * gap * now + pulse[i] * part * level[i]
            at, now = stop, level[i]
            i += 1
        rest = max(end - at, 0.0)
        if end > begin:
            mean[k] = (total + base * rest) / (end - begin)
            mean_level[k] = (total_level + base * rest * now) / (end - begin)
        else:
            mean[k], mean_level[k] = base, base * now
    return True
