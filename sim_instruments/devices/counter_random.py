"""Counter-based random numbers, compiled: a number depends on its key, counter and lane only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Key = Any  # two uint64: an array outside, a tuple inside
SMALLEST = 0.5 / 9007199254740992.0  # what `uniform` gives at least

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_LANES = np.uint64(8)


@njit(cache=True, nogil=True, error_model="numpy")
def mixed(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser."""
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@njit(cache=True, nogil=True, error_model="numpy")
def uniform(key: Key, counter: int, lane: np.uint64) -> float:
    """Uniform in (0, 1): a hash of the device's 128-bit key, a counter and a lane (0 to 7)."""
    word = mixed(key[0] + (np.uint64(counter) * _LANES + lane) * _WEYL)
    return (np.float64(mixed(word ^ key[1]) >> _S11) + 0.5) * (1.0 / 9007199254740992.0)
