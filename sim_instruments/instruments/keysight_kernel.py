"""Samples to runs and runs to rectangles, compiled: one walk over each, whatever lies in them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def run_lengths(codes: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """(value (k,), first sample (k,)) of each run of equal samples."""
    count = 1
    for i in range(1, len(codes)):
        count += codes[i] != codes[i - 1]
    values, starts = np.empty(count, np.int16), np.empty(count, np.int64)
    values[0], starts[0] = codes[0], 0
    k = 1
    for i in range(1, len(codes)):
        if codes[i] != codes[i - 1]:
            values[k], starts[k] = codes[i], i
            k += 1
    return values, starts


@njit(cache=True, nogil=True)
def quantised(codes: NDArray[np.int16], bits: int) -> Floats:
    """Samples of 16 bits as a converter of fewer bits plays them, as parts of full scale (-1 to 1)."""
    step = 1 << (16 - bits)
    top = 32767 - 32767 % step
    played = np.empty(len(codes))
    for i in range(len(codes)):
        code = (int(codes[i]) + step // 2) & -step
        played[i] = float(min(max(code, -top), top)) / 32767.0
    return played


@njit(cache=True, nogil=True)
def rectangles(
    level: Floats, start: Floats, duration: float, half: float, offset: float, idle: float, threshold: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """(level, start, width) of what is not at idle, each (m,), and the starts (r,) of rises over threshold.

    level (k,) from start (k,) on, in parts of half around offset. The first run rises if the last is low.
    """
    count, was_low = len(level), offset + half * level[len(level) - 1] <= threshold
    out_level, out_start, out_width = np.empty(count), np.empty(count), np.empty(count)
    rise = np.empty(count)
    m = r = 0
    for i in range(count):
        value = offset + half * level[i]
        if value != idle:
            end = start[i + 1] if i + 1 < count else duration
            out_level[m], out_start[m], out_width[m] = value, start[i], end - start[i]
            m += 1
        if was_low and value > threshold:
            rise[r] = start[i]
            r += 1
        was_low = value <= threshold
    return out_level[:m], out_start[:m], out_width[:m], rise[:r].copy()
