"""Ranges, resolutions and noise of the instruments, as data: each row names where it was read.

[M] vendor manual or data sheet, [D] driver or laboratory code, [R] recalled and NOT re-read: to be verified
against the data sheet before it is relied on for more than planning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilab.errors import BenchError


@dataclass(frozen=True)
class Range:
    """One range: full scale and resolution of the setting, in the range's own unit (A or V)."""

    full: float
    step: float


@dataclass(frozen=True)
class Noise:
    """Rms noise of one reading (V) on the range `range_v` at `integration_s`."""

    range_v: float
    integration_s: float
    rms_v: float
    source: str


def smallest_range(ranges: Sequence[Range], value: float) -> Range | None:
    """The smallest range that holds |value|; None if none does. Rounding error is forgiven."""
    return next((r for r in ranges if abs(value) <= r.full * (1 + 1e-9)), None)


def range_for(ranges: Sequence[Range], value: float, who: str, unit: str) -> Range:
    """The smallest range that holds |value|; BenchError if none does."""
    found = smallest_range(ranges, value)
    if found is None:
        raise BenchError(f"{who}: {value:g} {unit} is beyond its largest range of {ranges[-1].full:g} {unit}")
    return found


def refuse_above(current_a: float, limit_a: float, name: str) -> None:
    """BenchError if a source is told more than the limit that it was configured with (A)."""
    if not abs(current_a) <= limit_a * (1 + 1e-9):
        raise BenchError(
            f"{name}: {current_a:g} A is above the limit of {limit_a:g} A in force; "
            "configure the source for this device first"
        )


def noise_at(table: Sequence[Noise], range_v: float, integration_s: float) -> float:
    """Rms noise (V), log-log interpolated in integration time on the smallest range that holds range_v.

    Outside the table it falls as the square root of the time above, and rises inversely to it below.
    """
    ranges = sorted({row.range_v for row in table})
    chosen = next((r for r in ranges if r >= range_v * (1 - 1e-9)), ranges[-1])
    rows = sorted((row.integration_s, row.rms_v) for row in table if row.range_v == chosen)
    times, values = np.array(rows).T
    if integration_s < times[0]:
        return float(values[0] * times[0] / integration_s)
    if integration_s > times[-1]:
        return float(values[-1] * np.sqrt(times[-1] / integration_s))
    return float(np.exp(np.interp(np.log(integration_s), np.log(times), np.log(values))))


_2600_SHEET = "2600B data sheet, programming resolution [R]"
KEITHLEY_2636B_CURRENT = tuple(
    Range(full, step)
    for full, step in (
        (1e-9, 20e-15), (1e-8, 200e-15), (1e-7, 2e-12), (1e-6, 20e-12), (1e-5, 200e-12), (1e-4, 2e-9),
        (1e-3, 20e-9), (1e-2, 200e-9), (1e-1, 2e-6), (1.0, 20e-6), (1.5, 50e-6),
    )
)  # fmt: skip
KEITHLEY_2636B_VOLTAGE = (Range(0.2, 5e-6), Range(2.0, 50e-6), Range(20.0, 500e-6), Range(200.0, 5e-3))

_2636B_STUDY = "reading of Hall arms at 50 Hz, planning figures [R]"
KEITHLEY_2636B_NOISE = (
    Noise(0.2, 20e-6, 150e-6, _2636B_STUDY),
    Noise(0.2, 0.2e-3, 50e-6, _2636B_STUDY),
    Noise(0.2, 2e-3, 12e-6, _2636B_STUDY),
    Noise(0.2, 20e-3, 3e-6, _2636B_STUDY),
    Noise(2.0, 0.2e-3, 100e-6, _2636B_STUDY),
    Noise(2.0, 2e-3, 30e-6, _2636B_STUDY),
    Noise(2.0, 20e-3, 10e-6, _2636B_STUDY),
    Noise(20.0, 0.2e-3, 1e-3, _2636B_STUDY),
    Noise(20.0, 2e-3, 300e-6, _2636B_STUDY),
    Noise(20.0, 20e-3, 100e-6, _2636B_STUDY),
    Noise(200.0, 0.2e-3, 10e-3, _2636B_STUDY),
    Noise(200.0, 2e-3, 3e-3, _2636B_STUDY),
    Noise(200.0, 20e-3, 1e-3, _2636B_STUDY),
)

KEITHLEY_6221_CURRENT = tuple(
    Range(full, step)
    for full, step in (
        (2e-9, 100e-15), (2e-8, 1e-12), (2e-7, 10e-12), (2e-6, 100e-12), (2e-5, 1e-9), (2e-4, 10e-9),
        (2e-3, 100e-9), (2e-2, 1e-6), (1e-1, 10e-6),
    )
)  # fmt: skip

KEITHLEY_2182A_VOLTAGE = (
    Range(0.01, 1e-9), Range(0.1, 1e-8), Range(1.0, 1e-7), Range(10.0, 1e-6), Range(100.0, 1e-5),
)  # fmt: skip
_2182A_SHEET = "2182A data sheet, peak to peak / 6.6, filter off; times below 1 PLC scaled by 1/t [R]"
KEITHLEY_2182A_NOISE = tuple(
    Noise(range_v, integration_s, rms_v, _2182A_SHEET)
    for range_v, at_1_plc_v in ((0.01, 12e-9), (0.1, 50e-9), (1.0, 0.11e-6), (10.0, 1e-6), (100.0, 50e-6))
    for integration_s, rms_v in (
        (0.2e-3, 50 * at_1_plc_v), (2e-3, 10 * at_1_plc_v), (20e-3, at_1_plc_v), (100e-3, at_1_plc_v / 2.2),
    )
)  # fmt: skip
