"""What several protocols share: choosing devices, default read currents, recording frames."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from hilab.engine.messages import Column, Message, Reading
from hilab.errors import BenchError, UsageError
from hilab.frames import FramePlan, FrameReadings

if TYPE_CHECKING:
    from hilab.bench import Bench

ReturnT = TypeVar("ReturnT")
Steps: TypeAlias = Generator[Message, None, ReturnT]  # part of a protocol that returns what it found

READ_FRACTION = 0.6  # of the device's read limit; 19 % of I50 on the embedded sample

FRAME_COLUMNS: Mapping[str, Column] = {
    "device": Column("S32"),
    "write_a": Column("f8", "A"),
    "reset_a": Column("f8", "A"),
    "read_a": Column("f8", "A"),
    "write_actual_a": Column("f8", "A"),
    "reset_actual_a": Column("f8", "A"),
    "read_actual_a": Column("f8", "A"),
    "write_width_s": Column("f8", "s"),
    "voltage_v": Column("f8", "V"),
    "reset_voltage_v": Column("f8", "V"),
    "time_s": Column("f8", "s"),
    "flags": Column("u2"),
}


def chosen_devices(bench: Bench, names: Sequence[str]) -> tuple[str, ...]:
    """The devices asked for, or all of the bench; UsageError naming those that are not there."""
    unknown = [name for name in names if name not in bench.devices]
    if unknown:
        raise UsageError(
            f"devices: {', '.join(unknown)} not on this bench; it has {', '.join(bench.devices)}"
        )
    return tuple(names) or tuple(bench.devices)


def read_currents(
    bench: Bench, devices: Sequence[str], read_a: float | None, fraction: float = READ_FRACTION
) -> np.ndarray:
    """(D,) read current of each device: as asked, else a fixed part of what the device may be read with."""
    if read_a is not None:
        return np.full(len(devices), read_a)
    return np.array([fraction * bench.devices[name].limits.read_max_a for name in devices])


def check_reads(bench: Bench, devices: Sequence[str], currents: np.ndarray) -> None:
    """BenchError naming every device whose read current (D,) is above what it may be read with."""
    bad = [
        f"{name}: a read of {current_a * 1e3:.4g} mA is above its envelope of "
        f"{bench.devices[name].limits.read_max_a * 1e3:.4g} mA (read_max_a)"
        for name, current_a in zip(devices, currents, strict=True)
        if not abs(current_a) <= bench.devices[name].limits.read_max_a * (1 + 1e-9)
    ]
    if bad:
        raise BenchError("\n".join(bad))


def frame_reading(plan: FramePlan, readings: FrameReadings, stream: str = "frames") -> Reading:
    """The rows that record a played plan in full: amplitudes as asked, and as the instruments set them."""
    batch, actual = plan.batch, plan.actual
    names = np.array([name.encode() for name in batch.devices], dtype="S32")
    return Reading(
        stream,
        {
            "device": names[batch.device],
            "write_a": batch.write_a,
            "reset_a": batch.reset_a,
            "read_a": batch.read_a,
            "write_actual_a": actual.write_a,
            "reset_actual_a": actual.reset_a,
            "read_actual_a": actual.read_a,
            "write_width_s": np.full(len(batch), batch.write_width_s),
            "voltage_v": readings.voltage_v,
            "reset_voltage_v": readings.reset_voltage_v,
            "time_s": readings.time_s,
            "flags": readings.flags,
        },
    )


def device_column(names: Sequence[str]) -> np.ndarray:
    """Device names as the fixed-length bytes a stream holds."""
    return np.array([name.encode() for name in names], dtype="S32")
