"""When everything happens within one frame of the TSP player: pulses, readings, timers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivers._tsp_frames import FrameTimes
from drivers.keithley2636b import CHECK_APERTURE_S, CHECK_MARGIN_S
from hilab.frames import FrameBatch

SETTLE_S = 100e-6  # from the start of the read pulse to its measurement
READ_TAIL_S = 60e-6  # from the end of the integration to the end of the read pulse
REVERSE_S = 20e-6  # between the two halves of a reversed read
GAP_S = 100e-6  # from the end of a frame to the next one: the box needs it to store the reading
STEPS_A_SECOND = 1_000_000  # resolution of the timers


@dataclass(frozen=True)
class FrameShape:
    """One frame as the timers play it: start (s) and width (s) of its K pulses, which of them are read, and
    the integration (s) of each."""

    starts_s: tuple[float, ...]
    widths_s: tuple[float, ...]
    read_pulses: tuple[int, ...]
    period_s: float
    integration_s: float

    @property
    def pulses(self) -> int:
        return len(self.starts_s)

    @property
    def reads(self) -> int:
        return len(self.read_pulses)

    def read_end_s(self, number: int) -> float:
        """End of the integration of read `number` within its frame."""
        return self.starts_s[self.read_pulses[number]] + SETTLE_S + self.integration_s

    def times(self) -> FrameTimes:
        """For the instrument's timers."""
        starts = np.array([*self.starts_s, self.period_s])
        reads = np.array([self.starts_s[i] for i in self.read_pulses])
        between = np.diff([*reads, reads[0] + self.period_s])
        return FrameTimes(
            tuple(microseconds(np.diff(starts))),
            self.widths_s,
            float(reads[0]) + SETTLE_S,
            tuple(microseconds(between)),
            min(self.widths_s) - CHECK_APERTURE_S - CHECK_MARGIN_S,
        )


def frame_shape(batch: FrameBatch, reversed_reads: bool = False) -> FrameShape:
    """When everything happens in a frame of this batch (times already as the timers can do them).

    With reversed_reads each read is two pulses, the second of the other sign, that share the integration.
    """
    half_s = batch.integration_s / (2 if reversed_reads else 1)
    read_width_s = SETTLE_S + half_s + READ_TAIL_S
    starts: list[float] = []
    widths: list[float] = []
    reads: list[int] = []
    now = 0.0

    def pulse(width_s: float, wait_s: float) -> None:
        nonlocal now
        starts.append(now)
        widths.append(width_s)
        now += width_s + wait_s

    def read(wait_s: float) -> None:
        reads.append(len(starts))
        if reversed_reads:
            pulse(read_width_s, REVERSE_S)
            reads.append(len(starts))
        pulse(read_width_s, wait_s)

    for number in range(batch.reset_count):
        last = number == batch.reset_count - 1
        pulse(batch.reset_width_s, batch.reset_wait_s if last else batch.reset_gap_s)
    if batch.verify_reset:
        read(batch.reset_wait_s)
    pulse(batch.write_width_s, batch.read_wait_s)
    read(GAP_S)
    return FrameShape(
        tuple(microseconds(starts)),
        tuple(microseconds(widths)),
        tuple(reads),
        float(microseconds([now])[0]),
        half_s,
    )


def microseconds(times: object) -> list[float]:
    """Times rounded to the timers' resolution."""
    return [round(time * STEPS_A_SECOND) / STEPS_A_SECOND for time in np.asarray(times, dtype=float).tolist()]
