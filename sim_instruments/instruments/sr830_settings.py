"""Settings of the SR830: four-letter mnemonics with one number. Source: manual chapter 5, recalled [R]."""

from __future__ import annotations

from dataclasses import dataclass

SENSITIVITIES_V = tuple(digit * 10.0**decade for decade in range(-9, 1) for digit in (1, 2, 5))[1:-2]
TIME_CONSTANTS_S = tuple(digit * 10.0**decade for decade in range(-5, 5) for digit in (1, 3))
RATES_HZ = tuple(2.0**power for power in range(-4, 10))
LONGEST_FAST_TC = 13  # 30 s, the longest time constant where more than 200 Hz is detected
DETECTION_MAX_HZ = 102_000.0
FREQUENCY_RANGE_HZ = 200.0
SINE_MIN_V, SINE_STEP_V = 0.004, 0.002
BUFFER_POINTS = 16_383
OUTPUT_LIMIT = 1.09  # of the sensitivity
RESERVE_DB = (70.0, 45.0, 20.0)  # high reserve, normal, low noise: what the input bears above the sensitivity
INPUT_MAX_V = 1.4  # peak


@dataclass(frozen=True)
class Value:
    """A number within limits; step rounds it, whole makes it an integer."""

    low: float
    high: float
    default: float
    step: float = 0.0
    whole: bool = True


SETTINGS = {
    "PHAS": Value(-360.0, 729.99, 0.0, 0.01, False),
    "FMOD": Value(0, 1, 1),  # 0 external, 1 internal
    "FREQ": Value(0.001, DETECTION_MAX_HZ, 1000.0, 0.0, False),
    "RSLP": Value(0, 2, 0),
    "HARM": Value(1, 19999, 1),
    "SLVL": Value(SINE_MIN_V, 5.0, 1.0, SINE_STEP_V, False),
    "ISRC": Value(0, 3, 0),
    "IGND": Value(0, 1, 0),
    "ICPL": Value(0, 1, 0),
    "ILIN": Value(0, 3, 0),
    "SENS": Value(0, 26, 26),
    "RMOD": Value(0, 2, 2),
    "OFLT": Value(0, 19, 8),
    "OFSL": Value(0, 3, 1),
    "SYNC": Value(0, 1, 0),
    "SRAT": Value(0, 14, 4),
    "SEND": Value(0, 1, 1),  # 0 one shot, 1 loop
    "TSTR": Value(0, 1, 0),
    "FAST": Value(0, 2, 0),
    "OUTX": Value(0, 1, 1),
    "OVRM": Value(0, 1, 1),
    "KCLK": Value(0, 1, 1),
    "ALRM": Value(0, 1, 1),
    "LOCL": Value(0, 2, 1),
}
KEPT = ("OUTX", "OVRM", "KCLK", "ALRM")  # not touched by *RST
DETECTION = ("PHAS", "FMOD", "FREQ", "HARM", "SLVL")  # the period that has begun does not count after these
