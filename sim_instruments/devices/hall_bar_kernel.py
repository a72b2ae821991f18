"""The Hall bar's life in time, compiled: pulse trains and standing conditions.

One device, sequential and exact: each pulse is one segment of constant conditions (its mean
temperature), with the two-state Markov transition over it. Random numbers are counter-based, so how a
train is cut into calls changes nothing. Spans of time count in whole nanoseconds for the same reason.

Scalars travel in named tuples and come back by value: that keeps them in registers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim_instruments.world.slow import STEP_S

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Key = Any  # two uint64: an array outside, a tuple inside

# the device's state, float64 (STATE_SIZE,)
SIGN, LEVEL, RESIDUAL, HEAT_1, HEAT_2, HEAT_3, HEAT_TIME, HAZARD = range(8)
DAMAGE, ENERGY, WORST, DEAD, HIGH, HEAT_SUM_POSITIVE, HEAT_SUM_NEGATIVE = range(8, 15)
STATE_SIZE = 15
# its counters, int64 (COUNT_SIZE,)
PULSES, FLIPS, POSITIVE, NEGATIVE = range(4)
COUNT_SIZE = 4


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


NEVER = 40.0  # exp(-40) is below the resolution of the random numbers that it is compared with
CERTAIN = -4.0  # 1 - exp(-exp(4)) is 1 in double precision
LOG_LN2 = math.log(math.log(2.0))
ANNIHILATES = 0.6  # a drive of this h along the state takes away the residual domain
DAMAGES_FROM = 0.6  # of the blow current; below it a bar lasts for ever
MOST_BACK = 0.3  # largest probability of back-switching
MOST_FLIPS = 1000  # in one standing segment; then the state is drawn from equilibrium
SHORTEST_S = 1e-10  # of a pulse
_KEPT = 16

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11, _S60 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11), np.uint64(60)
_LANES = np.uint64(8)
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_LANE_SWITCH, _LANE_INTERMEDIATE, _LANE_LEVEL, _LANE_BACK, _LANE_HAZARD = (np.uint64(i) for i in range(5))


@njit(cache=True, nogil=True, error_model="numpy")
def _mix(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser."""
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@njit(cache=True, nogil=True, error_model="numpy")
def uniform(key: Key, counter: int, lane: np.uint64) -> float:
    """Uniform in (0, 1): a hash of the device's 128-bit key, a counter and a lane."""
    word = _mix(key[0] + (np.uint64(counter) * _LANES + lane) * _WEYL)
    return (np.float64(_mix(word ^ key[1]) >> _S11) + 0.5) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True, error_model="numpy")
def leaving(bar: Switching, sign: float, residual: float, h: float, log_time: float) -> float:
    """Probability that the state has changed after exp(log_time) attempt times at constant h."""
    out = bar.delta * (1.0 - bar.lowers * residual) * max(0.0, 1.0 + sign * h) - log_time
    if out > NEVER:
        return 0.0
    back = bar.delta * max(0.0, 1.0 - sign * h) - log_time
    if back > NEVER and out < CERTAIN:
        return 1.0
    x = math.exp(-out)
    if back > NEVER:
        return -math.expm1(-x)
    total = x + math.exp(-back)
    return x / total * -math.expm1(-total)


@njit(cache=True, nogil=True, error_model="numpy")
def switch(
    bar: Switching,
    key: Key,
    number: int,
    sign: float,
    level: float,
    residual: float,
    current: float,
    h: float,
    log_time: float,
    h50: float,
) -> tuple[float, float, float]:
    """(sign, level, residual) after pulse `number` of this current at this h. h50 is the h of I50."""
    push = sign * bar.torque_t_per_a * current
    driven = abs(current) > bar.driven_from_a
    chance = leaving(bar, sign, residual, h, log_time)
    if chance == 0.0 and not driven:
        return sign, level, residual
    if driven and push < 0.0:
        if abs(h) < bar.depinning * h50:
            chance = bar.floor + (bar.ceiling - bar.floor) * chance
        chance *= 1.0 - bar.failure
    if chance > 0.0 and uniform(key, number, _LANE_SWITCH) < chance:
        sign, push = -sign, -push
        level, residual = sign, 0.0
        if driven:
            level, residual = sign * bar.reversed_part, 1.0
            if bar.intermediate > 0.0 and uniform(key, number, _LANE_INTERMEDIATE) < bar.intermediate:
                level *= 0.3 + 0.6 * uniform(key, number, _LANE_LEVEL)
    elif driven and push > 0.0 and sign * h > ANNIHILATES:
        residual = 0.0
        if abs(level) < bar.reversed_part:
            level = sign * bar.reversed_part
    if driven and push > 0.0 and bar.back > 0.0 and abs(h) > bar.back_from * h50:
        chance = min(MOST_BACK, bar.back * (abs(h) / (bar.back_from * h50) - 1.0))
        if uniform(key, number, _LANE_BACK) < chance:
            return -sign, -sign * bar.reversed_part, 1.0
    return sign, level, residual


@njit(cache=True, nogil=True, error_model="numpy")
def _grid(values: Floats, time: float) -> Any:
    """Linear interpolation of a slow drift."""
    position = max(time, 0.0) * (1.0 / STEP_S)
    index = np.uint64(position)
    return values[index] + (position - index) * (values[index + np.uint64(1)] - values[index])


@njit(cache=True, nogil=True, error_model="numpy")
def _nanoseconds(span: float) -> tuple[np.uint64, np.uint64]:
    """A span of time in whole nanoseconds, and its place in a small table."""
    count = np.uint64(max(span, 0.0) * 1e9 + 0.5)
    return count, (count * _WEYL) >> _S60


@njit(cache=True, nogil=True, error_model="numpy")
def _stand(
    bar: Switching, state: Floats, count: Counts, key: Key, left: float, h0: float, h1: float, full: float
) -> None:
    """Live `left` seconds in which h goes linearly from h0 to h1: exact waiting times.

    full is the level after a switch (1 by field, the reversed part by current).
    """
    flips = 0
    while left > 0.0:
        sign = state[SIGN]
        lowered = bar.delta * (1.0 - bar.lowers * state[RESIDUAL])
        a0, a1 = lowered * max(0.0, 1.0 + sign * h0), lowered * max(0.0, 1.0 + sign * h1)
        slope = a0 - a1
        at_start = math.exp(-a0) * left / bar.tau0_s
        straight = abs(slope) < 1e-9
        hazard = at_start if straight else at_start * math.expm1(slope) / slope
        if hazard < state[HAZARD]:
            state[HAZARD] -= hazard
            return
        part = state[HAZARD] / at_start
        if not straight:
            part = math.log1p(part * slope) / slope
        part = min(max(part, 0.0), 1.0)
        h0 += part * (h1 - h0)
        left *= 1.0 - part
        flips += 1
        if flips < MOST_FLIPS:
            state[SIGN] = -sign
        else:
            up, down = math.exp(-bar.delta * max(0.0, 1.0 - h1)), math.exp(-bar.delta * max(0.0, 1.0 + h1))
            drawn = uniform(key, count[FLIPS], _LANE_SWITCH)
            state[SIGN] = 1.0 if drawn * (up + down) < up else -1.0
            left = 0.0
        state[LEVEL] = state[SIGN] * full
        state[RESIDUAL] = 0.0 if full == 1.0 else 1.0
        state[HAZARD] = -math.log(uniform(key, count[FLIPS], _LANE_HAZARD))
        count[FLIPS] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def play(
    bar: Switching,
    heat: Thermal,
    state: Floats,
    count: Counts,
    key: Key,
    current: Floats,
    start: Floats,
    width: Floats,
    base: float,
    base_matters: bool,
    field: Floats,
    drift: Floats,
    stray: Floats,
    level: Floats,
) -> int:
    """A train of pulses; level (n,) takes the state level after each. Returns the pulses survived.

    field is one value or one for each pulse; drift (of Ic0) and stray are slow-drift grids. With
    base_matters the gaps before each pulse can switch the device too.
    """
    one_field = len(field) == 1
    key = (key[0], key[1])
    gap_key, width_key = np.full(_KEPT, _EMPTY), np.full(_KEPT, _EMPTY)
    gap_keep, width_keep = np.ones((_KEPT, 3)), np.ones((_KEPT, 8))
    sign, spot, residual = state[SIGN], state[LEVEL], state[RESIDUAL]
    x1, x2, x3, heat_time = state[HEAT_1], state[HEAT_2], state[HEAT_3], state[HEAT_TIME]
    energy, worst, damage = state[ENERGY], state[WORST], state[DAMAGE]
    warm_positive, warm_negative = state[HEAT_SUM_POSITIVE], state[HEAT_SUM_NEGATIVE]
    number, positive, negative = count[PULSES], count[POSITIVE], count[NEGATIVE]
    r1, r2, r3 = heat.k_per_w
    rest, warm, carried, mean, survived = 0.0, 0.0, 0.0, 0.0, len(current)
    for i in range(len(current)):
        amps, begin, span = current[i], start[i], width[i]
        power = heat.r_ohm * amps * amps
        factor = bar.hn_t * _grid(drift, begin)
        outside = (field[0] if one_field else field[i]) + _grid(stray, begin)
        nanoseconds, at = _nanoseconds(span)
        if width_key[at] != nanoseconds:
            width_key[at] = nanoseconds
            exact = max(nanoseconds * 1e-9, SHORTEST_S)
            width_keep[at, 6] = math.log(exact / bar.tau0_s)
            width_keep[at, 7] = 1.0 - (width_keep[at, 6] - LOG_LN2) / bar.delta
            for k in range(3):
                width_keep[at, k] = math.exp(-exact / heat.tau_s[k])
                width_keep[at, 3 + k] = -math.expm1(-exact / heat.tau_s[k]) * heat.tau_s[k] / exact
        if heat.on:
            nanoseconds, there = _nanoseconds(begin - heat_time)
            if gap_key[there] != nanoseconds:
                gap_key[there] = nanoseconds
                for k in range(3):
                    gap_keep[there, k] = math.exp(nanoseconds * -1e-9 / heat.tau_s[k])
            x1 = r1 * rest + (x1 - r1 * rest) * gap_keep[there, 0]
            x2 = r2 * rest + (x2 - r2 * rest) * gap_keep[there, 1]
            x3 = r3 * rest + (x3 - r3 * rest) * gap_keep[there, 2]
            warm = x1 + x2 + x3
            f1, f2, f3 = width_keep[at, 3], width_keep[at, 4], width_keep[at, 5]
            carried = x1 * f1 + x2 * f2 + x3 * f3
            mean = carried + power * (r1 * (1.0 - f1) + r2 * (1.0 - f2) + r3 * (1.0 - f3))
            x1 = r1 * power + (x1 - r1 * power) * width_keep[at, 0]
            x2 = r2 * power + (x2 - r2 * power) * width_keep[at, 1]
            x3 = r3 * power + (x3 - r3 * power) * width_keep[at, 2]
            heat_time = begin + span
            rest = heat.r_ohm * base * base
        if base_matters and i > 0:
            h = (outside + bar.torque_t_per_a * base) / (factor * (1.0 + bar.per_kelvin * warm))
            state[SIGN], state[LEVEL], state[RESIDUAL] = sign, spot, residual
            _stand(bar, state, count, key, begin - start[i - 1] - width[i - 1], h, h, 1.0)
            sign, spot, residual = state[SIGN], state[LEVEL], state[RESIDUAL]
        h = (outside + bar.torque_t_per_a * amps) / (factor * (1.0 + bar.per_kelvin * mean))
        sign, spot, residual = switch(
            bar, key, number, sign, spot, residual, amps, h, width_keep[at, 6], width_keep[at, 7]
        )
        level[i] = spot
        number += 1
        energy += power * span
        worst = max(worst, abs(amps))
        if amps > bar.driven_from_a:
            positive += 1
            warm_positive += carried
        elif amps < -bar.driven_from_a:
            negative += 1
            warm_negative += carried
        if abs(amps) > DAMAGES_FROM * heat.blow_a:
            damage += span / heat.blow_s * (abs(amps) / heat.blow_a) ** heat.blow_power
            if damage >= 1.0:
                state[DEAD] = 1.0
                survived = i + 1
                break
    state[SIGN], state[LEVEL], state[RESIDUAL] = sign, spot, residual
    state[HEAT_1], state[HEAT_2], state[HEAT_3], state[HEAT_TIME] = x1, x2, x3, heat_time
    state[ENERGY], state[WORST], state[DAMAGE] = energy, worst, damage
    state[HEAT_SUM_POSITIVE], state[HEAT_SUM_NEGATIVE] = warm_positive, warm_negative
    count[PULSES], count[POSITIVE], count[NEGATIVE] = number, positive, negative
    return survived


@njit(cache=True, nogil=True, error_model="numpy")
def warm_up(heat: Thermal, state: Floats, current: float, until: float) -> float:
    """Heat under a standing current up to a time; returns the rise then (K)."""
    if not heat.on:
        return 0.0
    gap = max(until - state[HEAT_TIME], 0.0)
    total = 0.0
    for k in range(3):
        rest = heat.k_per_w[k] * heat.r_ohm * current * current
        state[HEAT_1 + k] = rest + (state[HEAT_1 + k] - rest) * math.exp(-gap / heat.tau_s[k])
        total += state[HEAT_1 + k]
    state[HEAT_TIME] = max(until, state[HEAT_TIME])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def settle(
    bar: Switching,
    heat: Thermal,
    state: Floats,
    count: Counts,
    key: Key,
    times: Floats,
    field: Floats,
    current: float,
    drift: Floats,
    stray: Floats,
) -> None:
    """Standing current, field moving linearly between the nodes (times, field), both (n,)."""
    key = (key[0], key[1])
    push = bar.torque_t_per_a * current
    before = 0.0
    for i in range(len(times)):
        rise = warm_up(heat, state, current, times[i])
        barrier = bar.hn_t * _grid(drift, times[i]) * (1.0 + bar.per_kelvin * rise)
        outside = field[i] + _grid(stray, times[i])
        h = (outside + push) / barrier
        if i > 0:
            full = bar.reversed_part if abs(push) > abs(outside) else 1.0
            _stand(bar, state, count, key, times[i] - times[i - 1], before, h, full)
            if state[SIGN] * outside / barrier > ANNIHILATES:
                state[LEVEL], state[RESIDUAL] = state[SIGN], 0.0
        before = h
