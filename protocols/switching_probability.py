"""Switching probability against the amplitude of the write pulse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, model_validator

from hilab.engine.messages import Column, Message, Result
from hilab.engine.protocol import Protocol, ProtocolParams
from protocols._common import FRAME_COLUMNS, chosen_devices
from protocols._fitting import FIT_COLUMNS, fit_sigmoids
from protocols._locate import Located, Timing, check_frames, locate
from protocols._sigmoid import SWITCHING_COLUMNS, amplitudes_around, measure_sigmoids

if TYPE_CHECKING:
    from hilab.bench import Bench


class SwitchingParams(ProtocolParams):
    """What switching_probability can be told."""

    devices: list[str] = Field([], description="devices to measure; all when empty")
    amplitudes_a: list[float] = Field(
        [], description="write amplitudes; laid around each device's I50, found by a coarse scan, when empty"
    )
    points: int = Field(21, ge=5, le=501, description="amplitudes when they are laid out automatically")
    span_units: float = Field(
        5.0, gt=0, le=20, description="half-range of the amplitudes in logistic units (1.1 % of Ic0 each)"
    )
    trials: int = Field(100, ge=1, le=1_000_000, description="samples (frames) at each amplitude")
    rounds: int = Field(
        5, ge=1, le=1000, description="how often the devices are visited; drift is seen between rounds"
    )
    reset_a: float | None = Field(
        None, le=0, description="reset amplitude (negative); 1.2 x -I50 if not given"
    )
    read_a: float | None = Field(
        None, gt=0, description="read current; 0.6 of the device's read limit if not given"
    )
    reset_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the reset pulse; the bench's own if not given"
    )
    write_width_s: float | None = Field(
        None, gt=0, le=1, description="width of the write pulse; the bench's own if not given"
    )
    reset_wait_s: float = Field(20e-6, gt=0, le=10, description="wait between reset and write")
    read_wait_s: float = Field(20e-6, gt=0, le=10, description="wait between write and read")
    integration_s: float | None = Field(
        None, gt=0, le=1, description="integration of one reading; the bench's own if not given"
    )
    verify_reset: bool = Field(True, description="read after each reset too, and count the failed ones")
    tau0_s: float = Field(1e-9, gt=0, le=1e-6, description="attempt time assumed by the Neel-Arrhenius fit")

    @model_validator(mode="after")
    def _enough(self) -> SwitchingParams:
        if any(amplitude <= 0 for amplitude in self.amplitudes_a):
            raise ValueError("amplitudes_a: write amplitudes are positive, the reset is the negative pulse")
        if self.rounds > self.trials:
            raise ValueError(f"rounds: {self.rounds} rounds need at least as many trials, got {self.trials}")
        return self

    def timing(self, bench: Bench) -> Timing:
        """The times of all frames."""
        return Timing(
            self.reset_width_s or bench.pulse_width_s,
            self.write_width_s or bench.pulse_width_s,
            self.reset_wait_s,
            self.read_wait_s,
            self.integration_s or bench.integration_s,
        )


class SwitchingProbability(Protocol[SwitchingParams]):
    """P(switch) of each device against the write amplitude: reset, write, read, many times.

    A coarse scan of alternating pulses finds each device's read-out levels, I50 and reset. Then every
    amplitude is played `trials` times, shuffled, in `rounds` visits to each device. Frames whose reset failed
    (the extra read after the reset shows it) are counted but not part of n. Intervals are Wilson's at
    95 % and rest on independent samples; the lag-1 autocorrelation of the bits is reported beside them.
    The Neel-Arrhenius curve is fitted by maximum likelihood with an assumed attempt time; the logistic fit is
    given for comparison and never used as I50.
    """

    name: ClassVar[str] = "switching_probability"
    Params = SwitchingParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {"switching": SWITCHING_COLUMNS, "fits": FIT_COLUMNS, "frames": FRAME_COLUMNS}

    def check(self, bench: Bench) -> None:
        params = self.params
        devices = chosen_devices(bench, params.devices)
        check_frames(
            bench,
            devices,
            params.read_a,
            params.timing(bench),
            write_a=params.amplitudes_a,
            reset_a=params.reset_a,
        )

    def steps(self, bench: Bench) -> Iterator[Message]:
        params = self.params
        located = yield from locate(
            bench, chosen_devices(bench, params.devices), read_a=params.read_a, timing=params.timing(bench)
        )
        if params.reset_a is not None:
            located = {name: _with_reset(one, params.reset_a) for name, one in located.items()}
        amplitudes = {
            name: np.unique(params.amplitudes_a)
            if params.amplitudes_a
            else amplitudes_around(one.i50_a, params.points, params.span_units)
            for name, one in located.items()
        }
        sigmoids = yield from measure_sigmoids(
            bench,
            located,
            amplitudes,
            trials=params.trials,
            rounds=params.rounds,
            timing=params.timing(bench),
            verify_reset=params.verify_reset,
            random=self.random("amplitude order"),
        )
        fitted = yield from fit_sigmoids(bench, sigmoids, params.tau0_s)
        yield Result({"tau0_assumed_s": params.tau0_s, "devices": fitted})


def _with_reset(located: Located, reset_a: float) -> Located:
    return Located(located.device, located.readout, located.i50_a, reset_a, located.read_a)
