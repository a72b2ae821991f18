"""The Hall bar's switching law, compiled: what one pulse of constant conditions does to the state."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim_instruments.devices.counter_random import SMALLEST, Key, uniform

Floats = NDArray[np.float64]


class Switching(NamedTuple):
    """What decides a pulse. torque_t_per_a is the effective field per ampere of current."""

    tau0_s: float
    delta: float
    hn_t: float
    torque_t_per_a: float
    driven_from_a: float
    reversed_part: float
    intermediate: float
    failure: float
    lowers: float
    floor: float
    ceiling: float
    depinning: float
    back_from: float
    back: float
    per_kelvin: float


class Thermal(NamedTuple):
    """Heat and damage: three first-order rises (K/W, s), the current line, life at the blow current."""

    on: bool
    r_ohm: float
    k_per_w: tuple[float, float, float]
    tau_s: tuple[float, float, float]
    blow_a: float
    blow_s: float
    blow_power: float


NEVER = -math.log(SMALLEST)  # exp(-NEVER) is the smallest random number that it is compared with
CERTAIN = -4.0  # 1 - exp(-exp(4)) is 1 in double precision
LOG_LN2 = math.log(math.log(2.0))
ANNIHILATES = 0.6  # a drive of this h along the state takes away the residual domain
MOST_BACK = 0.3  # largest probability of back-switching
LANE_SWITCH, LANE_INTERMEDIATE, LANE_LEVEL, LANE_BACK, LANE_HAZARD = (np.uint64(i) for i in range(5))


def packed(bar: Switching, heat: Thermal) -> tuple[Floats, Floats]:
    """Both as arrays: what a compiled function takes quickly."""
    return np.array(bar, dtype=np.float64), np.array(
        [heat.on, heat.r_ohm, *heat.k_per_w, *heat.tau_s, heat.blow_a, heat.blow_s, heat.blow_power],
        dtype=np.float64,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def switching(p: Floats) -> Switching:
    """Back from an array."""
    return Switching(
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13], p[14]
    )


@njit(cache=True, nogil=True, error_model="numpy")
def thermal(p: Floats) -> Thermal:
    """Back from an array."""
    return Thermal(p[0] > 0.0, p[1], (p[2], p[3], p[4]), (p[5], p[6], p[7]), p[8], p[9], p[10])


_PARTS = 32  # of an octave in the table of `exponential`
_BITS, _BELOW = np.uint64(5), np.uint64(_PARTS - 1)
_OCTAVE = 2.0 ** (np.arange(_PARTS) / _PARTS)
_POWERS = 2.0 ** np.arange(-128.0, 64.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def exponential(value: float) -> float:
    """exp(value) for -80 to 40, to 1e-14: without the call that would push all else out of the registers."""
    place = np.floor(value * (_PARTS / math.log(2.0)) + 0.5)
    rest = value - place * (math.log(2.0) / _PARTS)
    index = np.uint64(place + 128.0 * _PARTS)
    square = rest * rest
    series = 1.0 + rest + square * (0.5 + rest * (1.0 / 6.0) + square * (1.0 / 24.0 + rest * (1.0 / 120.0)))
    return float(_POWERS[index >> _BITS] * _OCTAVE[index & _BELOW] * series)


@njit(cache=True, nogil=True, error_model="numpy")
def safe_h(bar: Switching, log_time: float) -> float:
    """The h against the state up to which no pulse of exp(log_time) attempt times can switch."""
    return 1.0 - (NEVER + log_time) / (bar.delta * (1.0 - bar.lowers))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def leaving(bar: Switching, sign: float, residual: float, h: float, log_time: float) -> float:
    """Probability that the state has changed after exp(log_time) attempt times at constant h."""
    out = bar.delta * (1.0 - bar.lowers * residual) * max(0.0, 1.0 + sign * h) - log_time
    if out > NEVER:
        return 0.0
    back = bar.delta * max(0.0, 1.0 - sign * h) - log_time
    if back > NEVER:
        if out < CERTAIN:
            return 1.0
        x = exponential(-out)
        return 1.0 - exponential(-x) if x > 1e-5 else x * (1.0 - 0.5 * x)
    x = math.exp(-out)
    total = x + math.exp(-back)
    return x / total * -math.expm1(-total)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def switch(
    bar: Switching,
    key: Key,
    number: int,
    sign: float,
    level: float,
    residual: float,
    current: float,
    total_t: float,
    barrier_t: float,
    safe: float,
    log_time: float,
    h50: float,
) -> tuple[float, float, float]:
    """(sign, level, residual) after pulse `number` of this current.

    total_t is the effective field with the current's torque, barrier_t the field of no barrier, safe what
    `safe_h` says, h50 the h of I50. Nothing is computed or drawn that cannot matter.
    """
    push = sign * bar.torque_t_per_a * current
    driven = abs(current) > bar.driven_from_a
    against = driven and push < 0.0
    chance = 0.0
    if sign * total_t < -safe * barrier_t:
        chance = leaving(bar, sign, residual, total_t / barrier_t, log_time)
    if against:
        if bar.ceiling - bar.floor < 1.0 and abs(total_t) < bar.depinning * h50 * barrier_t:
            chance = bar.floor + (bar.ceiling - bar.floor) * chance
        chance *= 1.0 - bar.failure
    if chance > 0.0 and uniform(key, number, LANE_SWITCH) < chance:
        sign, push = -sign, -push
        level, residual = sign, 0.0
        if driven:
            level, residual = sign * bar.reversed_part, 1.0
            if bar.intermediate > 0.0 and uniform(key, number, LANE_INTERMEDIATE) < bar.intermediate:
                level *= 0.3 + 0.6 * uniform(key, number, LANE_LEVEL)
    elif driven and push > 0.0 and sign * total_t > ANNIHILATES * barrier_t:
        residual = 0.0
        if abs(level) < bar.reversed_part:
            level = sign * bar.reversed_part
    if driven and push > 0.0 and bar.back > 0.0:
        onset_t = bar.back_from * h50 * barrier_t
        if abs(total_t) > onset_t:
            chance = min(MOST_BACK, bar.back * (abs(total_t) / onset_t - 1.0))
            if uniform(key, number, LANE_BACK) < chance:
                return -sign, -sign * bar.reversed_part, 1.0
    return sign, level, residual
