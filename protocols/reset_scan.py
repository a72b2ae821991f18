"""How strong a reset must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from hilab.analysis.switching import wilson_interval
from hilab.engine.messages import Column, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from hilab.frames import FrameBatch
from protocols._common import FRAME_COLUMNS, Steps, chosen_devices, device_column, frame_reading
from protocols._locate import Located, Timing, check_frames, locate

if TYPE_CHECKING:
    from hilab.bench import Bench


class ResetScanParams(ProtocolParams):
    """What reset_scan can be told."""

    devices: list[str] = Field([], description="devices to measure; all when empty")
    points: int = Field(21, ge=5, le=201, description="reset amplitudes")
    from_i50: float = Field(0.9, gt=0.3, lt=2, description="first amplitude, in units of I50")
    to_i50: float = Field(
        1.5, gt=0.5, lt=2, description="last amplitude, in units of I50, inside the envelope"
    )
    trials: int = Field(200, ge=10, le=100_000, description="resets at each amplitude")
    required: float = Field(0.98, gt=0.5, lt=1, description="smallest accepted P(reset), lower Wilson bound")
    read_a: float | None = Field(
        None, gt=0, description="read current; 0.6 of the device's read limit if not given"
    )
    reset_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the reset pulse; the bench's own if not given"
    )
    integration_s: float | None = Field(
        None, gt=0, le=1, description="integration of one reading; the bench's own if not given"
    )


class ResetScan(Protocol[ResetScanParams]):
    """P(reset) against the amplitude of the reset pulse; picks the reset with the best lower bound.

    Each frame first sets the device with a positive pulse of 1.2 x I50, verifies that, then plays the
    reset under test and reads. A reset that is too weak leaves the device set; one that is too strong
    switches it back. The pick is the middle of the amplitudes whose Wilson lower bound is within half a
    per cent of the best, if the best meets `required`.
    """

    name: ClassVar[str] = "reset_scan"
    Params = ResetScanParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {
            "reset": {
                "device": Column("S32"),
                "amplitude_a": Column("f8", "A"),
                "n": Column("i8"),
                "k": Column("i8"),
                "p_reset": Column("f8"),
                "p_low": Column("f8"),
                "p_high": Column("f8"),
            },
            "frames": FRAME_COLUMNS,
        }

    def check(self, bench: Bench) -> None:
        params = self.params
        timing = Timing(
            reset_width_s=params.reset_width_s or bench.pulse_width_s,
            integration_s=params.integration_s or bench.integration_s,
        )
        check_frames(bench, chosen_devices(bench, params.devices), params.read_a, timing)

    def steps(self, bench: Bench) -> Iterator[Message]:
        params = self.params
        timing = Timing(
            params.reset_width_s or bench.pulse_width_s,
            params.reset_width_s or bench.pulse_width_s,
            integration_s=params.integration_s or bench.integration_s,
        )
        devices = chosen_devices(bench, params.devices)
        located = yield from locate(bench, devices, read_a=params.read_a, timing=timing)
        picks: dict[str, float | None] = {}
        for number, (name, one) in enumerate(located.items()):
            picks[name] = yield from self._scan(bench, one, timing)
            yield Progress(number + 1, len(located), name)
        yield Result(
            {
                "reset_a": {name: pick for name, pick in picks.items() if pick is not None},
                "no_reset_found": [name for name, pick in picks.items() if pick is None],
            }
        )

    def _scan(self, bench: Bench, one: Located, timing: Timing) -> Steps[float | None]:
        params = self.params
        limit_a = bench.devices[one.device].limits.current_max_a(params.reset_width_s or bench.pulse_width_s)
        top = min(params.to_i50, limit_a / one.i50_a)
        amplitudes = one.i50_a * np.linspace(params.from_i50, top, params.points)
        order = self.random(f"order {one.device}")
        level = order.permutation(np.repeat(np.arange(params.points), params.trials))
        batch = FrameBatch.of(
            [one.device],
            np.zeros(len(level), dtype=np.int64),
            -amplitudes[level],
            -one.reset_a,
            one.read_a,
            reset_width_s=timing.reset_width_s,
            write_width_s=timing.write_width_s,
            integration_s=timing.integration_s,
            verify_reset=True,
        )
        plan = bench.plan(batch)
        readings = bench.play(plan)
        yield frame_reading(plan, readings)
        was_set = readings.clean & one.readout.is_set(readings.reset_voltage_v)
        came_down = was_set & ~one.readout.is_set(readings.voltage_v)
        n = np.bincount(level[was_set], minlength=params.points)
        k = np.bincount(level[came_down], minlength=params.points)
        low, high = wilson_interval(k, n)
        with np.errstate(invalid="ignore"):
            p_reset = k / n
        yield Reading(
            "reset",
            {
                "device": np.repeat(device_column([one.device]), params.points),
                "amplitude_a": -amplitudes,
                "n": n,
                "k": k,
                "p_reset": p_reset,
                "p_low": low,
                "p_high": high,
            },
        )
        return pick_reset(amplitudes, low, params.required)


def pick_reset(amplitude_a: np.ndarray, p_low: np.ndarray, required: float) -> float | None:
    """Reset amplitude (negative, A) in the middle of the plateau of P(reset); None if none is good enough."""
    best = np.max(np.nan_to_num(p_low))
    if best < required:
        return None
    plateau = amplitude_a[p_low >= best - 0.005]
    return -float(np.median(plateau))
