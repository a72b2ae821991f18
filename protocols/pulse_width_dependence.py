"""How the switching current depends on the width of the write pulse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from hilab.analysis.widths import fit_tau0, fit_width_line
from hilab.engine.messages import Column, Message, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from protocols._common import FRAME_COLUMNS, chosen_devices
from protocols._fitting import FIT_COLUMNS, fit_sigmoids
from protocols._locate import Timing, check_frames, locate
from protocols._sigmoid import SWITCHING_COLUMNS, Sigmoid, amplitudes_around, measure_sigmoids

if TYPE_CHECKING:
    from hilab.bench import Bench


class PulseWidthParams(ProtocolParams):
    """What pulse_width_dependence can be told."""

    devices: list[str] = Field([], description="devices to measure; all when empty")
    widths_s: list[float] = Field(
        [100e-6, 300e-6, 1e-3], min_length=2, description="widths of the write pulse"
    )
    points: int = Field(15, ge=5, le=201, description="amplitudes at each width")
    span_units: float = Field(5.0, gt=0, le=20, description="half-range of the amplitudes in logistic units")
    trials: int = Field(100, ge=10, le=1_000_000, description="samples at each amplitude")
    rounds: int = Field(3, ge=1, le=100, description="visits to each device at each width")
    read_a: float | None = Field(
        None, gt=0, description="read current; 0.6 of the device's read limit if not given"
    )
    reset_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the reset pulse; the bench's own if not given"
    )
    integration_s: float | None = Field(
        None, gt=0, le=1, description="integration of one reading; the bench's own if not given"
    )
    tau0_s: float = Field(1e-9, gt=0, le=1e-6, description="attempt time assumed by the fits at one width")

    @field_validator("widths_s")
    @classmethod
    def _positive(cls, widths: list[float]) -> list[float]:
        if any(width <= 0 for width in widths):
            raise ValueError("widths_s: pulse widths are positive")
        return sorted(set(widths))


class PulseWidthDependence(Protocol[PulseWidthParams]):
    """P(switch) at several write widths; the barrier from the slope, and from I50 against ln(width).

    Two fits of the same barrier differ by design: one from the slope of P(I) at each width (attempt time
    assumed), one from the shift of I50 with the width (attempt time free). Heating separates them.
    """

    name: ClassVar[str] = "pulse_width_dependence"
    Params = PulseWidthParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {"switching": SWITCHING_COLUMNS, "fits": FIT_COLUMNS, "frames": FRAME_COLUMNS}

    def check(self, bench: Bench) -> None:
        params = self.params
        for width_s in params.widths_s:
            timing = Timing(
                params.reset_width_s or bench.pulse_width_s,
                width_s,
                integration_s=params.integration_s or bench.integration_s,
            )
            check_frames(bench, chosen_devices(bench, params.devices), params.read_a, timing)

    def steps(self, bench: Bench) -> Iterator[Message]:
        params = self.params
        devices = chosen_devices(bench, params.devices)
        by_device: dict[str, list[Sigmoid]] = {name: [] for name in devices}
        single: dict[str, dict[str, Any]] = {}
        for width_s in params.widths_s:
            timing = Timing(
                params.reset_width_s or bench.pulse_width_s,
                width_s,
                integration_s=params.integration_s or bench.integration_s,
            )
            located = yield from locate(bench, devices, read_a=params.read_a, timing=timing)
            amplitudes = {
                name: amplitudes_around(one.i50_a, params.points, params.span_units)
                for name, one in located.items()
            }
            sigmoids = yield from measure_sigmoids(
                bench,
                located,
                amplitudes,
                trials=params.trials,
                rounds=params.rounds,
                timing=timing,
                verify_reset=True,
                random=self.random(f"amplitude order {width_s}"),
            )
            single[f"{width_s:g}"] = yield from fit_sigmoids(bench, sigmoids, params.tau0_s)
            for name, sigmoid in sigmoids.items():
                by_device[name].append(sigmoid)
        yield Result(
            {
                "tau0_assumed_s": params.tau0_s,
                "by_width": single,
                "all_widths": {
                    name: joint_fits(curves, [one[name] for one in single.values()], params.tau0_s)
                    for name, curves in by_device.items()
                },
            }
        )


def joint_fits(
    curves: Sequence[Sigmoid], figures: Sequence[Mapping[str, Any]], tau0_s: float
) -> dict[str, Any]:
    """The barrier from I50 against ln(width), and what the widths say of the attempt time itself."""
    fitted = [number for number, one in enumerate(figures) if "i50_a" in one]
    if len(fitted) < 2:
        return {"reason": "I50 is known at fewer than two widths"}
    line = fit_width_line(
        [curves[number].write_width_s for number in fitted],
        [figures[number]["i50_a"] for number in fitted],
        [figures[number]["i50_error_a"] for number in fitted],
        tau0_s,
    )
    free = fit_tau0(
        np.concatenate([curve.amplitude_a for curve in curves]),
        np.concatenate([np.full(len(curve.k), curve.write_width_s) for curve in curves]),
        np.concatenate([curve.k for curve in curves]),
        np.concatenate([curve.n for curve in curves]),
    )
    return {"line": asdict(line), "free_tau0": asdict(free)}
