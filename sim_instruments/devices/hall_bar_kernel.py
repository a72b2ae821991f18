"""The Hall bar's life in time, compiled: pulse trains and standing conditions.

One device, sequential and exact: each pulse is one segment of constant conditions (its mean
temperature), with the two-state Markov transition over it. Random numbers are counter-based, so how a
train is cut into calls changes nothing. Spans of time count in whole nanoseconds for the same reason:
what depends on a pulse's width or on a gap alone is worked out once for each that occurs (`memory`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sim_instruments.devices.counter_random import Key, uniform
from sim_instruments.devices.hall_bar_law import (
    ANNIHILATES,
    LANE_HAZARD,
    LANE_SWITCH,
    LOG_LN2,
    Switching,
    Thermal,
    safe_h,
    switch,
    switching,
    thermal,
)
from sim_instruments.world.slow import STEP_S

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

# the device's state, float64 (STATE_SIZE,)
SIGN, LEVEL, RESIDUAL, HEAT_1, HEAT_2, HEAT_3, HEAT_TIME, HAZARD = range(8)
DAMAGE, ENERGY, WORST, DEAD, HIGH, HEAT_SUM_POSITIVE, HEAT_SUM_NEGATIVE = range(8, 15)
STATE_SIZE = 15
# its counters, int64 (COUNT_SIZE,)
PULSES, FLIPS, POSITIVE, NEGATIVE = range(4)
COUNT_SIZE = 4

DAMAGES_FROM = 0.6  # of the blow current; below it a bar lasts for ever
MOST_FLIPS = 1000  # in one standing segment; then the state is drawn from equilibrium
SHORTEST_S = 1e-10  # of a pulse
EARLIEST_S = -1e9  # before all times

# what is remembered of a width of pulses, a row of `memory`; of a gap only DECAY to DECAY + 2
# (unsigned, as are all places here: a signed index would be looked at for being negative)
_MEAN, _OWN, _DECAY, _RISE = np.uint64(0), np.uint64(3), np.uint64(4), np.uint64(7)
_LOG_TIME, _H50, _SAFE = np.uint64(10), np.uint64(11), np.uint64(12)
_ROW, _ROWS = np.uint64(16), np.uint64(64)
_1, _2 = np.uint64(1), np.uint64(2)
_HASH, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(58)
BLOCK = 1024  # pulses that are looked at together
Places = NDArray[np.uint64]
Memory = tuple[Counts, Floats, Floats, Floats, Floats, Places, Places]


def memory() -> Memory:
    """Nothing remembered yet: spans (ns) of widths, then gaps, a row of numbers for each; room for a block.

    The block: effective field, barrier, drive in the gap before, row of its width and place of each pulse.
    """
    spans, rows = np.full(2 * int(_ROWS), -1, np.int64), np.zeros(2 * int(_ROWS * _ROW))
    total_t, barrier_t, gap_h = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    return spans, rows, total_t, barrier_t, gap_h, np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.uint64)


@njit(cache=True, nogil=True, error_model="numpy")
def _remember_width(bar: Switching, heat: Thermal, row: Floats, nanoseconds: Any) -> None:
    """All that depends on the width of a pulse alone."""
    exact = max(nanoseconds * 1e-9, SHORTEST_S)
    row[_OWN] = 0.0
    for k in range(3):
        part, place = exact / heat.tau_s[k], np.uint64(k)
        row[_MEAN + place] = -math.expm1(-part) / part
        row[_DECAY + place] = math.exp(-part)
        row[_RISE + place] = -math.expm1(-part) * heat.k_per_w[k]
        row[_OWN] += heat.k_per_w[k] * (1.0 - row[_MEAN + place])
    row[_LOG_TIME] = math.log(exact / bar.tau0_s)
    row[_H50] = 1.0 - (row[_LOG_TIME] - LOG_LN2) / bar.delta
    row[_SAFE] = safe_h(bar, row[_LOG_TIME])


@njit(cache=True, nogil=True, error_model="numpy")
def _remember_gap(heat: Thermal, row: Floats, nanoseconds: Any) -> None:
    """What a gap leaves of each rise."""
    for k in range(3):
        row[k] = math.exp(nanoseconds * -1e-9 / heat.tau_s[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _grid(values: Floats, time: float) -> Any:
    """Linear interpolation of a slow drift."""
    position = max(time, 0.0) * (1.0 / STEP_S)
    index = np.uint64(position)
    return values[index] + (position - index) * (values[index + np.uint64(1)] - values[index])


@njit(cache=True, nogil=True, error_model="numpy")
def _cell(time: float, drift: Floats, stray: Floats) -> tuple[float, float, float, float, float, float]:
    """The cell of the slow grids that holds a time: from, until, and first value and slope of both."""
    if time < 0.0:
        return EARLIEST_S, 0.0, drift[0], 0.0, stray[0], 0.0
    index = np.int64(time * (1.0 / STEP_S))
    if time < index * STEP_S:
        index -= 1
    elif time >= (index + 1) * STEP_S:
        index += 1
    return (
        index * STEP_S,
        (index + 1) * STEP_S,
        drift[index],
        (drift[index + 1] - drift[index]) / STEP_S,
        stray[index],
        (stray[index + 1] - stray[index]) / STEP_S,
    )


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
            drawn = uniform(key, count[FLIPS], LANE_SWITCH)
            state[SIGN] = 1.0 if drawn * (up + down) < up else -1.0
            left = 0.0
        state[LEVEL] = state[SIGN] * full
        state[RESIDUAL] = 0.0 if full == 1.0 else 1.0
        state[HAZARD] = -math.log(uniform(key, count[FLIPS], LANE_HAZARD))
        count[FLIPS] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _wear(heat: Thermal, state: Floats, current: Floats, width: Floats) -> int:
    """Energy, largest current and damage of a train; the number of pulses that the bar survives."""
    energy, worst, damage = state[ENERGY], state[WORST], state[DAMAGE]
    harmful, survived = DAMAGES_FROM * heat.blow_a, len(current)
    for i in range(len(current)):
        size = abs(current[i])
        energy += heat.r_ohm * size * size * width[i]
        worst = max(worst, size)
        if size > harmful:
            damage += width[i] / heat.blow_s * (size / heat.blow_a) ** heat.blow_power
            if damage >= 1.0:
                state[DEAD], survived = 1.0, i + 1
                break
    state[ENERGY], state[WORST], state[DAMAGE] = energy, worst, damage
    return survived


@njit(cache=True, nogil=True, error_model="numpy")
def _conditions(
    bar: Switching,
    heat: Thermal,
    state: Floats,
    count: Counts,
    current: Floats,
    start: Floats,
    width: Floats,
    began: bool,
    base: float,
    field: Floats,
    drift: Floats,
    stray: Floats,
    notes: Memory,
    every: bool,
    warm_k: Floats,
) -> int:
    """What the pulses of a block find, whatever the bar's state: effective field, barrier, row of the width.

    Notes those that can matter to the state (all of them with `every`), and the drive in the gap before
    each. Returns their number. With began the train's base current was on before the first of them.
    """
    spans, rows, total_t, barrier_t, gap_h, row_of, matters = notes
    x1, x2, x3, heat_time = state[HEAT_1], state[HEAT_2], state[HEAT_3], state[HEAT_TIME]
    warm_positive, warm_negative = state[HEAT_SUM_POSITIVE], state[HEAT_SUM_NEGATIVE]
    positive, negative, many = count[POSITIVE], count[NEGATIVE], np.uint64(0)
    rest = heat.r_ohm * base * base
    rest_1, rest_2, rest_3 = heat.k_per_w[0] * rest, heat.k_per_w[1] * rest, heat.k_per_w[2] * rest
    one_field, outside_t = len(field) == 1, field[0]
    cell_from, cell_until, drift_from, drift_slope, stray_from, stray_slope = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    carried, own, warm = 0.0, 0.0, 0.0
    for i in range(len(current)):
        amps, begin, span = current[i], start[i], width[i]
        if not cell_from <= begin < cell_until:  # slow drifts are straight lines inside a cell
            cell_from, cell_until, drift_from, drift_slope, stray_from, stray_slope = _cell(
                begin, drift, stray
            )
        nanoseconds = np.int64(span * 1e9 + 0.5)
        at = (np.uint64(nanoseconds) * _HASH) >> _SHIFT
        row = at * _ROW
        if spans[at] != nanoseconds:
            spans[at] = nanoseconds
            _remember_width(bar, heat, rows[row : row + _ROW], nanoseconds)
        if heat.on:
            nanoseconds = np.int64(max(begin - heat_time, 0.0) * 1e9 + 0.5)
            at = ((np.uint64(nanoseconds) * _HASH) >> _SHIFT) + _ROWS
            gap = at * _ROW
            if spans[at] != nanoseconds:
                spans[at] = nanoseconds
                _remember_gap(heat, rows[gap : gap + _ROW], nanoseconds)
            if rest == 0.0 or not (began or i > 0):
                x1, x2, x3 = x1 * rows[gap], x2 * rows[gap + _1], x3 * rows[gap + _2]
            else:
                x1 = rest_1 + (x1 - rest_1) * rows[gap]
                x2 = rest_2 + (x2 - rest_2) * rows[gap + _1]
                x3 = rest_3 + (x3 - rest_3) * rows[gap + _2]
            power = heat.r_ohm * amps * amps
            warm = x1 + x2 + x3
            carried = x1 * rows[row + _MEAN] + x2 * rows[row + _MEAN + _1] + x3 * rows[row + _MEAN + _2]
            own = power * rows[row + _OWN]
            x1 = x1 * rows[row + _DECAY] + power * rows[row + _RISE]
            x2 = x2 * rows[row + _DECAY + _1] + power * rows[row + _RISE + _1]
            x3 = x3 * rows[row + _DECAY + _2] + power * rows[row + _RISE + _2]
            heat_time = begin + span
        warm_k[i] = x3
        if not one_field:
            outside_t = field[i]
        since = begin - cell_from
        around_t = outside_t + (stray_from + stray_slope * since)
        cold_t = bar.hn_t * (drift_from + drift_slope * since)
        here_t = around_t + bar.torque_t_per_a * amps
        weak_t = cold_t * (1.0 + bar.per_kelvin * (carried + own))
        driven = abs(amps) > bar.driven_from_a
        if driven:
            if amps > 0.0:
                positive += 1
                warm_positive += carried
            else:
                negative += 1
                warm_negative += carried
        if every:
            gap_h[many] = (around_t + bar.torque_t_per_a * base) / (cold_t * (1.0 + bar.per_kelvin * warm))
        if driven or every or abs(here_t) > rows[row + _SAFE] * weak_t:
            total_t[many], barrier_t[many], row_of[many], matters[many] = here_t, weak_t, row, np.uint64(i)
            many += _1
    state[HEAT_1], state[HEAT_2], state[HEAT_3], state[HEAT_TIME] = x1, x2, x3, heat_time
    state[HEAT_SUM_POSITIVE], state[HEAT_SUM_NEGATIVE] = warm_positive, warm_negative
    count[POSITIVE], count[NEGATIVE] = positive, negative
    return int(many)


@njit(cache=True, nogil=True, error_model="numpy")
def _states(
    bar: Switching,
    state: Floats,
    key: Key,
    number: int,
    current: Floats,
    notes: Memory,
    many: int,
    level: Floats,
) -> None:
    """The level after each pulse of a block, from those that matter. number is the first one's."""
    _, rows, total_t, barrier_t, _, row_of, matters = notes
    sign, spot, residual = state[SIGN], state[LEVEL], state[RESIDUAL]
    done = np.uint64(0)
    for j in range(many):
        i, row = matters[j], row_of[j]
        while done < i:
            level[done] = spot
            done += _1
        sign, spot, residual = switch(
            bar,
            key,
            number + int(i),
            sign,
            spot,
            residual,
            current[i],
            total_t[j],
            barrier_t[j],
            rows[row + _SAFE],
            rows[row + _LOG_TIME],
            rows[row + _H50],
        )
    while done < np.uint64(len(level)):
        level[done] = spot
        done += _1
    state[SIGN], state[LEVEL], state[RESIDUAL] = sign, spot, residual


@njit(cache=True, nogil=True, error_model="numpy")
def _states_and_gaps(
    bar: Switching,
    state: Floats,
    count: Counts,
    key: Key,
    number: int,
    first: int,
    current: Floats,
    start: Floats,
    width: Floats,
    notes: Memory,
    many: int,
    level: Floats,
) -> None:
    """The same where gaps matter too: all pulses of the block are noted. first counts in the train."""
    _, rows, total_t, barrier_t, gap_h, row_of, _ = notes
    for j in range(many):
        i, row = first + j, row_of[j]
        if i > 0:
            left = start[i] - start[i - 1] - width[i - 1]
            _stand(bar, state, count, key, left, gap_h[j], gap_h[j], 1.0)
        state[SIGN], state[LEVEL], state[RESIDUAL] = switch(
            bar,
            key,
            number + i,
            state[SIGN],
            state[LEVEL],
            state[RESIDUAL],
            current[i],
            total_t[j],
            barrier_t[j],
            rows[row + _SAFE],
            rows[row + _LOG_TIME],
            rows[row + _H50],
        )
        level[i] = state[LEVEL]


@njit(cache=True, nogil=True, error_model="numpy")
def play(
    law: Floats,
    hot: Floats,
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
    notes: Memory,
    level: Floats,
    warm_k: Floats,
) -> int:
    """A train of pulses; level and warm_k (n,) take the state level and the slow rise (K) after each.

    Returns the pulses survived.
    law and hot are what `packed` makes, notes what `memory` makes; field is one value or one for each
    pulse; drift (of Ic0) and stray are slow-drift grids. With base_matters the gaps before each pulse can
    switch the device too.

    Heat and drift do not ask for the bar's state: they go ahead of it, block by block, so that each loop is
    short and the second one sees only the pulses that can matter.
    """
    bar, heat, key = switching(law), thermal(hot), (key[0], key[1])
    number = count[PULSES]
    survived = _wear(heat, state, current, width)
    for first in range(0, survived, BLOCK):
        here = slice(first, min(first + BLOCK, survived))
        mine = field if len(field) == 1 else field[here]
        many = _conditions(
            bar,
            heat,
            state,
            count,
            current[here],
            start[here],
            width[here],
            first > 0,
            base,
            mine,
            drift,
            stray,
            notes,
            base_matters,
            warm_k[here],
        )
        if base_matters:
            _states_and_gaps(bar, state, count, key, number, first, current, start, width, notes, many, level)
        else:
            _states(bar, state, key, number + first, current[here], notes, many, level[here])
    count[PULSES] = number + survived
    return survived


@njit(cache=True, nogil=True, error_model="numpy")
def warm_up(hot: Floats, state: Floats, current: float, until: float) -> float:
    """Heat under a standing current up to a time; returns the rise then (K)."""
    heat = thermal(hot)
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
    law: Floats,
    hot: Floats,
    state: Floats,
    count: Counts,
    key: Key,
    times: Floats,
    field: Floats,
    current: float,
    drift: Floats,
    stray: Floats,
) -> None:
    """Standing current, field moving linearly between the nodes (times, field), both (n,); see `play`."""
    bar, key = switching(law), (key[0], key[1])
    push = bar.torque_t_per_a * current
    before = 0.0
    for i in range(len(times)):
        rise = warm_up(hot, state, current, times[i])
        barrier = bar.hn_t * _grid(drift, times[i]) * (1.0 + bar.per_kelvin * rise)
        outside = field[i] + _grid(stray, times[i])
        h = (outside + push) / barrier
        if i > 0:
            full = bar.reversed_part if abs(push) > abs(outside) else 1.0
            _stand(bar, state, count, key, times[i] - times[i - 1], before, h, full)
            if state[SIGN] * outside / barrier > ANNIHILATES:
                state[LEVEL], state[RESIDUAL] = state[SIGN], 0.0
        before = h
