"""Switching loop against the current of the write pulse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hilab.analysis.hysteresis import analyse_loop
from hilab.engine.messages import Column, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from hilab.frames import DeviceCard, FrameBatch
from protocols._common import Steps, chosen_devices, read_currents
from protocols._locate import Timing, check_frames
from protocols.hysteresis_field import loop_figures

if TYPE_CHECKING:
    from hilab.bench import Bench

ENOUGH = 1.2  # of I50: a loop that goes so far switches


class HysteresisCurrentParams(ProtocolParams):
    """What hysteresis_current can be told."""

    devices: list[str] = Field([], description="devices to measure; all when empty")
    current_max_a: float | None = Field(
        None, gt=0, description="largest pulse; envelope_fraction of the device's limit if not given"
    )
    envelope_fraction: float = Field(
        0.7,
        gt=0,
        le=1,
        description="largest pulse as a part of the device's limit; 1.2 of its nominal I50 if that is more",
    )
    points: int = Field(41, ge=5, le=1001, description="amplitudes on each of the two branches")
    cycles: int = Field(1, ge=1, le=100, description="how often the loop is run")
    write_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the pulses; the bench's own if not given"
    )
    read_wait_s: float = Field(20e-6, gt=0, le=10, description="wait between pulse and read")
    read_a: float | None = Field(
        None, gt=0, description="read current; 0.6 of the device's read limit if not given"
    )
    integration_s: float | None = Field(
        None, gt=0, le=1, description="integration of one reading; the bench's own if not given"
    )


class HysteresisCurrent(Protocol[HysteresisCurrentParams]):
    """Hall resistance after each of a series of pulses that goes up, down and up again.

    The pulses run +max -> -max -> +max, `cycles` times, after a quarter from 0 to +max that sets the initial
    state and is not part of the loop. There is no reset: each pulse finds the state its predecessor left.
    """

    name: ClassVar[str] = "hysteresis_current"
    Params = HysteresisCurrentParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {"current_loop": CURRENT_LOOP_COLUMNS}

    def check(self, bench: Bench) -> None:
        params = self.params
        timing = Timing(
            params.write_width_s or bench.pulse_width_s,
            params.write_width_s or bench.pulse_width_s,
            read_wait_s=params.read_wait_s,
            integration_s=params.integration_s or bench.integration_s,
        )
        asked = () if params.current_max_a is None else (params.current_max_a,)
        check_frames(bench, chosen_devices(bench, params.devices), params.read_a, timing, write_a=asked)

    def steps(self, bench: Bench) -> Iterator[Message]:
        figures = yield from current_loops(bench, self.params)
        yield Result({"current_loop": figures})


CURRENT_LOOP_COLUMNS: Mapping[str, Column] = {
    "device": Column("S32"),
    "cycle": Column("i4"),
    "branch": Column("i4"),
    "write_a": Column("f8", "A"),
    "r_hall_ohm": Column("f8", "ohm"),
    "time_s": Column("f8", "s"),
    "flags": Column("u2"),
}


def loop_shape(points: int, cycles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(level in -1..1, branch +1 up / -1 down / 0 initial, cycle) of every pulse."""
    start = np.linspace(0, 1, max(3, points // 2))
    down = np.linspace(1, -1, points)
    level = np.concatenate([start, *([down, -down] * cycles)])
    branch = np.concatenate([np.zeros(len(start)), *([np.full(points, -1), np.full(points, 1)] * cycles)])
    cycle = np.concatenate([np.zeros(len(start)), np.repeat(np.arange(cycles), 2 * points)])
    return level, branch.astype(np.int64), cycle.astype(np.int64)


def _largest_a(card: DeviceCard, limit_a: float, fraction: float) -> float:
    """A part of the limit, but enough to switch the device that the design promises, if that is allowed."""
    promised_a = ENOUGH * card.nominal.i50_a if card.nominal else 0.0
    return min(max(fraction * limit_a, promised_a), limit_a)


def current_loops(bench: Bench, params: HysteresisCurrentParams) -> Steps[dict[str, dict[str, float | str]]]:
    """Measure the loops; returns {device: {switching_up_a, switching_down_a, opening_ohm}}."""
    devices = chosen_devices(bench, params.devices)
    currents = read_currents(bench, devices, params.read_a)
    level, branch, cycle = loop_shape(params.points, params.cycles)
    figures = {}
    for number, device in enumerate(devices):
        limit_a = bench.devices[device].limits.current_max_a(params.write_width_s or bench.pulse_width_s)
        current_max_a = params.current_max_a or _largest_a(
            bench.devices[device], limit_a, params.envelope_fraction
        )
        batch = FrameBatch.of(
            [device],
            np.zeros(len(level), dtype=int),
            current_max_a * level,
            0.0,
            currents[number],
            write_width_s=params.write_width_s or bench.pulse_width_s,
            read_wait_s=params.read_wait_s,
            reset_count=0,
            integration_s=params.integration_s or bench.integration_s,
        )
        readings = bench.play(bench.plan(batch))
        r_hall = readings.voltage_v / currents[number]
        yield Reading(
            "current_loop",
            {
                "device": np.full(len(batch), device.encode(), dtype="S32"),
                "cycle": cycle,
                "branch": branch,
                "write_a": batch.write_a,
                "r_hall_ohm": r_hall,
                "time_s": readings.time_s,
                "flags": readings.flags,
            },
        )
        used = (branch != 0) & readings.clean
        loop = analyse_loop(batch.write_a[used], r_hall[used])
        figures[device] = loop_figures(loop, "a")
        yield Progress(number + 1, len(devices), device)
    return figures
