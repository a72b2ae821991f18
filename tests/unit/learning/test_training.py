"""Training, evaluation, resume, and the study on surrogate neurons."""

from typing import Any

import numpy as np
import pytest
import torch

from hilab.learning.arms import ARMS
from hilab.learning.assignment import Assignment
from hilab.learning.idx import ImageSet, Mnist, load_mnist
from hilab.learning.network import Network, hidden_layer, initialise
from hilab.learning.neurons import SoftwareNeurons, SurrogateNeurons
from hilab.learning.study import ChipLaw, StudySettings, named_stream, paired_loss, run_seed
from hilab.learning.surrogate import Calibrations
from hilab.learning.training import (
    Training,
    TrainingSettings,
    TrainStep,
    epoch_order,
    evaluate,
    evaluate_steps,
    train,
)

WIDTHS = [2e-6, 2e-6]
TRUE = ChipLaw().draw(WIDTHS, named_stream(1, "chip"))
QUICK = TrainingSettings(epochs=4, batch_size=20, learning_rate=5e-3)
CALIBRATIONS = Calibrations(ChipLaw().nominal(WIDTHS), TRUE)


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return load_mnist(train_images=1500, test_images=1000)


def devices_in_loop(hidden: int = 30, seed: int = 0) -> Network:
    bench = SurrogateNeurons(TRUE, named_stream(seed, "neurons"))
    laid = Assignment.round_robin(hidden, TRUE.devices)
    layer = hidden_layer(ARMS["hil_calibrated_backward"], hidden, bench, laid, CALIBRATIONS, on_devices=True)
    network = Network(784, 10, (hidden,), (layer,))
    initialise(network, named_stream(seed, "weights"))
    return network


def run(training: Training, steps: int | None = None) -> list[TrainStep]:
    records = []
    for record in train(training):
        records.append(record)
        if steps is not None and len(records) == steps:
            break
    return records


def test_records_count_steps_epochs_and_images(mnist: Mnist) -> None:
    training = Training(devices_in_loop(), mnist.train.first(250), TrainingSettings(epochs=2, batch_size=100))
    records = run(training)
    assert [(r.epoch, r.step, r.images) for r in records] == [
        (0, 1, 100),
        (0, 2, 200),
        (0, 3, 250),
        (1, 1, 350),
        (1, 2, 450),
        (1, 3, 500),
    ]
    assert [r.ends_epoch for r in records] == [False, False, True] * 2
    assert training.done
    assert training.network.device_layers[0].fired == 500 * 30


def test_resume_is_exact(mnist: Mnist) -> None:
    settings = TrainingSettings(epochs=2, batch_size=100, order_seed=5)
    data = mnist.train.first(450)
    whole = Training(devices_in_loop(), data, settings)
    expected = run(whole)
    broken = Training(devices_in_loop(), data, settings)
    run(broken, steps=6)
    resumed = Training(devices_in_loop(seed=9), data, settings)
    resumed.restore(broken.state())
    assert run(resumed) == expected[6:]
    for name, values in whole.network.weights().items():
        np.testing.assert_array_equal(resumed.network.weights()[name], values)


def test_state_is_plain(mnist: Mnist) -> None:
    training = Training(devices_in_loop(), mnist.train.first(200), TrainingSettings(epochs=1))
    run(training)

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(inner) for key, inner in value.items())
        if isinstance(value, list):
            return all(plain(inner) for inner in value)
        return isinstance(value, (int, float, str, np.ndarray))

    assert plain(training.state())


def test_state_of_another_training_is_refused(mnist: Mnist) -> None:
    training = Training(devices_in_loop(), mnist.train.first(200), TrainingSettings(order_seed=1))
    state = training.state()
    other = Training(devices_in_loop(), mnist.train.first(200), TrainingSettings(order_seed=2))
    with pytest.raises(ValueError, match="another order"):
        other.restore(state)
    state["layer 0"]["assignment"]["devices"] = ["x", "y"]
    with pytest.raises(ValueError, match="other devices"):
        training.restore(state)


def test_one_thread_while_training_and_the_number_restored(mnist: Mnist) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        steps = train(Training(devices_in_loop(), mnist.train.first(200), TrainingSettings(epochs=1)))
        next(steps)
        assert torch.get_num_threads() == 1
        steps.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_order_is_a_permutation_of_seed_and_epoch() -> None:
    first, again, later, other = (epoch_order(*key, 50) for key in ((1, 0), (1, 0), (1, 1), (2, 0)))
    assert sorted(first) == list(range(50))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)


def test_initial_weights_are_torch_s_default_and_follow_the_stream() -> None:
    one, two, three = devices_in_loop(seed=1), devices_in_loop(seed=1), devices_in_loop(seed=2)
    weight = one.weights()["linear.0.weight"]
    assert np.abs(weight).max() < 1 / 28
    assert weight.std() == pytest.approx(1 / 28 / np.sqrt(3), rel=0.03)
    np.testing.assert_array_equal(weight, two.weights()["linear.0.weight"])
    assert not np.array_equal(weight, three.weights()["linear.0.weight"])


def test_evaluation_takes_new_samples_and_averages_outputs(mnist: Mnist) -> None:
    network = devices_in_loop()
    run(Training(network, mnist.train, QUICK))
    (layer,) = network.device_layers
    before = layer.fired
    steps = list(evaluate_steps(network, mnist.test, samples=8, batch_size=300))
    assert steps[-1].done == steps[-1].total == 8000
    assert layer.fired - before == 8 * 1000 * 30
    result = evaluate(network, mnist.test, samples=8)
    assert 0.6 < result.accuracy_one < result.accuracy_mean < 1
    assert result.samples == 8
    with pytest.raises(ValueError, match="images and samples"):
        evaluate(network, mnist.test, samples=0)


@pytest.mark.parametrize("arm", ["deterministic_sigmoid", "deterministic_binary"])
def test_deterministic_networks_learn_and_take_one_sample(arm: str, mnist: Mnist) -> None:
    layer = hidden_layer(ARMS[arm], 30, SoftwareNeurons(np.random.default_rng(0)), on_devices=False)
    network = Network(784, 10, (30,), (layer,))
    initialise(network, named_stream(0, "weights"))
    run(Training(network, mnist.train, QUICK))
    result = evaluate(network, mnist.test, samples=20)
    assert result.samples == 1
    assert result.accuracy_one == result.accuracy_mean > 0.75


def test_an_arm_on_devices_needs_devices() -> None:
    with pytest.raises(ValueError, match="runs on devices"):
        hidden_layer(ARMS["hil_nominal"], 30, SoftwareNeurons(np.random.default_rng(0)), on_devices=True)


def test_study_pairs_its_arms_and_calibration_pays(mnist: Mnist) -> None:
    """Four devices with a spread of 12 %: uncalibrated transfer loses much, calibrated little."""
    settings = StudySettings(
        ("transfer_uncalibrated", "transfer_calibrated"),
        hidden=40,
        epochs=4,
        batch_size=20,
        learning_rate=5e-3,
        law=ChipLaw(ic0_floor=0.12),
    )
    shown: list[str] = []
    results = run_seed(settings, mnist, 3, on_arm=lambda result: shown.append(result.arm))
    assert shown == ["software", "transfer_uncalibrated", "transfer_calibrated"]
    accuracy = {name: result.evaluation.accuracy_one for name, result in results.items()}
    assert accuracy["software"] > 0.75
    assert accuracy["software"] - accuracy["transfer_calibrated"] < 0.05  # 3 standard errors of 1,000 images
    assert accuracy["software"] - accuracy["transfer_uncalibrated"] > 0.1
    assert results["software"].test_frames == 0
    assert results["transfer_calibrated"].test_frames == 1000 * 40
    assert results["transfer_calibrated"].calibration_frames == 4 * 2100
    assert results["transfer_uncalibrated"].calibration_frames == 0


def test_paired_bounds() -> None:
    loss = paired_loss([0.92, 0.91, 0.915, 0.925], [0.91, 0.905, 0.9, 0.92])
    assert loss.mean == pytest.approx(0.875)
    # t(0.95, 3) = 2.3534
    assert loss.upper == pytest.approx(0.875 + 2.3534 * loss.sigma / 2, rel=1e-4)
    assert loss.lower < loss.mean
    assert np.isnan(paired_loss([0.9], [0.8]).upper)
    with pytest.raises(ValueError, match="each seed"):
        paired_loss([0.9, np.nan], [0.8, 0.8])


def test_training_without_images_is_refused() -> None:
    empty = ImageSet(np.zeros((0, 784), dtype=np.float32), np.zeros(0, dtype=np.int64))
    with pytest.raises(ValueError, match="no images"):
        Training(devices_in_loop(), empty, TrainingSettings())
    with pytest.raises(ValueError, match="batch_size"):
        TrainingSettings(batch_size=0)
