"""The logistic bar's life in a pulse train, compiled; state and counters are laid out as the Hall bar's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim_instruments.devices.counter_random import Key, uniform
from sim_instruments.devices.hall_bar_kernel import (
    ENERGY,
    LEVEL,
    NEGATIVE,
    POSITIVE,
    PULSES,
    SIGN,
    WORST,
)
from sim_instruments.devices.hall_bar_law import LANE_SWITCH, exponential

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
BEYOND = 37.0  # logistic units from which P cannot be told from 0 or 1 with the random numbers in use


class Curve(NamedTuple):
    """P(I) of one bar: floor + (ceiling - floor) / (1 + exp(-(|I| - i50_a) / unit_a)).

    Up to reads_to_a nothing happens; from depins_at_a on floor and ceiling do not hold. A positive current
    switches to `way` (1 or -1; 0: no torque).
    """

    i50_a: float
    unit_a: float
    floor: float
    ceiling: float
    reads_to_a: float
    depins_at_a: float
    way: float
    r_ohm: float


@njit(cache=True, nogil=True, error_model="numpy")
def play(
    curve: Floats, state: Floats, count: Counts, key: Key, current: Floats, width: Floats, level: Floats
) -> None:
    """A train of pulses; level (n,) takes the state after each. curve is a `Curve` as an array."""
    i50, per_unit, floor, span = curve[0], 1.0 / curve[1], curve[2], curve[3] - curve[2]
    reads_to, depins_at, way, ohm = curve[4], curve[5], curve[6], curve[7]
    key = (key[0], key[1])
    sign, energy, worst, spot = state[SIGN], state[ENERGY], state[WORST], state[LEVEL]
    number, positive, negative = count[PULSES], count[POSITIVE], count[NEGATIVE]
    for i in range(len(current)):
        amps = current[i]
        size = abs(amps)
        energy += ohm * size * size * width[i]
        worst = max(worst, size)
        if size > reads_to:
            if amps > 0.0:
                positive += 1
            else:
                negative += 1
            if sign * way * amps < 0.0:
                z = (size - i50) * per_unit
                if z > BEYOND:
                    chance = 1.0
                elif z < -BEYOND:
                    chance = 0.0
                else:
                    chance = 1.0 / (1.0 + exponential(-z))
                if size < depins_at:
                    chance = floor + span * chance
                if uniform(key, number + i, LANE_SWITCH) < chance:
                    sign = -sign
                    spot = sign
        level[i] = spot
    state[SIGN], state[LEVEL], state[ENERGY], state[WORST] = sign, spot, energy, worst
    count[PULSES], count[POSITIVE], count[NEGATIVE] = number + len(current), positive, negative
