"""Figures of the Keithley 2450 and 2400, each with its source; [R]: recalled and not read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim_instruments.world.contracts import FloatArray
from sim_instruments.world.noise import NoiseTable

OVERFLOW = 9.9e37  # source: bench.md 2.3
NOT_A_NUMBER = 9.91e37  # source: bench.md 2.3
OVER_RANGE = 1.05  # sources and readings go to 105 % of a range: 21 V, 1.05 A; source: bench.md 2.3 and 2.4
LIST_LENGTH = 2500  # values of a list; source: bench.md 2.3 [M] and 2.4 [M]
LIST_CHUNK = 100  # values of one command; source: bench.md 2.3 [M] and 2.4 [M]
POINT_MIN_S = 1e-3  # shortest dwell of a list point; source: bench.md 2.3


@dataclass(frozen=True)
class Range:
    """A full scale and the step of the source on it (A or V)."""

    full: float
    step: float


@dataclass(frozen=True)
class Figures:
    """What tells one model from the other.

    overhead_s: time of a reading beyond its aperture; point_s: the same where the source steps before each
    reading; answer_s: from a READ? to its first reading.
    """

    voltage: tuple[Range, ...]
    current: tuple[Range, ...]
    voltage_noise: NoiseTable
    current_noise: NoiseTable
    overhead_s: float
    point_s: float
    answer_s: float


# Noise grows towards short apertures in parts of the rms at 1 PLC (20 ms): no line rejection below 1 PLC.
# Source: read as the 2636B's table in device-model.md section 2 (3, 12, 50 uV at 1, 0.1, 0.01 PLC) [R]
_SHAPE = ((0.2e-3, 16.0), (2e-3, 4.0), (20e-3, 1.0), (0.2, 0.5))


def _noise(rms_at_1_plc: Sequence[tuple[float, float]], source: str) -> NoiseTable:
    return NoiseTable.of(
        [
            (full, integration_s, rms * factor, f"{source}; shape as in device-model.md section 2 [R]")
            for full, rms in rms_at_1_plc
            for integration_s, factor in _SHAPE
        ]
    )


_2450_SHEET = "2450 data sheet SPEC-2450 Rev. A, noise (rms) below 10 Hz at 1 PLC [M]"
KEITHLEY_2450 = Figures(
    voltage=(  # resolution of the source: the same sheet [M]
        Range(0.02, 500e-9),
        Range(0.2, 5e-6),
        Range(2.0, 50e-6),
        Range(20.0, 500e-6),
        Range(200.0, 5e-3),
    ),
    current=(
        Range(1e-8, 500e-15),
        Range(1e-7, 5e-12),
        Range(1e-6, 50e-12),
        Range(1e-5, 500e-12),
        Range(1e-4, 5e-9),
        Range(1e-3, 50e-9),
        Range(1e-2, 500e-9),
        Range(1e-1, 5e-6),
        Range(1.0, 50e-6),
    ),
    voltage_noise=_noise(
        ((0.02, 1e-6), (0.2, 1e-6), (2.0, 10e-6), (20.0, 100e-6), (200.0, 1e-3)), _2450_SHEET
    ),
    current_noise=_noise(
        (
            (1e-8, 500e-15),
            (1e-7, 500e-15),
            (1e-6, 5e-12),
            (1e-5, 40e-12),
            (1e-4, 400e-12),
            (1e-3, 5e-9),
            (1e-2, 40e-9),
            (1e-1, 100e-9),
            (1.0, 3e-6),
        ),
        _2450_SHEET,
    ),
    overhead_s=0.15e-3,  # 3130 readings/s to memory at 0.01 PLC and 60 Hz; 2450 data sheet [R]
    point_s=0.42e-3,  # 1700 source-measure points/s to memory at 0.01 PLC and 60 Hz; 2450 data sheet [R]
    answer_s=1e-3,  # chosen: a command is parsed in about a millisecond
)

_2400_SHEET = "as the 200 mV range of a 2636B at 1 PLC, in parts of full scale [R]"
KEITHLEY_2400 = Figures(
    voltage=(  # resolution of the source: 2400 data sheet [R]
        Range(0.2, 5e-6), Range(2.0, 50e-6), Range(20.0, 500e-6), Range(200.0, 5e-3),
    ),
    current=(
        Range(1e-6, 50e-12), Range(1e-5, 500e-12), Range(1e-4, 5e-9), Range(1e-3, 50e-9), Range(1e-2, 500e-9),
        Range(1e-1, 5e-6), Range(1.0, 50e-6),
    ),
    voltage_noise=_noise(((0.2, 3e-6), (2.0, 10e-6), (20.0, 100e-6), (200.0, 1e-3)), _2400_SHEET),
    current_noise=_noise(
        tuple((full, 15e-6 * full) for full in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)), _2400_SHEET
    ),
    overhead_s=0.31e-3,  # 2081 readings/s to memory at 0.01 PLC and 60 Hz; 2400 data sheet [R]
    point_s=0.48e-3,  # 1551 source-measure points/s to memory at 0.01 PLC and 60 Hz; 2400 data sheet [R]
    answer_s=7e-3,  # 79.5 single shots/s over GPIB, less the bus: bench.md 3.1 [M 6430 manual G-8]
)  # fmt: skip

AUTO_ZERO = 3  # conversions of a reading with auto zero: signal, zero and reference [R]


def range_for(ranges: tuple[Range, ...], value: float) -> Range | None:
    """The smallest range that holds the value; None if none does."""
    return next((each for each in ranges if abs(value) <= each.full * OVER_RANGE * (1 + 1e-12)), None)


def quantised(values: FloatArray, step: float) -> FloatArray:
    """Values as the source's converter gives them."""
    return np.asarray(np.rint(values / step) * step)
