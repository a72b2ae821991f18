"""Figures of the 2636B, each with its source. [R] marks what was recalled and not read again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim_instruments.world.contracts import FloatArray
from sim_instruments.world.noise import NoiseTable


@dataclass(frozen=True)
class Range:
    """A full scale and the step of the source on it (A or V)."""

    full: float
    step: float


_SHEET = "2636B specification sheet, programming resolution [R]"
VOLTAGE_RANGES = (Range(0.2, 5e-6), Range(2.0, 50e-6), Range(20.0, 500e-6), Range(200.0, 5e-3))  # _SHEET
CURRENT_RANGES = (
    Range(1e-9, 20e-15), Range(1e-8, 200e-15), Range(1e-7, 2e-12), Range(1e-6, 20e-12), Range(1e-5, 200e-12),
    Range(1e-4, 2e-9), Range(1e-3, 20e-9), Range(1e-2, 200e-9), Range(1e-1, 2e-6), Range(1.0, 20e-6),
    Range(1.5, 50e-6),
)  # _SHEET  # fmt: skip
OVER_RANGE = 1.01  # a source goes to 101 % of its range; source: the sheet [R]
OVERFLOW = 9.9e37  # source: bench.md 2.3
READING_OVER_RANGE = 1.02  # beyond this a reading overflows [R]
HIGH_VOLTAGE_A = 0.1  # above 20 V the box gives 100 mA at most; source: the sheet [R]

NPLC_MIN, NPLC_MAX = 0.001, 25.0  # source: bench.md 2.5
COMPLIANCE_STATUS = 0x40  # of a buffer's status [M 2600B reference, buffer statuses]
BUFFER_PLAIN, BUFFER_FULL = 140_000, 60_000  # readings without / with time and source value; bench.md 2.5 [R]
MADE_BUFFERS = 1_000_000  # readings of all buffers that makebuffer made [R]

TIMER_STEP_S, TIMER_MIN_S, TIMER_MAX_S = 1e-6, 8e-6, 100e3  # [M 2651A reference]; the step [R]
TIMER_LIST_MEAN_S = 50e-6  # [M 2606B, 2601B reference]
TIMER_COUNT_MAX = 1_048_575  # [M 2651A reference]

# rms noise of one reading: (range V, integration s, rms V, source); at 50 Hz 0.001 / 0.01 / 0.1 / 1 / 25 PLC
_MODEL = "device-model.md section 2"
_SCALED = "the 200 mV row scaled by 2.5, 25, 250 [R]"
_AT_200_MV = (
    (20e-6, 150e-6, "extrapolated from device-model.md section 2 [R]"),
    (0.2e-3, 50e-6, _MODEL),
    (2e-3, 12e-6, _MODEL),
    (20e-3, 3e-6, _MODEL),
    (0.5, 1e-6, "extrapolated from device-model.md section 2 [R]"),
)
VOLTAGE_NOISE = NoiseTable.of(
    [
        (full, time, rms * factor, source if factor == 1 else _SCALED)
        for full, factor in ((0.2, 1.0), (2.0, 2.5), (20.0, 25.0), (200.0, 250.0))
        for time, rms, source in _AT_200_MV
    ]
)
CURRENT_NOISE = NoiseTable.of(
    [
        (each.full, time, rms / 0.2 * each.full, "as the 200 mV range in parts of full scale [R]")
        for each in CURRENT_RANGES
        for time, rms, _ in _AT_200_MV
    ]
)

# Time beyond the aperture: from readings to memory a second at 60 Hz, bench.md 3.2 [M 2602B sheet]
_RATES = ((0.001, 20_000.0), (0.01, 4_900.0), (0.1, 580.0), (1.0, 59.0))
_NPLC = np.log([nplc for nplc, _ in _RATES])
_OVERHEAD = np.log([1 / rate - nplc / 60 for nplc, rate in _RATES])
SCRIPT_S = 93e-6  # a reading called by a script takes this longer: 7000/s at 0.001 PLC, bench.md 3.2 [M]
SOURCE_S = 66e-6  # a source step that no event paces: 12000 points/s at 0.001 PLC, bench.md 3.2 [M]


@lru_cache(maxsize=256)
def overhead_s(nplc: float) -> float:
    """Time that a reading takes beyond its aperture (s)."""
    return float(np.exp(np.interp(np.log(nplc), _NPLC, _OVERHEAD)))


def range_for(ranges: tuple[Range, ...], value: float) -> Range | None:
    """The smallest range that holds the value; None if none does."""
    size = abs(value)
    for each in ranges:
        if size <= each.full * OVER_RANGE:
            return each
    return None


def quantised(values: FloatArray, step: float) -> FloatArray:
    """Values as the source's converter gives them."""
    return np.rint(values / step) * step
