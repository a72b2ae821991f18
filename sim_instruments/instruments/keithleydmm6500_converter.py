"""The DMM6500's converters: ranges, noise, mains pick-up over a window, overload."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from sim_instruments.world.contracts import FloatArray, InstrumentErrors
from sim_instruments.world.noise import NoiseTable

RANGES_V = (0.1, 1.0, 10.0, 100.0, 1000.0)  # of both functions; source: PyMeasure's driver [D]
OVERRANGE = 1.2  # a range reads up to 120 %; source: data sheet, recalled [R]
OVERLOAD = 9.9e37
PICKUP_V = 30e-6  # amplitude of mains pick-up at the input; source: device-model.md 2 (20 to 50 uV)

_GIVEN = "device-model.md 2"
_BETWEEN = "log-log through the two points of device-model.md 2 [R]"
_SHEET = "DMM6500 data sheet, DCV, peak to peak / 6.6 [R]"
_ON_100_MV = (  # (window in s, rms in V, source)
    (1e-6, 51e-6, _BETWEEN),
    (10e-6, 10e-6, _GIVEN),
    (200e-6, 1.2e-6, _GIVEN),
    (1e-3, 0.5e-6, _BETWEEN),
    (20e-3, 0.1e-6, _SHEET),
    (240e-3, 0.05e-6, _SHEET),
)
# noise of a range over that of 100 mV: the input's noise stays, the converter's grows with the range [R]
_FACTORS = {0.1: 1.0, 1.0: 4.0, 10.0: 35.0, 100.0: 400.0, 1000.0: 3500.0}
NOISE = NoiseTable.of(
    [
        (span, window_s, factor * rms_v, source)
        for span, factor in _FACTORS.items()
        for window_s, rms_v, source in _ON_100_MV
    ]
)


def range_for(volt: float) -> float:
    """The lowest range whose full scale holds this voltage; the highest one if none does."""
    fitting = [span for span in RANGES_V if abs(volt) <= span * (1 + 1e-12)]
    return fitting[0] if fitting else RANGES_V[-1]


@dataclass(frozen=True)
class Converter:
    """One way of converting; averages: conversions that a repeating filter joins into one reading."""

    range_v: float
    window_s: float
    mains_hz: float
    pickup_v: float
    errors: InstrumentErrors
    averages: int = 1

    def readings(self, true_v: FloatArray, opens_s: FloatArray, random: np.random.Generator) -> FloatArray:
        """(n,) readings of (n,) mean voltages over windows that open at opens_s. nan reads as overload.

        One random number for each reading, in order: how readings are cut into calls changes nothing.
        """
        periods = self.window_s * self.mains_hz
        values = random.standard_normal(len(true_v))
        _convert(
            values,
            np.ascontiguousarray(true_v),
            np.ascontiguousarray(opens_s),
            self.errors.read_gain,
            self.errors.read_offset * self.range_v,
            NOISE.rms(self.range_v, self.window_s) / float(np.sqrt(self.averages)),
            self.pickup_v * float(np.sinc(periods)),  # the exact mean over a window
            self.mains_hz,
            0.5 * periods,
            OVERRANGE * self.range_v,
        )
        return values


@njit(cache=True, nogil=True, error_model="numpy")
def _convert(
    values: Any,
    true_v: Any,
    opens_s: Any,
    gain: float,
    offset_v: float,
    rms_v: float,
    pickup_v: float,
    mains_hz: float,
    half_turns: float,
    limit_v: float,
) -> None:
    """Turn standard normal numbers (n,) into readings, in one pass over them."""
    for i in range(len(values)):
        true = true_v[i]
        if not abs(true) <= limit_v:  # nan too
            values[i] = -OVERLOAD if true < 0 else OVERLOAD
            continue
        turns = mains_hz * opens_s[i] + half_turns
        hum_v = pickup_v * math.sin(2 * math.pi * (turns - math.floor(turns)))
        values[i] = true * gain + offset_v + rms_v * values[i] + hum_v
