"""Frames: what is asked of a device, what came back, and what it may bear.

Everything here is a frozen dataclass of numpy arrays in SI units. Drivers and players
import this module, so it imports nothing of hilab.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FlagArray = NDArray[np.uint16]


SPENT = ("upload", "arm", "play", "settle", "fetch", "relays", "host")
"""What a bench spends its time with; `settle` is settling and integration outside the frames."""


class Flag(IntFlag):
    """What is known to be wrong with one reading; 0 is a clean reading."""

    OVERLOAD = 1
    COMPLIANCE = 2
    RESET_FAILED = 4
    CLIPPED = 8
    MISSING = 16
    TIMEOUT = 32


class PlanRefused(Exception):  # noqa: N818 (says what happened, and protocols catch it by this name)
    """A batch that must not be played; `reasons` holds every reason, one sentence each."""

    def __init__(self, reasons: Sequence[str]):
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


@dataclass(frozen=True)
class DeviceLimits:
    """What one device may bear. Checked in the plan and again in the driver.

    pulse_max: (width_s, current_a) pairs, ascending in width; log-log interpolated between
    them, constant below the first, and the last holds for every longer width (DC).
    """

    pulse_max: tuple[tuple[float, float], ...]
    read_max_a: float
    voltage_max_v: float
    field_max_t: float
    pulses_max: int

    def current_max_a(self, width_s: float) -> float:
        """Largest current (A) allowed for a pulse of width_s (s)."""
        widths = np.log([pair[0] for pair in self.pulse_max])
        currents = np.log([pair[1] for pair in self.pulse_max])
        return float(np.exp(np.interp(np.log(width_s), widths, currents)))


@dataclass(frozen=True)
class NominalCurve:
    """The switching curve that the design promises for pulses of write_width_s.

    I50 (A) and one logistic unit (A), known without measuring the device at hand; i50_spread_a is the
    expected standard deviation (A) of I50 from device to device, 0 where it is not known.
    """

    i50_a: float
    unit_a: float
    write_width_s: float
    i50_spread_a: float = 0.0


@dataclass(frozen=True)
class DeviceCard:
    """One device under test as the bench file describes it.

    r_ohm is the nominal resistance of the current line, r_hall_ohm the expected opening of the
    anomalous Hall loop (difference between the two states). ports maps a port's name ("current",
    "hall", "longitudinal") to the switch channel ("mux.1!3") or instrument terminal ("smu.b") it lies on.
    """

    name: str
    width_m: float
    length_m: float
    r_ohm: float
    r_hall_ohm: float
    limits: DeviceLimits
    ports: Mapping[str, str] = field(default_factory=dict)
    nominal: NominalCurve | None = None


@dataclass(frozen=True)
class FrameBatch:
    """N frames: reset pulse(s), wait, write pulse, wait, read. Build with `FrameBatch.of`.

    device (N,) indexes into devices. Amplitudes (N,) in ampere; reset_count 0 plays no reset and a
    write amplitude of 0 no write pulse. `ordered` forbids the player to group frames by device.
    With verify_reset each frame is read once more between reset and write.
    """

    devices: tuple[str, ...]
    device: IntArray
    write_a: FloatArray
    reset_a: FloatArray
    read_a: FloatArray
    reset_width_s: float = 100e-6
    write_width_s: float = 100e-6
    reset_count: int = 1
    reset_gap_s: float = 20e-6
    reset_wait_s: float = 20e-6
    read_wait_s: float = 20e-6
    integration_s: float = 2e-3
    verify_reset: bool = False
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.device)

    @staticmethod
    def of(
        devices: Sequence[str],
        device: ArrayLike,
        write_a: ArrayLike,
        reset_a: ArrayLike,
        read_a: ArrayLike,
        *,
        reset_width_s: float = 100e-6,
        write_width_s: float = 100e-6,
        reset_count: int = 1,
        reset_gap_s: float = 20e-6,
        reset_wait_s: float = 20e-6,
        read_wait_s: float = 20e-6,
        integration_s: float = 2e-3,
        verify_reset: bool = False,
        ordered: bool = False,
    ) -> FrameBatch:
        """Broadcast amplitudes and device indices to one length N and check shapes and ranges.

        Raises ValueError naming what is wrong (shape, index out of range, not finite, negative time).
        """
        index, write, reset, read = np.broadcast_arrays(
            np.atleast_1d(np.asarray(device, dtype=np.int64)),
            np.asarray(write_a, dtype=np.float64),
            np.asarray(reset_a, dtype=np.float64),
            np.asarray(read_a, dtype=np.float64),
        )
        if index.ndim != 1:
            raise ValueError(f"a frame batch is one-dimensional, got shape {index.shape}")
        if index.size and (index.min() < 0 or index.max() >= len(devices)):
            raise ValueError(f"device index outside 0..{len(devices) - 1}")
        for name, values in (("write_a", write), ("reset_a", reset), ("read_a", read)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} holds values that are not finite")
        times = {
            "reset_width_s": reset_width_s,
            "write_width_s": write_width_s,
            "reset_gap_s": reset_gap_s,
            "reset_wait_s": reset_wait_s,
            "read_wait_s": read_wait_s,
            "integration_s": integration_s,
        }
        for name, value in times.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive time in seconds, got {value}")
        if reset_count < 0:
            raise ValueError(f"reset_count must be 0 or more, got {reset_count}")
        return FrameBatch(
            tuple(devices),
            np.ascontiguousarray(index),
            np.ascontiguousarray(write),
            np.ascontiguousarray(reset),
            np.ascontiguousarray(read),
            reset_count=reset_count,
            verify_reset=verify_reset,
            ordered=ordered,
            **times,
        )

    def take(self, index: ArrayLike | slice) -> FrameBatch:
        """The frames at these positions (slice or integer array), in that order."""
        chosen = index if isinstance(index, slice) else np.asarray(index)
        return replace(
            self,
            device=self.device[chosen],
            write_a=self.write_a[chosen],
            reset_a=self.reset_a[chosen],
            read_a=self.read_a[chosen],
        )

    def pulses(self) -> dict[str, tuple[int, int]]:
        """(positive, negative) pulses that each device receives; reads count as no pulse."""
        counted: dict[str, tuple[int, int]] = {}
        for number in np.unique(self.device):
            mine = self.device == number
            amplitudes = self.write_a[mine]
            resets = np.sign(self.reset_a[mine]) * self.reset_count
            positive = int((amplitudes > 0).sum() + resets[resets > 0].sum())
            negative = int((amplitudes < 0).sum() - resets[resets < 0].sum())
            counted[self.devices[number]] = (positive, negative)
        return counted


@dataclass(frozen=True)
class Load:
    """One programme of a plan: frames order[start:stop], all on one device."""

    device: str
    start: int
    stop: int


@dataclass(frozen=True)
class FramePlan:
    """A batch as the instruments will really play it, and what that costs.

    batch is as asked; write_a, reset_a, read_a (N,) are the quantised amplitudes in the batch's order;
    widths, waits and integration of `actual` are what the instruments can do. order (N,) is the
    playing order. misread_probability is the predicted chance of taking one state for the other.
    """

    player: str
    batch: FrameBatch
    actual: FrameBatch
    order: IntArray
    loads: tuple[Load, ...]
    frame_s: float
    duration_s: float
    relay_moves: int
    pulses: Mapping[str, tuple[int, int]]
    misread_probability: Mapping[str, float]
    notes: tuple[str, ...] = ()
    spent_s: Mapping[str, float] = field(default_factory=dict)
    """duration_s split by the kinds of `SPENT`."""
    energy_j: Mapping[str, float] = field(default_factory=dict)
    """Energy that the pulses put into each device (J), at its nominal resistance."""
    quantisation_a: float = 0.0
    """Largest difference of an actual from an asked write amplitude (A)."""
    amplitude_uncertainty: float = 0.0
    """Relative uncertainty of the amplitudes beyond quantisation (a voltage source into a measured load)."""


@dataclass(frozen=True)
class FrameReadings:
    """What came back, in the order asked: all arrays (N,).

    voltage_v at the Hall arms during the read, current_a driven meanwhile, time_s on the bench's clock
    (end of the read), flags of `Flag`; reset_voltage_v is the extra read after the reset (nan without it).
    """

    voltage_v: FloatArray
    current_a: FloatArray
    time_s: FloatArray
    flags: FlagArray
    reset_voltage_v: FloatArray

    def __len__(self) -> int:
        return len(self.voltage_v)

    @staticmethod
    def missing(count: int) -> FrameReadings:
        """Readings of frames that were not played (yet): nan, flagged MISSING."""
        nan = np.full(count, np.nan)
        flags = np.full(count, int(Flag.MISSING), dtype=np.uint16)
        return FrameReadings(nan, nan.copy(), nan.copy(), flags, nan.copy())

    @property
    def clean(self) -> NDArray[np.bool_]:
        """(N,) True where a reading may be used as data."""
        spoiled = Flag.OVERLOAD | Flag.COMPLIANCE | Flag.CLIPPED | Flag.MISSING | Flag.TIMEOUT
        clean: NDArray[np.bool_] = np.equal(self.flags & np.uint16(int(spoiled)), 0)
        return clean
