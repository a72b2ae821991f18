"""Measuring what a network needs of its devices: read-out, reset, and switching curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from hilab.engine.protocol import ProtocolParams
from hilab.errors import HilabError
from protocols._common import Steps
from protocols._fitting import fit_sigmoids
from protocols._locate import FRAMES_TO_LOCATE, Located, Timing, locate
from protocols._sigmoid import amplitudes_around, measure_sigmoids

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.learning.neurons import Readout
    from hilab.learning.surrogate import Calibrations, Surrogate


class CalibrationParams(ProtocolParams):
    """What a calibration before training can be told."""

    devices: list[str] = Field([], description="devices that serve as neurons; all when empty")
    points: int = Field(21, ge=5, le=501, description="amplitudes of each calibration curve")
    span_units: float = Field(5.0, gt=0, le=20, description="half-range of the amplitudes in logistic units")
    trials: int = Field(100, ge=10, le=1_000_000, description="samples at each calibration amplitude")
    rounds: int = Field(2, ge=1, le=100, description="visits to each device while calibrating")
    write_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the write pulse; the bench's own if not given"
    )
    reset_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the reset pulse; the bench's own if not given"
    )
    integration_s: float | None = Field(
        None, gt=0, le=1, description="integration of one reading; the bench's own if not given"
    )
    read_a: float | None = Field(
        None, gt=0, description="read current; 0.6 of the device's read limit if not given"
    )
    tau0_s: float = Field(1e-9, gt=0, le=1e-6, description="attempt time assumed by the fits")

    def timing(self, bench: Bench) -> Timing:
        """The times of all frames on this bench."""
        integration_s = self.integration_s or bench.integration_s
        return Timing(
            self.reset_width_s or bench.pulse_width_s,
            self.write_width_s or bench.pulse_width_s,
            integration_s=integration_s,
        )


@dataclass(frozen=True)
class Calibrated:
    """Devices ready to serve as neurons, and what finding that out cost."""

    readout: Readout
    calibrations: Calibrations
    budget: Mapping[str, Any]


def calibrate(
    bench: Bench, devices: tuple[str, ...], params: CalibrationParams, random: np.random.Generator
) -> Steps[Calibrated]:
    """Locate and measure every device. Raises HilabError naming the devices that have no curve."""
    from hilab.learning.surrogate import Calibrations, Surrogate

    began_s = bench.clock.now()
    located: dict[str, Located] = yield from locate(
        bench, devices, read_a=params.read_a, timing=params.timing(bench)
    )
    sigmoids = yield from measure_sigmoids(
        bench,
        located,
        {
            name: amplitudes_around(one.i50_a, params.points, params.span_units)
            for name, one in located.items()
        },
        trials=params.trials,
        rounds=params.rounds,
        timing=params.timing(bench),
        verify_reset=False,
        random=random,
        record=False,
    )
    fitted = yield from fit_sigmoids(bench, sigmoids, params.tau0_s)
    bad = [f"{name}: {one['reason']}" for name, one in fitted.items() if "reason" in one]
    if bad:
        raise HilabError("these devices cannot serve as neurons: " + "; ".join(bad))
    width_m = np.array([bench.devices[name].width_m for name in devices])
    measured = Surrogate(
        devices,
        width_m,
        np.array([fitted[name]["i50_a"] for name in devices]),
        np.array([fitted[name]["unit_a"] for name in devices]),
    )
    return Calibrated(
        readout(located, devices, params.timing(bench)),
        Calibrations(nominal_curves(bench, measured), measured),
        {
            "frames": (FRAMES_TO_LOCATE + params.points * params.trials) * len(devices),
            "bench_time_s": bench.clock.now() - began_s,
            "devices": fitted,
        },
    )


def nominal_curves(bench: Bench, measured: Surrogate) -> Surrogate:
    """The design's curves from the bench file; a device without them has its measured one
    (protocols refuse nominal arms on such a bench before they pulse)."""
    from hilab.learning.surrogate import Surrogate

    curves = [bench.devices[name].nominal for name in measured.devices]
    return Surrogate(
        measured.devices,
        measured.width_m,
        np.array([c.i50_a if c else i50 for c, i50 in zip(curves, measured.i50_a, strict=True)]),
        np.array([c.unit_a if c else unit for c, unit in zip(curves, measured.unit_a, strict=True)]),
    )


def readout(located: Mapping[str, Located], devices: tuple[str, ...], timing: Timing) -> Readout:
    """How the devices are reset and read as neurons."""
    from hilab.learning.neurons import Readout

    chosen = [located[name] for name in devices]
    return Readout(
        np.array([one.readout.threshold_v for one in chosen]),
        np.array([one.readout.sign > 0 for one in chosen]),
        np.array([one.reset_a for one in chosen]),
        np.array([one.read_a for one in chosen]),
        write_width_s=timing.write_width_s,
        reset_width_s=timing.reset_width_s,
        reset_wait_s=timing.reset_wait_s,
        read_wait_s=timing.read_wait_s,
        integration_s=timing.integration_s,
    )
