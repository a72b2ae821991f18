"""Arithmetic of delta and pulse delta readings; every array is (n,), overflow in means overflow out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim_instruments.instruments.keithley6221_trace import OVERFLOW
from sim_instruments.world.contracts import FloatArray


class Readings(NamedTuple):
    """Difference and mean of the voltages that each reading is made of."""

    difference_v: FloatArray
    average_v: FloatArray


def pulse_delta(high_v: FloatArray, low_1_v: FloatArray, low_2_v: FloatArray | None) -> Readings:
    """V_high - mean(V_low); without low_2_v only the low before the pulse counts."""
    low_v = low_1_v if low_2_v is None else (low_1_v + low_2_v) / 2
    bad = (high_v == OVERFLOW) | (np.abs(low_v) > 1e30)
    return Readings(np.where(bad, OVERFLOW, high_v - low_v), np.where(bad, OVERFLOW, (high_v + low_v) / 2))


def delta(halves: FloatArray) -> Readings:
    """Three-point delta of (n+2, 2) rows of voltage and level: one reading for each row from the third on."""
    before, middle, after = halves[:-2, 0], halves[1:-1, 0], halves[2:, 0]
    sign = np.sign(halves[2:, 1] - halves[1:-1, 1])
    bad = (np.abs(before) > 1e30) | (np.abs(middle) > 1e30) | (np.abs(after) > 1e30)
    difference = sign * (before - 2 * middle + after) / 4
    average = (before + 2 * middle + after) / 4
    return Readings(np.where(bad, OVERFLOW, difference), np.where(bad, OVERFLOW, average))


def in_unit(volts: FloatArray, change_a: FloatArray, unit: str) -> FloatArray:
    """Readings in V, OHMS, W or SIEM, from the change of the current that belongs to them."""
    if unit == "V":
        return volts
    finite_v = np.where(np.abs(volts) > 1e30, np.nan, volts)
    with np.errstate(divide="ignore", invalid="ignore"):
        if unit == "OHMS":
            values = finite_v / change_a
        elif unit == "SIEM":
            values = change_a / finite_v
        else:
            values = finite_v * change_a
    return np.where(np.isfinite(values), values, OVERFLOW)
