"""Ranges, steps, noise and point timing of the Keithley 2450 and 2400; each row names where it was read.

[M] vendor manual or data sheet, [R] recalled and NOT re-read: to be verified before it is relied on for more
than planning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers._ranges import Noise, Range

LIST_MAX = 2500  # levels of one list; bench notes 2.3 [M] and 2.4 [M]
LIST_CHUNK = 100  # levels of one command; bench notes 2.3 [M] and 2.4 [M]
POINT_MIN_S = 1e-3  # shortest dwell of a list point; bench notes 2.3
DELAY_MIN_S = 50e-6  # shortest delay of a sweep; 2450 reference manual [R]
NPLC = (0.01, 10.0)  # bench notes 2.3 and 2.4

_SHAPE = (
    (0.2e-3, 16.0),
    (2e-3, 4.0),
    (20e-3, 1.0),
    (0.2, 0.5),
)  # as the 2636B in device-model.md section 2 [R]


def _noise(rms_at_1_plc: Sequence[tuple[float, float]], source: str) -> tuple[Noise, ...]:
    return tuple(
        Noise(range_v, integration_s, rms_v * factor, source)
        for range_v, rms_v in rms_at_1_plc
        for integration_s, factor in _SHAPE
    )


@dataclass(frozen=True)
class Figures:
    """What planning needs to know of one model. point_s: dwell of a list point beyond delay and aperture."""

    current: tuple[Range, ...]
    voltage: tuple[Range, ...]
    noise: tuple[Noise, ...]
    compliance_v: tuple[float, float]
    point_s: float
    reading_s: float


_CURRENT = tuple(
    Range(full, step)
    for full, step in (
        (1e-6, 50e-12), (1e-5, 500e-12), (1e-4, 5e-9), (1e-3, 50e-9), (1e-2, 500e-9), (1e-1, 5e-6),
        (1.0, 50e-6),
    )
)  # fmt: skip
KEITHLEY_2450 = Figures(
    current=(Range(1e-8, 500e-15), Range(1e-7, 5e-12), *_CURRENT),  # SPEC-2450 Rev. A, resolution [M]
    voltage=(Range(0.02, 1e-8), Range(0.2, 1e-7), Range(2.0, 1e-6), Range(20.0, 1e-5), Range(200.0, 1e-4)),
    noise=_noise(
        ((0.02, 1e-6), (0.2, 1e-6), (2.0, 10e-6), (20.0, 100e-6), (200.0, 1e-3)),
        "SPEC-2450 Rev. A, noise (rms) below 10 Hz at 1 PLC [M], towards shorter times as the 2636B [R]",
    ),
    compliance_v=(0.02, 210.0),  # bench notes 2.4
    point_s=0.42e-3,  # 1700 source-measure points/s to memory at 0.01 PLC and 60 Hz; 2450 data sheet [R]
    reading_s=0.15e-3,  # 3130 readings/s to memory at 0.01 PLC and 60 Hz; 2450 data sheet [R]
)
KEITHLEY_2400 = Figures(
    current=_CURRENT,  # 2400 data sheet, programming resolution [R]
    voltage=(Range(0.2, 1e-6), Range(2.0, 1e-5), Range(20.0, 1e-4), Range(200.0, 1e-3)),
    noise=_noise(
        ((0.2, 3e-6), (2.0, 10e-6), (20.0, 100e-6), (200.0, 1e-3)),
        "as the 200 mV range of a 2636B, planning figure [R]",
    ),
    compliance_v=(2e-4, 210.0),  # bench notes 2.3
    point_s=0.48e-3,  # 1551 source-measure points/s to memory at 0.01 PLC and 60 Hz; 2400 data sheet [R]
    reading_s=7e-3,  # 79.5 single shots/s over GPIB, less the bus; bench notes 3.1 [M 6430 manual G-8]
)
