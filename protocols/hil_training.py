"""Training a network on the devices."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from hilab.engine.messages import Checkpoint, Column, Message, Progress, Reading, Result
from hilab.engine.protocol import Protocol
from hilab.errors import HilabError, UsageError
from protocols._calibration import Calibrated, calibrate
from protocols._common import FRAME_COLUMNS, chosen_devices, read_currents
from protocols._fitting import FIT_COLUMNS
from protocols._images import ImageParams
from protocols._locate import alternating_batch, check_frames
from protocols._sigmoid import SWITCHING_COLUMNS

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.learning.arms import ArmSpec
    from hilab.learning.idx import Mnist
    from hilab.learning.network import Network
    from hilab.learning.neurons import BenchNeurons
    from hilab.learning.training import Evaluation

Arm = Literal[
    "deterministic_sigmoid",
    "deterministic_binary",
    "software",
    "transfer_uncalibrated",
    "transfer_calibrated",
    "variation_aware",
    "hil_straight_through",
    "hil_nominal",
    "hil_calibrated_backward",
    "hil_calibrated_forward",
    "hil_fine_tuned",
]


LayerSize = Annotated[int, Field(ge=1, le=10_000)]


class HilTrainingParams(ImageParams):
    """What hil_training can be told."""

    arms: list[Arm] = Field(
        ["software", "hil_calibrated_backward"], min_length=1, description="what is compared"
    )
    hidden: list[LayerSize] = Field(
        [100], min_length=1, max_length=8, description="neurons of each hidden layer; all are devices"
    )
    epochs: int = Field(10, ge=1, le=1000, description="passes over the training images")
    batch_size: int = Field(100, ge=1, le=10_000, description="images of a mini-batch")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="of Adam")
    samples: int = Field(1, ge=1, le=100, description="whole passes for each image at the last test")
    sample_images: int = Field(
        0, ge=0, le=10_000, description="test images that get all the samples, the others one (0: all)"
    )
    drift_field_t: float = Field(
        0.0,
        ge=-0.01,
        le=0.01,
        description="perpendicular field switched on after the calibration: a drift on purpose",
    )
    epoch_test_images: int = Field(
        1000, ge=0, le=10_000, description="test images after each epoch (0: test at the end only)"
    )
    checkpoint_steps: int = Field(100, ge=1, description="mini-batches between two checkpoints")

    @field_validator("hidden", mode="before")
    @classmethod
    def _one_layer(cls, hidden: Any) -> Any:
        """A single number is one layer."""
        return [hidden] if isinstance(hidden, int) else hidden


LABORATORY: Mapping[str, Any] = {
    "arms": ["software", "hil_fine_tuned"],
    "images": 10_000,
    "test_images": 1000,
    "epoch_test_images": 0,
}
"""One epoch on the devices from the software network: about 1.1e6 frames with 100 hidden neurons."""


class HilTraining(Protocol[HilTrainingParams]):
    """A network on MNIST (784-H-10 or deeper) whose hidden neurons are devices, pulsed in each forward pass.

    First each device's read-out levels, reset and switching curve are measured. Then the arms are run
    with the same initial weights and the same order of images: trained in software, transferred to the
    devices with nominal or measured curves, or trained with the devices in the loop. Accuracy is told at one
    sample of each neuron (and with the outputs of several whole passes averaged, if asked). Frames, bench
    time and pulses count calibration too. One seed gives no verdict.
    """

    name: ClassVar[str] = "hil_training"
    Params = HilTrainingParams
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"laboratory": LABORATORY}
    real_bench_preset: ClassVar[str] = "laboratory"

    def streams(self) -> Mapping[str, Mapping[str, Column]]:
        return {
            "training": {
                "arm": Column("S32"),
                "epoch": Column("i4"),
                "step": Column("i4"),
                "images": Column("i8"),
                "loss": Column("f8"),
                "accuracy": Column("f8"),
                "clipped": Column("f8"),
                "time_s": Column("f8", "s"),
            },
            "accuracy": {
                "arm": Column("S32"),
                "epoch": Column("i4"),
                "final": Column("u1"),
                "samples": Column("i4"),
                "images": Column("i8"),
                "accuracy": Column("f8"),
                "accuracy_mean": Column("f8"),
            },
            "bits": {
                "arm": Column("S32"),
                "step": Column("i8"),
                "packed": Column("u1", "", self.packed_bytes()),
            },
            "switching": SWITCHING_COLUMNS,
            "fits": FIT_COLUMNS,
            "frames": FRAME_COLUMNS,
        }

    def packed_bytes(self) -> int:
        """Bytes of one mini-batch's outcomes, eight to a byte."""
        return -(-self.params.batch_size * sum(self.params.hidden) // 8)

    def check(self, bench: Bench) -> None:
        from hilab.learning.arms import in_order

        params = self.params
        devices = chosen_devices(bench, params.devices)
        arms = [arm for arm in in_order(tuple(params.arms)) if arm.uses_devices]
        if any("nominal" in (arm.forward, arm.backward) for arm in arms):
            _demand_nominal(bench, devices)
        if any(arm.varied for arm in arms):
            _demand_spread(bench, devices)
        if params.drift_field_t and not (bench.has_role("field_source") and arms):
            raise UsageError("drift_field_t: needs a bench with a field source and an arm that uses devices")
        if arms:
            check_frames(bench, devices, params.read_a, params.timing(bench))

    def expected_s(self, bench: Bench) -> float:
        """Bench time (s) of the arms that use devices, at the price of one planned mini-batch."""
        frames = self._device_frames()
        if not frames:
            return 0.0
        params = self.params
        devices = chosen_devices(bench, params.devices)
        samples = max(1, params.batch_size * params.hidden[0] // len(devices))
        batch = alternating_batch(
            bench,
            devices,
            np.array([0.5]),
            samples,
            read_currents(bench, devices, params.read_a),
            params.timing(bench),
        )
        plan = bench.plan(replace(batch, verify_reset=False), prepare=False)
        return plan.duration_s / len(plan.batch) * frames

    def _device_frames(self) -> int:
        """Frames of all arms on devices, without the calibration."""
        from hilab.learning.arms import in_order

        params = self.params
        tested = params.test_images + (params.samples - 1) * (params.sample_images or params.test_images)
        images = 0
        for arm in in_order(tuple(params.arms)):
            epochs = arm.epochs or params.epochs
            if arm.train_on == "devices":
                images += epochs * (params.images + params.epoch_test_images)
            if arm.test_on == "devices":
                images += tested
        return images * sum(params.hidden)

    def steps(self, bench: Bench) -> Iterator[Message]:
        from hilab.learning.arms import in_order

        params = self.params
        data = params.load()
        arms = in_order(tuple(params.arms))
        devices = chosen_devices(bench, params.devices)
        calibrated: Calibrated | None = None
        if any(arm.uses_devices for arm in arms):
            calibrated = yield from calibrate(bench, devices, params, self.random("calibration order"))
        moved = {}
        if calibrated and params.drift_field_t:
            moved = {"field_t": bench.set_field(params.drift_field_t).measured_t}
        run = _Arms(self, bench, data, devices, calibrated)
        results: dict[str, Any] = {}
        weights: dict[str, Any] = {}
        for number, arm in enumerate(arms):
            results[arm.name], weights[arm.name] = yield from run.one(arm, weights.get(arm.starts_from))
            yield Progress(number + 1, len(arms), f"{arm.title}: {results[arm.name]['accuracy']:.2%}")
        calibration = calibrated.budget if calibrated else {}
        yield Result(
            {
                "arms": results,
                "calibration": calibration,
                "seed": self.seed,
                "devices": list(devices),
                **moved,
            }
        )


def _demand_nominal(bench: Bench, devices: tuple[str, ...]) -> None:
    missing = [name for name in devices if bench.devices[name].nominal is None]
    if missing:
        raise HilabError(
            f"{', '.join(missing)}: an arm with nominal calibration needs the design's switching curve; "
            "add [kinds.NAME.nominal] with i50_a and unit_a to the bench file"
        )


def _demand_spread(bench: Bench, devices: tuple[str, ...]) -> None:
    missing = [name for name in devices if not _spread_a(bench, name)]
    if missing:
        raise HilabError(
            f"{', '.join(missing)}: variation-aware training needs the spread that the design expects; "
            "add i50_spread_a to [kinds.NAME.nominal] in the bench file"
        )


def _spread_a(bench: Bench, device: str) -> float:
    nominal = bench.devices[device].nominal
    return nominal.i50_spread_a if nominal else 0.0


@dataclass
class _Arms:
    """Runs the arms of one training run, one after another."""

    protocol: HilTraining
    bench: Bench
    data: Mnist
    devices: tuple[str, ...]
    calibrated: Calibrated | None

    def one(
        self, arm: ArmSpec, start: Mapping[str, np.ndarray] | None
    ) -> Generator[Message, None, tuple[dict[str, Any], dict[str, np.ndarray]]]:
        """Train and test one arm: (figures, weights)."""
        from hilab.learning.network import initialise

        began_s = self.bench.clock.now()
        network, neurons = self._network(arm, arm.train_on or "software")
        if start is None:
            initialise(network, self.protocol.random("weights"))
        else:
            network.set_weights(start)
        if arm.train_on:
            yield from self._train(arm, network, neurons)
        trained_s = self.bench.clock.now()
        tested, test_neurons = self._network(arm, arm.test_on)
        tested.set_weights(network.weights())
        evaluation, many = yield from self._test(arm, tested, self._epochs(arm))
        return {
            "title": arm.title,
            "accuracy": evaluation.accuracy_one,
            "accuracy_mean": many.accuracy_mean,
            "samples": many.samples,
            "sample_images": many.images,
            "standard_error": evaluation.standard_error,
            "training_frames": getattr(neurons, "frames", 0) if arm.train_on == "devices" else 0,
            "test_frames": getattr(test_neurons, "frames", 0) if arm.test_on == "devices" else 0,
            "calibration_frames": self.calibrated.budget["frames"]
            if self.calibrated and arm.needs_measured
            else 0,
            "training_bench_time_s": trained_s - began_s,
            "test_bench_time_s": self.bench.clock.now() - trained_s,
            "spoiled_readings": sum(getattr(one, "spoiled", 0) for one in (neurons, test_neurons)),
            "clipped": evaluation.clipped_fraction,
        }, network.weights()

    def _epochs(self, arm: ArmSpec) -> int:
        return arm.epochs or self.protocol.params.epochs

    def _network(self, arm: ArmSpec, place: str) -> tuple[Network, Any]:
        """A network of this arm in this place, and the neurons that all its hidden layers share."""
        from hilab.learning.assignment import Assignment
        from hilab.learning.network import Network, hidden_layer

        params = self.protocol.params
        on_devices = place == "devices"
        envelope_a = np.array(
            [
                self.bench.devices[name].limits.current_max_a(
                    params.write_width_s or self.bench.pulse_width_s
                )
                for name in self.devices
            ]
        )
        neurons = self._neurons(arm, place)
        layers = [
            hidden_layer(
                arm,
                size,
                neurons,
                Assignment.round_robin(size, self.devices),
                self.calibrated.calibrations if self.calibrated else None,
                envelope_a,
                on_devices=on_devices,
            )
            for size in params.hidden
        ]
        return Network(self.data.train.images.shape[1], 10, params.hidden, layers), neurons

    def _neurons(self, arm: ArmSpec, place: str) -> Any:
        from hilab.learning.neurons import BenchNeurons, SoftwareNeurons, VariedNeurons

        if place == "devices":
            assert self.calibrated is not None
            return _Remembering(BenchNeurons(self.bench, self.devices, self.calibrated.readout))
        random = self.protocol.random(f"software neurons {arm.name} {place}")
        if arm.varied:
            assert self.calibrated is not None
            spread_a = np.array([_spread_a(self.bench, name) for name in self.devices])
            return VariedNeurons(self.calibrated.calibrations.nominal, spread_a, random)
        return SoftwareNeurons(random)

    def _train(self, arm: ArmSpec, network: Network, neurons: Any) -> Iterator[Message]:
        from hilab.learning.training import Training, TrainingSettings, train

        params = self.protocol.params
        epochs = self._epochs(arm)
        settings = TrainingSettings(epochs, params.batch_size, params.learning_rate, self.protocol.seed)
        training = Training(network, self.data.train, settings)
        total = epochs * training.steps_per_epoch
        for number, step in enumerate(train(training)):
            self.bench.check_stop()
            if isinstance(neurons, _Remembering):
                yield neurons.reading(arm.name, number, self.protocol.packed_bytes())
            yield Reading(
                "training",
                {
                    "arm": np.array([arm.name.encode()], dtype="S32"),
                    "epoch": [step.epoch],
                    "step": [step.step],
                    "images": [step.images],
                    "loss": [step.loss],
                    "accuracy": [step.accuracy],
                    "clipped": [step.clipped_fraction],
                    "time_s": [self.bench.clock.now()],
                },
            )
            if number % 10 == 9 or step.ends_epoch:
                yield Progress(
                    number + 1, total, f"{arm.title}, epoch {step.epoch + 1}, loss {step.loss:.3f}"
                )
            if (number + 1) % params.checkpoint_steps == 0:
                yield Checkpoint({"arm": arm.name, "step": number + 1, "training": training.state()})
            if step.ends_epoch and params.epoch_test_images:
                yield from self._test_epoch(arm, network, step.epoch + 1)
            if isinstance(neurons, _Remembering):
                neurons.forget()

    def _test_epoch(self, arm: ArmSpec, network: Network, epoch: int) -> Iterator[Message]:
        from hilab.learning.training import evaluate_steps

        few = self.data.test.first(self.protocol.params.epoch_test_images)
        evaluation = yield from _relay(evaluate_steps(network, few, 1), self.bench)
        yield _accuracy_row(arm.name, epoch, evaluation, final=False)

    def _test(
        self, arm: ArmSpec, network: Network, epoch: int
    ) -> Generator[Message, None, tuple[Evaluation, Evaluation]]:
        """(accuracy on all test images, the same with all samples, where asked on some of the images)."""
        from hilab.learning.training import evaluate_steps

        params = self.protocol.params
        some = params.sample_images
        samples = 1 if some else params.samples
        evaluation = yield from _relay(evaluate_steps(network, self.data.test, samples), self.bench)
        yield _accuracy_row(arm.name, epoch, evaluation, final=True)
        if not some:
            return evaluation, evaluation
        few = self.data.test.first(some)
        many = yield from _relay(evaluate_steps(network, few, params.samples), self.bench)
        yield _accuracy_row(arm.name, epoch, many, final=True)
        return evaluation, many


class _Remembering:
    """Neurons that remember their outcomes in a mini-batch.

    The run file keeps them, so that a resumed training can replay them without pulsing.
    """

    def __init__(self, neurons: BenchNeurons):
        self.neurons = neurons
        self.last: list[np.ndarray] = []

    def fire(self, device: np.ndarray, current_a: np.ndarray) -> np.ndarray:
        bits = self.neurons.fire(device, current_a)
        self.last.append(bits)
        return bits

    def forget(self) -> None:
        """A new mini-batch begins."""
        self.last.clear()

    def state(self) -> dict[str, Any]:
        return self.neurons.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.neurons.restore(state)

    @property
    def frames(self) -> int:
        return self.neurons.frames

    @property
    def spoiled(self) -> int:
        return self.neurons.spoiled

    def reading(self, arm: str, step: int, length: int) -> Reading:
        """One row of the `bits` stream: the layers' outcomes, one after another."""
        packed = np.zeros(length, dtype=np.uint8)
        bits = np.packbits(np.concatenate(self.last))
        packed[: len(bits)] = bits
        return Reading(
            "bits",
            {"arm": np.array([arm.encode()], dtype="S32"), "step": [step], "packed": packed[None, :]},
        )


def _relay(steps: Generator[Any, None, Evaluation], bench: Bench) -> Generator[Message, None, Evaluation]:
    """Pass an evaluation's progress on, stopping where the run is stopped."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        bench.check_stop()
        yield Progress(step.done, step.total, "testing")


def _accuracy_row(arm: str, epoch: int, evaluation: Evaluation, *, final: bool) -> Reading:
    return Reading(
        "accuracy",
        {
            "arm": np.array([arm.encode()], dtype="S32"),
            "epoch": [epoch],
            "final": [final],
            "samples": [evaluation.samples],
            "images": [evaluation.images],
            "accuracy": [evaluation.accuracy_one],
            "accuracy_mean": [evaluation.accuracy_mean],
        },
    )
