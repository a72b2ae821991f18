"""The DMM6500's converters: ranges, noise, mains pick-up over a window, overload."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        rms_v = NOISE.rms(self.range_v, self.window_s) / np.sqrt(self.averages)
        values = random.standard_normal(len(true_v))
        values *= rms_v
        values += self.errors.read(true_v, self.range_v)
        self._add_pickup(values, opens_s)
        over = ~(np.abs(true_v) <= OVERRANGE * self.range_v)
        if over.any():
            values[over] = np.where(true_v[over] < 0, -OVERLOAD, OVERLOAD)
        return values

    def _add_pickup(self, values: FloatArray, opens_s: FloatArray) -> None:
        """The pick-up's exact mean over each window; none over whole mains periods."""
        periods = self.window_s * self.mains_hz
        amplitude_v = self.pickup_v * float(np.sinc(periods))
        if abs(amplitude_v) < 1e-12:
            return
        phase = (2 * np.pi * self.mains_hz) * opens_s
        phase += np.pi * periods
        np.sin(phase, out=phase)
        phase *= amplitude_v
        values += phase
