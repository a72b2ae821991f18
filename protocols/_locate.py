"""Finding a device's switching current, reset and read-out levels when nothing is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
CLOSER_STEPS, CLOSER_SAMPLES = 25, 8
FRAMES_TO_LOCATE = 25 * 10 + CLOSER_STEPS * CLOSER_SAMPLES
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
        **asdict(timing),
        verify_reset=True,
    )


def check_frames(
    bench: Bench,
    devices: Sequence[str],
    read_a: float | None,
    timing: Timing,
    *,
    write_a: Sequence[float] = (),
    reset_a: float | None = None,
) -> None:
    """PlanRefused, with every reason, where the bench cannot play the frames of such a measurement.

    Looks at the scan that finds the devices, and at the amplitudes that were asked for. Plays nothing.
    """
    currents = read_currents(bench, devices, read_a)
    bench.plan(alternating_batch(bench, devices, np.array([0.3, 0.85]), 1, currents, timing))
    weak = np.array([0.3])
    for amplitude_a in (min(write_a), max(write_a)) if write_a else ():
        batch = alternating_batch(bench, devices, weak, 1, currents, timing)
        bench.plan(replace(batch, write_a=np.full(len(batch), amplitude_a)))
    if reset_a is not None:
        batch = alternating_batch(bench, devices, weak, 1, currents, timing)
        bench.plan(replace(batch, reset_a=np.full(len(batch), reset_a)))


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
    """Scan alternating pulses from 30 to 85 % of the envelope, then closer around I50.

    Returns {device: Located}. Raises HilabError naming every device whose two states were not seen.
    """
    timing = timing or Timing()
    currents = read_currents(bench, devices, read_a)
    fractions = np.linspace(0.3, 0.85, steps)
    batch = alternating_batch(bench, devices, fractions, samples, currents, timing)
    yield Progress(0, 2, f"locating {len(devices)} devices")
    plan = bench.plan(batch)
    readings = bench.play(plan)
    if record:
        yield frame_reading(plan, readings)
    coarse = _each_device(batch, readings, currents)
    yield Progress(1, 2, "looking closer")
    batch = closer_batch(devices, coarse, timing)
    plan = bench.plan(batch)
    readings = bench.play(plan)
    if record:
        yield frame_reading(plan, readings)
    found = {
        device: refined(coarse[device], batch, readings, batch.device == number)
        for number, device in enumerate(devices)
    }
    yield Progress(2, 2, "located")
    return found


def _each_device(batch: FrameBatch, readings: FrameReadings, read_a: FloatArray) -> dict[str, Located]:
    found, problems = {}, []
    for number, device in enumerate(batch.devices):
        mine = np.flatnonzero((batch.device == number) & readings.clean)
        try:
            found[device] = locate_one(device, batch.take(mine), readings, mine, float(read_a[number]))
        except HilabError as problem:
            problems.append(str(problem))
    if problems:
        raise HilabError("\n".join(problems))
    return found


def locate_one(
    device: str, batch: FrameBatch, readings: FrameReadings, index: NDArray[np.intp], read_a: float
) -> Located:
    """Read-out levels, rough I50 and reset of one device from its alternating frames."""
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
    valid = ~readout.is_set(after_reset)
    i50_a = rough_i50(batch.write_a, valid & readout.is_set(after_write), valid)
    if i50_a is None:
        raise HilabError(
            f"{device}: the switching probability does not cross one half between "
            f"{batch.write_a.min() * 1e3:.3g} and {batch.write_a.max() * 1e3:.3g} mA"
        )
    limit_a = float(batch.write_a.max()) / 0.85
    return Located(device, readout, i50_a, -min(RESET_OVERDRIVE * i50_a, limit_a), read_a)


def rough_i50(write_a: FloatArray, switched: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float | None:
    """Where a rising step crosses one half: the split of the amplitudes that contradicts fewest frames (N,).

    Frames that did not start reset are not valid. They pull towards "below": a pulse too weak to reset the
    device is mostly too weak to set it. None if the step is not inside.
    """
    amplitude, place = np.unique(write_a, return_inverse=True)
    ones = np.bincount(place, switched & valid, minlength=len(amplitude))
    zeros = np.bincount(place, ~switched & valid, minlength=len(amplitude))
    zeros = zeros + 0.5 * np.bincount(place, ~valid, minlength=len(amplitude))
    below = np.concatenate([[0.0], np.cumsum(ones)])
    above = np.concatenate([np.cumsum(zeros[::-1])[::-1], [0.0]])
    split = int(np.argmin(below + above))
    if split in (0, len(amplitude)):
        return None
    return float(amplitude[split - 1] + amplitude[split]) / 2


def closer_batch(devices: Sequence[str], coarse: Mapping[str, Located], timing: Timing) -> FrameBatch:
    """Reset-write-read frames with amplitudes within 16 % of each device's rough I50."""
    spread = np.repeat(np.linspace(0.84, 1.16, CLOSER_STEPS), CLOSER_SAMPLES)
    index = np.repeat(np.arange(len(devices)), len(spread))
    i50 = np.array([coarse[name].i50_a for name in devices])
    reset = np.array([coarse[name].reset_a for name in devices])
    read = np.array([coarse[name].read_a for name in devices])
    return FrameBatch.of(
        devices,
        index,
        np.tile(spread, len(devices)) * i50[index],
        reset[index],
        read[index],
        **asdict(timing),
        verify_reset=True,
    )


def refined(coarse: Located, batch: FrameBatch, readings: FrameReadings, mine: NDArray[np.bool_]) -> Located:
    """The same device with I50 and reset from the closer frames; as it was if they show no step."""
    valid = mine & readings.clean & ~coarse.readout.is_set(readings.reset_voltage_v)
    i50_a = rough_i50(batch.write_a[mine], coarse.readout.is_set(readings.voltage_v)[mine], valid[mine])
    if i50_a is None:
        return coarse
    reset_a = coarse.reset_a * i50_a / coarse.i50_a
    return Located(coarse.device, coarse.readout, i50_a, reset_a, coarse.read_a)
