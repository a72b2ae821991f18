"""What the DMM6500 can do, as numbers: ranges, digitiser, trigger, noise. Marks as in `_ranges`."""

from __future__ import annotations

from drivers._ranges import Noise, Range

DIGITISE_RATE_HZ = (1_000, 1_000_000)  # whole numbers [D: vendor command DIG:VOLT:SRAT MAX is 1 MHz]
APERTURE_S = (1e-6, 1e-3)  # in steps of 1 us [R]
TRIGGER_DELAY_S = (167e-9, 10e3)  # of a trigger block; 0 leaves the block out [R]
TRIGGER_LATENCY_S = 1e-6  # from the edge until the box acts on it [R]
TRIGGER_OVERHEAD_S = 20e-6  # from the end of the last reading until the box takes the next trigger [R]
TRIGGERS_MAX = 268_435_455  # of a counting branch [R]
BUFFER_MAX = 7_000_000  # readings in all buffers together [D: vendor example, 7 s at 1 MHz]
NPLC_MIN = 0.0005  # [D: PyMeasure]
NPLC_MAX = {50: 12.0, 60: 15.0}  # by mains frequency in Hz [D: PyMeasure]
READING_OVERHEAD_S = 0.3e-3  # of one NPLC reading, besides its conversions [R]
MAINS_V = 50e-6  # amplitude of mains pick-up to reckon with on Hall arms; source: device-model.md 2

VOLTAGE = (Range(0.1, 1e-7), Range(1.0, 1e-6), Range(10.0, 1e-5), Range(100.0, 1e-4), Range(1000.0, 1e-3))

_GIVEN = "device-model.md 2, 100 mV range"
_BETWEEN = "through the two given points, log-log; 1 us and 1 ms with the same slope [R]"
_SHEET = "DMM6500 data sheet, DCV noise, peak to peak / 6.6 [R]"
# (integration in s, rms in V on the 100 mV range, source)
_ON_100_MV = (
    (1e-6, 51e-6, _BETWEEN),
    (10e-6, 10e-6, _GIVEN),
    (200e-6, 1.2e-6, _GIVEN),
    (1e-3, 0.5e-6, _BETWEEN),
    (20e-3, 0.1e-6, _SHEET),
    (240e-3, 0.05e-6, _SHEET),
)
# noise of a range over that of 100 mV: the input noise stays, the converter's grows with the range [R]
_FACTORS = {0.1: 1.0, 1.0: 4.0, 10.0: 35.0, 100.0: 400.0, 1000.0: 3500.0}
NOISE = tuple(
    Noise(range_v, integration_s, factor * rms_v, source)
    for range_v, factor in _FACTORS.items()
    for integration_s, rms_v, source in _ON_100_MV
)
