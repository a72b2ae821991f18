"""All devices of a sample: loops, switching curves, spread by width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hilab.analysis.survey import check_claim, spread_by_width
from hilab.engine.messages import Column, Message, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from protocols._common import FRAME_COLUMNS, chosen_devices
from protocols._fitting import FIT_COLUMNS, fit_sigmoids
from protocols._locate import Timing, check_frames, locate
from protocols._sigmoid import SWITCHING_COLUMNS, amplitudes_around, measure_sigmoids
from protocols.hysteresis_current import CURRENT_LOOP_COLUMNS, HysteresisCurrentParams, current_loops
from protocols.hysteresis_field import FIELD_LOOP_COLUMNS, HysteresisFieldParams, field_loops

if TYPE_CHECKING:
    from hilab.bench import Bench

FEWEST_WIDTHS, FEWEST_VALUES = 3, 4  # for a trend with its width
TRENDS = (("loop", "coercive_t"), ("bias", "i50_a"), ("slope", "slope_per_a"))


class SurveyParams(ProtocolParams):
    """What device_survey can be told."""

    devices: list[str] = Field([], description="devices to survey; all when empty")
    field_loop: bool = Field(True, description="measure the loop against the perpendicular field")
    current_loop: bool = Field(True, description="measure the loop against the write current")
    field_max_t: float = Field(
        0.02, gt=0, le=3, description="the field loop runs from -field_max to +field_max"
    )
    loop_points: int = Field(41, ge=5, le=1001, description="points on each branch of the loops")
    points: int = Field(21, ge=5, le=501, description="amplitudes of each switching curve")
    span_units: float = Field(5.0, gt=0, le=20, description="half-range of the amplitudes in logistic units")
    trials: int = Field(100, ge=10, le=1_000_000, description="samples at each amplitude")
    rounds: int = Field(5, ge=1, le=1000, description="visits to each device")
    write_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the write pulse; the bench's own if not given"
    )
    reset_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the reset pulse; the bench's own if not given"
    )
    integration_s: float | None = Field(
        None, gt=0, le=1, description="integration of one reading of a frame; the bench's own if not given"
    )
    verify_reset: bool = Field(True, description="read after each reset too, and count the failed ones")
    tau0_s: float = Field(1e-9, gt=0, le=1e-6, description="attempt time assumed by the fits")
    record_frames: bool = Field(True, description="keep every frame's reading in the run file")


class DeviceSurvey(Protocol[SurveyParams]):
    """Field loop, current loop and switching curve of every device, and their spread by width.

    The spread of few devices is itself uncertain: with four devices the 95 % interval of sigma runs from
    0.57 to 3.7 times the estimate, and is printed with it.
    """

    name: ClassVar[str] = "device_survey"
    Params = SurveyParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        wanted = {
            "field_loop": FIELD_LOOP_COLUMNS if self.params.field_loop else None,
            "current_loop": CURRENT_LOOP_COLUMNS if self.params.current_loop else None,
            "switching": SWITCHING_COLUMNS,
            "fits": FIT_COLUMNS,
            "frames": FRAME_COLUMNS,
        }
        return {name: columns for name, columns in wanted.items() if columns is not None}

    def check(self, bench: Bench) -> None:
        params = self.params
        timing = Timing(
            params.reset_width_s or bench.pulse_width_s,
            params.write_width_s or bench.pulse_width_s,
            integration_s=params.integration_s or bench.integration_s,
        )
        check_frames(bench, chosen_devices(bench, params.devices), None, timing)
        if params.field_loop:
            bench.check_field(params.field_max_t)

    def steps(self, bench: Bench) -> Iterator[Message]:
        params = self.params
        devices = chosen_devices(bench, params.devices)
        found: dict[str, dict[str, Any]] = {
            name: {"width_m": bench.devices[name].width_m} for name in devices
        }
        if params.field_loop:
            shape = HysteresisFieldParams(
                devices=list(devices), field_max_t=params.field_max_t, points=params.loop_points
            )
            _merge(found, (yield from field_loops(bench, shape)), "field")
        if params.current_loop:
            sweep = HysteresisCurrentParams(
                devices=list(devices),
                points=params.loop_points,
                write_width_s=params.write_width_s or bench.pulse_width_s,
                integration_s=params.integration_s or bench.integration_s,
            )
            _merge(found, (yield from current_loops(bench, sweep)), "current")
        yield from self._curves(bench, devices, found)
        yield Result({"tau0_assumed_s": params.tau0_s, "devices": found, **by_width(found)})

    def _curves(
        self, bench: Bench, devices: tuple[str, ...], found: dict[str, dict[str, Any]]
    ) -> Iterator[Message]:
        params = self.params
        timing = Timing(
            params.reset_width_s or bench.pulse_width_s,
            params.write_width_s or bench.pulse_width_s,
            integration_s=params.integration_s or bench.integration_s,
        )
        located = yield from locate(bench, devices, timing=timing, record=params.record_frames)
        sigmoids = yield from measure_sigmoids(
            bench,
            located,
            {
                name: amplitudes_around(one.i50_a, params.points, params.span_units)
                for name, one in located.items()
            },
            trials=params.trials,
            rounds=params.rounds,
            timing=timing,
            verify_reset=params.verify_reset,
            random=self.random("amplitude order"),
            record=params.record_frames,
        )
        fitted = yield from fit_sigmoids(bench, sigmoids, params.tau0_s)
        for name, figures in fitted.items():
            found[name].update(figures)
            found[name]["reset_a"] = located[name].reset_a
            found[name]["readout"] = asdict(located[name].readout)


def _merge(found: dict[str, dict[str, Any]], figures: Mapping[str, Mapping[str, Any]], prefix: str) -> None:
    for name, values in figures.items():
        found[name].update(
            {key if key.startswith("coercive") else f"{prefix}_{key}": value for key, value in values.items()}
        )


def by_width(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Spread by width of what was measured, and the published trends where three widths or more are there."""
    report: dict[str, Any] = {"spread": {}, "trends": []}
    for key in ("coercive_t", "coercive_a", "i50_a", "slope_per_a", "delta"):
        width, value = _column(found, key)
        if len(width):
            report["spread"][key] = [asdict(row) for row in spread_by_width(width, value)]
    for claim, key in TRENDS:
        width, value = _column(found, key)
        if np.unique(width).size >= FEWEST_WIDTHS and width.size >= FEWEST_VALUES:
            report["trends"].append(dict(check_claim(claim, width, value)))
    return report


def _column(found: Mapping[str, Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(one["width_m"], one[key]) for one in found.values() if np.isfinite(one.get(key, np.nan))]
    return np.array([width for width, _ in pairs]), np.array([value for _, value in pairs])
