"""The training study on surrogate neurons, and the paired statistics of any study. Knows no bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from hilab.analysis.fits import SwitchingFits, fit_arrhenius
from hilab.frames import FloatArray
from hilab.learning.arms import ArmSpec, in_order
from hilab.learning.assignment import Assignment
from hilab.learning.idx import Mnist
from hilab.learning.network import Network, hidden_layer, initialise
from hilab.learning.neurons import NeuronBench, SoftwareNeurons, SurrogateNeurons, VariedNeurons
from hilab.learning.surrogate import Calibrations, Surrogate
from hilab.learning.training import Evaluation, Training, TrainingSettings, evaluate, train

FloatWeights = np.ndarray[Any, Any]


def named_stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of this name: the same for the same seed, independent of the others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=list(name.encode())))


@dataclass(frozen=True)
class ChipLaw:
    """How devices are drawn (device-model section 1; chosen physics, no published numbers)."""

    ic0_at_16um_a: float = 8e-3
    narrowing_m: float = 1e-6  # Ic0 is proportional to w Hn(w), Hn(w) to 1/(1 + narrowing/w)
    delta: float = 60.0
    ic0_floor: float = 0.015
    edge_m: float = 80e-9
    delta_spread: float = 0.05
    pulse_s: float = 100e-6

    def draw(self, width_m: Sequence[float], random: np.random.Generator) -> Surrogate:
        """True curves of one device for each width."""
        width = np.asarray(width_m, dtype=np.float64)
        spread = np.hypot(self.ic0_floor, self.edge_m / width)
        ic0 = self.ic0_a(width) * (1 + spread * random.standard_normal(len(width)))
        delta = self.delta * (1 + self.delta_spread * random.standard_normal(len(width)))
        return Surrogate.from_arrhenius(self.names(width), width, ic0, delta, pulse_s=self.pulse_s)

    def nominal(self, width_m: Sequence[float]) -> Surrogate:
        """The design values of the same devices, known without measuring them."""
        width = np.asarray(width_m, dtype=np.float64)
        ic0, delta = self.ic0_a(width), np.full(len(width), self.delta)
        return Surrogate.from_arrhenius(self.names(width), width, ic0, delta, pulse_s=self.pulse_s)

    def ic0_a(self, width_m: FloatArray) -> FloatArray:
        """Design critical current for each width."""
        shrink = (1 + self.narrowing_m / 16e-6) / (1 + self.narrowing_m / width_m)
        return np.asarray(self.ic0_at_16um_a * width_m / 16e-6 * shrink)

    def spread_a(self, width_m: Sequence[float]) -> FloatArray:
        """Standard deviation (A) of I50 from device to device, of critical current and barrier together."""
        width = np.asarray(width_m, dtype=np.float64)
        ic0, nominal = self.ic0_a(width), self.nominal(width_m)
        critical = nominal.i50_a * np.hypot(self.ic0_floor, self.edge_m / width)
        return np.asarray(np.hypot(critical, (ic0 - nominal.i50_a) * self.delta_spread))

    @staticmethod
    def names(width_m: FloatArray) -> tuple[str, ...]:
        """w2_d1, w2_d2 ... as the bench files name them."""
        seen: dict[str, int] = {}
        names = []
        for width in width_m:
            kind = f"w{width * 1e6:.12g}"
            seen[kind] = seen.get(kind, 0) + 1
            names.append(f"{kind}_d{seen[kind]}")
        return tuple(names)


def calibrate(
    true: Surrogate,
    random: np.random.Generator,
    *,
    amplitudes: int = 21,
    samples: int = 100,
    span: float = 5.0,
) -> tuple[Surrogate, SwitchingFits]:
    """Measure curves by draws (no instruments): amplitudes over +-span units around a rough I50, then fit."""
    rough = true.i50_a + 0.5 * true.unit_a * random.standard_normal(len(true.devices))
    write = rough[:, None] + np.linspace(-span, span, amplitudes) * true.unit_a[:, None]
    device = np.repeat(np.arange(len(true.devices)), amplitudes)
    p = true.probability(device, write.ravel()).reshape(write.shape)
    fits = fit_arrhenius(write, random.binomial(samples, p), np.full(write.shape, samples), width_s=100e-6)
    return Surrogate.from_fits(fits, true.devices, true.width_m), fits


@dataclass(frozen=True)
class ArmResult:
    """One arm with one seed: evaluation on the test images, and the device frames it took."""

    arm: str
    seed: int
    evaluation: Evaluation
    training_frames: int
    calibration_frames: int
    test_frames: int


@dataclass(frozen=True)
class StudySettings:
    """Shape and size of a study; every arm of one seed shares initial weights and image order."""

    arms: tuple[str, ...]
    width_m: tuple[float, ...] = (2e-6,) * 4
    hidden: int = 100
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 2e-3
    samples: int = 1
    law: ChipLaw = ChipLaw()


def run_seed(
    settings: StudySettings,
    data: Mnist,
    seed: int,
    on_arm: Callable[[ArmResult], None] | None = None,
) -> dict[str, ArmResult]:
    """All arms for one seed and one draw of devices, on surrogate neurons with the true law."""
    random = named_stream(seed, "chip")
    true = settings.law.draw(settings.width_m, random)
    measured, _ = calibrate(true, named_stream(seed, "calibration"))
    calibrations = Calibrations(settings.law.nominal(settings.width_m), measured, true)
    results: dict[str, ArmResult] = {}
    weights: dict[str, dict[str, FloatWeights]] = {}
    for arm in in_order(settings.arms):
        result, weights[arm.name] = _run_arm(
            arm, settings, data, seed, calibrations, weights.get(arm.starts_from)
        )
        results[arm.name] = result
        if on_arm is not None:
            on_arm(result)
    return results


def _run_arm(
    arm: ArmSpec,
    settings: StudySettings,
    data: Mnist,
    seed: int,
    calibrations: Calibrations,
    start: Mapping[str, FloatWeights] | None,
) -> tuple[ArmResult, dict[str, FloatWeights]]:
    devices = Assignment.round_robin(settings.hidden, calibrations.measured.devices)

    def network(place: str, stream: str) -> tuple[Network, NeuronBench]:
        random = named_stream(seed, f"{arm.name}:{stream}")
        assert calibrations.true is not None
        on_devices = place == "devices"
        bench: NeuronBench
        bench = SurrogateNeurons(calibrations.true, random) if on_devices else SoftwareNeurons(random)
        if arm.varied and not on_devices:
            bench = VariedNeurons(calibrations.nominal, settings.law.spread_a(settings.width_m), random)
        layer = hidden_layer(arm, settings.hidden, bench, devices, calibrations, on_devices=on_devices)
        return Network(data.train.images.shape[1], 10, (settings.hidden,), (layer,)), bench

    trained, bench = network(arm.train_on or "software", "training")
    if start is None:
        initialise(trained, named_stream(seed, "weights"))
    else:
        trained.set_weights(start)
    if arm.train_on:
        how = TrainingSettings(
            arm.epochs or settings.epochs, settings.batch_size, settings.learning_rate, seed
        )
        for _ in train(Training(trained, data.train, how)):
            pass
    tested, test_bench = network(arm.test_on, "test")
    tested.set_weights(trained.weights())
    evaluation = evaluate(tested, data.test, settings.samples)
    return (
        ArmResult(
            arm.name,
            seed,
            evaluation,
            getattr(bench, "frames", 0) if arm.train_on == "devices" else 0,
            21 * 100 * len(settings.width_m) if arm.needs_measured else 0,
            getattr(test_bench, "frames", 0) if arm.test_on == "devices" else 0,
        ),
        trained.weights(),
    )


@dataclass(frozen=True)
class PairedLoss:
    """Loss against software in points, paired over seeds: mean, spread, one-sided 95 % upper and lower
    bounds.

    With one seed there is no bound (nan): one seed gives no verdict.
    """

    mean: float
    sigma: float
    standard_error: float
    upper: float
    lower: float
    seeds: int
    draws: tuple[float, ...]


def paired_loss(reference: ArrayLike, arm: ArrayLike) -> PairedLoss:
    """reference and arm: accuracies (seeds,), share of 1, the same seeds in the same order, none dropped."""
    loss = 100 * (np.asarray(reference, dtype=np.float64) - np.asarray(arm, dtype=np.float64))
    if loss.ndim != 1 or not loss.size or not np.isfinite(loss).all():
        raise ValueError("paired losses need one finite accuracy for each seed in both rows")
    count = loss.size
    if count == 1:
        nan = float("nan")
        return PairedLoss(float(loss[0]), nan, nan, nan, nan, 1, tuple(loss.tolist()))
    sigma = float(loss.std(ddof=1))
    error = sigma / float(np.sqrt(count))
    reach = float(student.ppf(0.95, count - 1)) * error
    mean = float(loss.mean())
    return PairedLoss(mean, sigma, error, mean + reach, mean - reach, count, tuple(loss.tolist()))
