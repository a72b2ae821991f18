"""Finding a device's switching current, reset and read-out levels when nothing is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hilab.analysis.two_state import split_two_states
from hilab.engine.messages import Progress
from hilab.errors import HilabError
from hilab.frames import FloatArray, FrameBatch, FrameReadings
from protocols._common import Steps, frame_reading, read_currents

if TYPE_CHECKING:
    from hilab.bench import Bench

RESET_OVERDRIVE = 1.2  # of I50: complete, and below the back-switching that sets in above 1.3
FEWEST_FRAMES = 20
UNIT_OF_I50 = 0.0137  # one logistic unit at a barrier of 60 kT and 100 us; only used to lay out amplitudes


@dataclass(frozen=True)
class Readout:
    """How a Hall voltage of one device is read as a state.

    sign is +1 where the state that positive pulses set has the higher voltage.
    """

    threshold_v: float
    sign: int
    low_v: float
    high_v: float
    sigma_v: float
    misread_probability: float

    def is_set(self, voltage_v: FloatArray) -> NDArray[np.bool_]:
        """(N,) True where the device is in the state that positive pulses set."""
        return np.equal(voltage_v > self.threshold_v, self.sign > 0)


@dataclass(frozen=True)
class Located:
    """What a coarse scan of alternating pulses says of one device."""

    device: str
    readout: Readout
    i50_a: float
    reset_a: float
    read_a: float


@dataclass(frozen=True)
class Timing:
    """The times of all frames of a measurement."""

    reset_width_s: float = 100e-6
    write_width_s: float = 100e-6
    reset_wait_s: float = 20e-6
    read_wait_s: float = 20e-6
    integration_s: float = 2e-3


def alternating_batch(
    bench: Bench,
    devices: Sequence[str],
    fractions: FloatArray,
    samples: int,
    read_a: FloatArray,
    timing: Timing,
) -> FrameBatch:
    """Frames of a negative and a positive pulse of equal height (a fraction of the limit), each read."""
    limits = np.array(
        [
            min(
                bench.devices[name].limits.current_max_a(timing.write_width_s),
                bench.devices[name].limits.current_max_a(timing.reset_width_s),
            )
            for name in devices
        ]
    )
    per_device = np.repeat(fractions, samples)
    index = np.repeat(np.arange(len(devices)), len(per_device))
    amplitude = np.tile(per_device, len(devices)) * limits[index]
    return FrameBatch.of(
        devices,
        index,
        amplitude,
        -amplitude,
        read_a[index],
        reset_width_s=timing.reset_width_s,
        write_width_s=timing.write_width_s,
        reset_wait_s=timing.reset_wait_s,
        read_wait_s=timing.read_wait_s,
        integration_s=timing.integration_s,
        verify_reset=True,
    )


def locate(
    bench: Bench,
    devices: Sequence[str],
    *,
    read_a: float | None = None,
    timing: Timing | None = None,
    steps: int = 25,
    samples: int = 10,
    record: bool = True,
) -> Steps[dict[str, Located]]:
    """Scan alternating pulses from 30 to 85 % of the envelope; returns {device: Located}.

    Raises HilabError naming every device whose two states were not seen.
    """
    timing = timing or Timing()
    currents = read_currents(bench, devices, read_a)
    fractions = np.linspace(0.3, 0.85, steps)
    batch = alternating_batch(bench, devices, fractions, samples, currents, timing)
    yield Progress(0, 1, f"locating {len(devices)} devices")
    readings = bench.play(bench.plan(batch))
    if record:
        yield frame_reading(batch, readings)
    found = {}
    problems = []
    for number, device in enumerate(devices):
        mine = np.flatnonzero((batch.device == number) & readings.clean)
        try:
            found[device] = locate_one(device, batch.take(mine), readings, mine, float(currents[number]))
        except HilabError as problem:
            problems.append(str(problem))
    if problems:
        raise HilabError("\n".join(problems))
    yield Progress(1, 1, "located")
    return found


def locate_one(
    device: str, batch: FrameBatch, readings: FrameReadings, index: NDArray[np.intp], read_a: float
) -> Located:
    """Read-out levels, I50 and reset of one device from its alternating frames."""
    after_reset = readings.reset_voltage_v[index]
    after_write = readings.voltage_v[index]
    if len(index) < FEWEST_FRAMES:
        raise HilabError(
            f"{device}: only {len(index)} of its frames came back without overload or compliance; "
            "check its contacts (contact_check) and the reader's range"
        )
    states = split_two_states(np.concatenate([after_reset, after_write]))
    if not states.occupied:
        raise HilabError(
            f"{device}: only one state was seen up to {batch.write_a.max() * 1e3:.3g} mA; "
            "check its contacts (contact_check), the assist field and its pulse limits"
        )
    strong = batch.write_a >= np.quantile(batch.write_a, 0.7)
    sign = 1 if after_write[strong].mean() > after_reset[strong].mean() else -1
    readout = Readout(
        states.threshold_v, sign, states.low_v, states.high_v, states.sigma_v, states.misread_probability
    )
    was_reset = ~readout.is_set(after_reset)
    came_up = readout.is_set(after_write)
    amplitudes = np.unique(batch.write_a)
    p_up = np.array(
        [
            came_up[(batch.write_a == level) & was_reset].mean()
            if ((batch.write_a == level) & was_reset).any()
            else np.nan
            for level in amplitudes
        ]
    )
    i50_a = rough_i50(amplitudes, p_up)
    if i50_a is None:
        raise HilabError(
            f"{device}: the switching probability does not cross one half between "
            f"{amplitudes[0] * 1e3:.3g} and {amplitudes[-1] * 1e3:.3g} mA"
        )
    reset_a = -min(RESET_OVERDRIVE * i50_a, float(amplitudes[-1]) / 0.85)
    return Located(device, readout, i50_a, reset_a, read_a)


def rough_i50(amplitude_a: FloatArray, p_switch: FloatArray) -> float | None:
    """Where a rising, noisy step crosses one half: the split with fewest contradictions, None without one.

    Amplitudes at which the device was never found reset (nan) lie below the step: a device that does not
    come up does not go down either.
    """
    known = np.nan_to_num(p_switch, nan=0.0)
    below = np.concatenate([[0.0], np.cumsum(known)])
    above = np.concatenate([np.cumsum((1 - known)[::-1])[::-1], [0.0]])
    split = int(np.argmin(below + above))
    if split in (0, len(known)):
        return None
    return float(amplitude_a[split - 1] + amplitude_a[split]) / 2
