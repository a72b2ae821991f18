"""How a network's accuracy suffers from an error of the bias currents, by device width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from hilab.analysis.survey import check_claim
from hilab.engine.messages import Column, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol
from protocols._calibration import Calibrated, calibrate
from protocols._common import FRAME_COLUMNS, Steps, chosen_devices
from protocols._fitting import FIT_COLUMNS
from protocols._images import ImageParams
from protocols._locate import check_frames
from protocols._sigmoid import SWITCHING_COLUMNS

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.learning.idx import Mnist
    from hilab.learning.neurons import NeuronBench

Kind = Literal["absolute", "relative", "as-drawn"]
FEWEST_WIDTHS = 3


class BiasVariationParams(ImageParams):
    """What bias_variation can be told."""

    kinds: list[Kind] = Field(
        ["absolute", "relative", "as-drawn"], min_length=1, description="kinds of error that are compared"
    )
    absolute_a: list[float] = Field([22e-6, 44e-6], min_length=1, description="rms absolute bias errors")
    relative: list[float] = Field([0.02, 0.04], min_length=1, description="rms errors relative to I50")
    draws: int = Field(6, ge=2, le=1000, description="draws of the error for each width and size")
    test_images: int = Field(1000, ge=1, le=10_000, description="test images of each draw")
    epochs: int = Field(5, ge=1, le=1000, description="passes over the training images")
    hidden: int = Field(100, ge=1, le=10_000, description="hidden neurons")
    through_bench: bool = Field(
        True, description="play the test's frames on the bench; False draws them from the measured curves"
    )

    @field_validator("absolute_a", "relative")
    @classmethod
    def _positive(cls, sizes: list[float]) -> list[float]:
        if any(size <= 0 for size in sizes):
            raise ValueError("rms errors are positive")
        return sizes


class BiasVariation(Protocol[BiasVariationParams]):
    """Accuracy lost to an error of the bias currents: absolute, relative to I50, or the devices' own spread.

    A network is trained in software once. Then its hidden neurons are laid on the devices of one width at a
    time, calibrated one by one, and every device's current is moved by an error drawn for it: of a fixed rms
    in ampere (absolute), of a fixed rms relative to I50, or by leaving the calibration away (as-drawn: the
    design's curve is used for all). An absolute error hurts narrow devices more, a relative one does not.
    """

    name: ClassVar[str] = "bias_variation"
    Params = BiasVariationParams

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {
            "bias": {
                "width_m": Column("f8", "m"),
                "kind": Column("S16"),
                "size": Column("f8"),
                "draw": Column("i4"),
                "accuracy": Column("f8"),
                "lost_points": Column("f8"),
            },
            "switching": SWITCHING_COLUMNS,
            "fits": FIT_COLUMNS,
            "frames": FRAME_COLUMNS,
        }

    def check(self, bench: Bench) -> None:
        params = self.params
        check_frames(bench, chosen_devices(bench, params.devices), params.read_a, params.timing(bench))

    def steps(self, bench: Bench) -> Iterator[Message]:

        params = self.params
        data = params.load()
        devices = chosen_devices(bench, params.devices)
        calibrated = yield from calibrate(bench, devices, params, self.random("calibration order"))
        trained = yield from self._software(data)
        study = _Study(self, bench, data, devices, calibrated, trained)
        rows: list[tuple[float, str, float, int, float]] = []
        cases = list(study.cases())
        for number, case in enumerate(cases):
            lost = study.lost_points(case)
            rows.append((case.width_m, case.kind, case.size, case.draw, lost))
            yield Reading(
                "bias",
                {
                    "width_m": [case.width_m],
                    "kind": np.array([case.kind.encode()], dtype="S16"),
                    "size": [case.size],
                    "draw": [case.draw],
                    "accuracy": [study.reference - lost / 100],
                    "lost_points": [lost],
                },
            )
            yield Progress(number + 1, len(cases), f"{case.width_m * 1e6:g} um, {case.kind}")
        yield Result({"software_accuracy": study.reference, **summary(rows)})

    def _software(self, data: Mnist) -> Steps[dict[str, np.ndarray]]:
        """Weights of the software network."""
        from hilab.learning.arms import ARMS
        from hilab.learning.network import Network, hidden_layer, initialise
        from hilab.learning.neurons import SoftwareNeurons
        from hilab.learning.training import Training, TrainingSettings, train

        params = self.params
        neurons = SoftwareNeurons(self.random("software neurons"))
        layer = hidden_layer(ARMS["software"], params.hidden, neurons, on_devices=False)
        network = Network(data.train.images.shape[1], 10, (params.hidden,), (layer,))
        initialise(network, self.random("weights"))
        training = Training(network, data.train, TrainingSettings(epochs=params.epochs, order_seed=self.seed))
        for step in train(training):
            if step.ends_epoch:
                yield Progress(step.epoch + 1, params.epochs, f"software, loss {step.loss:.3f}")
        return network.weights()


@dataclass(frozen=True)
class _Case:
    width_m: float
    kind: Kind
    size: float
    draw: int


class _Shifted:
    """Neurons whose currents are off by a constant error of each device."""

    def __init__(self, neurons: NeuronBench, error_a: np.ndarray):
        self.neurons = neurons
        self.error_a = error_a

    def fire(self, device: np.ndarray, current_a: np.ndarray) -> np.ndarray:
        return self.neurons.fire(device, current_a + self.error_a[device])


@dataclass
class _Study:
    """The tests of one trained network on the devices of each width."""

    protocol: BiasVariation
    bench: Bench
    data: Mnist
    devices: tuple[str, ...]
    calibrated: Calibrated
    weights: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        self.reference = self._software_accuracy()

    def cases(self) -> Iterator[_Case]:
        """Every width, kind, size and draw; as-drawn has one size (0) and repeats the sampling only."""
        params = self.protocol.params
        sizes: dict[str, list[float]] = {
            "absolute": params.absolute_a,
            "relative": params.relative,
            "as-drawn": [0.0],
        }
        for width_m in sorted({self.bench.devices[name].width_m for name in self.devices}):
            for kind in params.kinds:
                for size in sizes[kind]:
                    for draw in range(params.draws if kind != "as-drawn" else 2):
                        yield _Case(width_m, kind, size, draw)

    def lost_points(self, case: _Case) -> float:
        """Accuracy at one sample, in points below the software network's."""
        names = tuple(name for name in self.devices if self.bench.devices[name].width_m == case.width_m)
        measured = self.calibrated.calibrations.measured.choose(names)
        # One draw serves all widths, in units of the error's size: the comparison between widths is paired.
        unit = self.protocol.random(f"bias error {case.kind} {case.draw}").standard_normal(len(names))
        scales = {
            "absolute": np.ones(len(names)),
            "relative": measured.i50_a,
            "as-drawn": np.zeros(len(names)),
        }
        neurons = _Shifted(self._neurons(names, case), unit * case.size * scales[case.kind])
        forward = self.calibrated.calibrations.nominal.choose(names) if case.kind == "as-drawn" else measured
        return 100 * (self.reference - self._accuracy(names, forward, neurons))

    def _neurons(self, names: tuple[str, ...], case: _Case) -> NeuronBench:
        from hilab.learning.neurons import BenchNeurons, SurrogateNeurons

        if self.protocol.params.through_bench:
            index = [self.devices.index(name) for name in names]
            return BenchNeurons(self.bench, names, self.calibrated.readout.choose(index))
        curves = self.calibrated.calibrations.measured.choose(names)
        return SurrogateNeurons(curves, self.protocol.random(f"draws {case}"))

    def _accuracy(self, names: tuple[str, ...], forward: Any, neurons: NeuronBench) -> float:
        from hilab.learning.assignment import Assignment
        from hilab.learning.layer import DeviceLayer

        params = self.protocol.params
        envelope_a = np.array(
            [
                self.bench.devices[name].limits.current_max_a(
                    params.write_width_s or self.bench.pulse_width_s
                )
                for name in names
            ]
        )
        layer = DeviceLayer(
            neurons,
            Assignment.round_robin(params.hidden, names),
            forward,
            forward,
            envelope_a=0.9 * envelope_a,
        )
        return self._test(layer)

    def _software_accuracy(self) -> float:
        from hilab.learning.arms import ARMS
        from hilab.learning.network import hidden_layer
        from hilab.learning.neurons import SoftwareNeurons

        neurons = SoftwareNeurons(self.protocol.random("software test"))
        return self._test(
            hidden_layer(ARMS["software"], self.protocol.params.hidden, neurons, on_devices=False)
        )

    def _test(self, layer: Any) -> float:
        from hilab.learning.network import Network
        from hilab.learning.training import evaluate_steps

        network = Network(self.data.test.images.shape[1], 10, (self.protocol.params.hidden,), (layer,))
        network.set_weights(self.weights)
        steps = evaluate_steps(network, self.data.test)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return float(end.value.accuracy_one)
            self.bench.check_stop()


def summary(rows: list[tuple[float, str, float, int, float]]) -> dict[str, Any]:
    """Mean loss by width, kind and size; the published trend for the largest error of each kind."""
    table: list[dict[str, Any]] = []
    trends: dict[str, Any] = {}
    for kind in dict.fromkeys(row[1] for row in rows):
        sizes = sorted({row[2] for row in rows if row[1] == kind})
        for size in sizes:
            mine = [row for row in rows if row[1] == kind and row[2] == size]
            for width_m in sorted({row[0] for row in mine}):
                lost = np.array([row[4] for row in mine if row[0] == width_m])
                table.append(
                    {
                        "kind": kind,
                        "size": size,
                        "width_m": width_m,
                        "lost_points": float(lost.mean()),
                        "standard_error": float(lost.std(ddof=1) / np.sqrt(len(lost))),
                        "draws": len(lost),
                    }
                )
        largest = [row for row in rows if row[1] == kind and row[2] == sizes[-1]]
        if len({row[0] for row in largest}) >= FEWEST_WIDTHS:
            trends[kind] = dict(
                check_claim("robustness", [row[0] for row in largest], [row[4] for row in largest])
            )
    return {"table": table, "trends": trends}
