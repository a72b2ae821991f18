"""Neuron benches: probabilities of the simulated ones, and one frame batch for each call on a bench."""

import numpy as np
import pytest
from scipy.special import expit

from hilab.errors import BenchError
from hilab.frames import Flag, FrameBatch, FramePlan, FrameReadings
from hilab.learning.neurons import (
    BenchNeurons,
    NeuronBench,
    Readout,
    Resumable,
    SoftwareNeurons,
    SurrogateNeurons,
    VariedNeurons,
)
from hilab.learning.study import ChipLaw, named_stream
from hilab.learning.surrogate import Surrogate


def share(neurons: NeuronBench, device: int, current_a: float, count: int = 20_000) -> float:
    return float(neurons.fire(np.full(count, device), np.full(count, current_a)).mean())


def test_software_neurons_are_logistic() -> None:
    neurons = SoftwareNeurons(np.random.default_rng(1))
    for z in (-8.0, -1.0, 0.0, 2.0):
        p = expit(z)
        assert abs(share(neurons, 0, z) - p) < 4.5 * np.sqrt(p * (1 - p) / 20_000)  # false alarm 3e-5 in all
    assert neurons.frames == 80_000


def test_surrogate_neurons_follow_each_device_s_curve() -> None:
    curves = ChipLaw().draw([2e-6, 16e-6], named_stream(2, "chip"))
    neurons = SurrogateNeurons(curves, np.random.default_rng(2))
    for device in (0, 1):
        for units in (-3.0, 0.0, 1.0):
            current = float(curves.i50_a[device] + units * curves.unit_a[device])
            p = float(curves.probability(np.array([device]), np.array([current]))[0])
            assert abs(share(neurons, device, current) - p) < 4.5 * np.sqrt(p * (1 - p) / 20_000)


def test_random_state_resumes() -> None:
    first = SoftwareNeurons(np.random.default_rng(3))
    share(first, 0, 0.0, 100)
    second = SoftwareNeurons(np.random.default_rng(99))
    second.restore(first.state())
    z = np.zeros(500)
    np.testing.assert_array_equal(first.fire(z.astype(int), z), second.fire(z.astype(int), z))
    assert isinstance(first, Resumable)


class TwoDevices:
    """A bench of two devices that switch above 1 mA and 2 mA; the second one's Hall signal falls when it
    switches.

    It keeps what it was asked, as a bench's plan and play do.
    """

    def __init__(self) -> None:
        self.played: list[FrameBatch] = []
        self.spoil = np.array([], dtype=int)

    def plan(self, batch: FrameBatch) -> FramePlan:
        order = np.arange(len(batch))
        return FramePlan("two", batch, batch, order, (), 1e-3, 1e-3 * len(batch), 0, batch.pulses(), {})

    def play(self, plan: FramePlan) -> FrameReadings:
        batch = plan.batch
        self.played.append(batch)
        switched = batch.write_a > np.array([1e-3, 2e-3])[batch.device]
        voltage = np.where(batch.device == 0, 1.0, -1.0) * np.where(switched, 1e-4, -1e-4) + 5e-3
        flags = np.zeros(len(batch), dtype=np.uint16)
        flags[self.spoil] = int(Flag.OVERLOAD)
        flags[0] |= np.uint16(int(Flag.RESET_FAILED))
        voltage[self.spoil] = np.nan
        return FrameReadings(voltage, batch.read_a, voltage, flags, voltage)


READOUT = Readout(
    threshold_v=np.array([5e-3, 5e-3]),
    switched_high=np.array([True, False]),
    reset_a=np.array([-1.3e-3, -2.6e-3]),
    read_a=np.array([1e-4, 2e-4]),
    integration_s=3e-3,
)


def test_bench_neurons_play_one_batch_for_each_call() -> None:
    bench = TwoDevices()
    neurons = BenchNeurons(bench, ("a", "b"), READOUT)
    device = np.array([0, 1, 0, 1])
    current = np.array([1.1e-3, 1.9e-3, 0.9e-3, 2.1e-3])
    assert neurons.fire(device, current).tolist() == [1, 0, 0, 1]
    assert len(bench.played) == 1
    batch = bench.played[0]
    assert batch.devices == ("a", "b")
    assert batch.reset_a.tolist() == [-1.3e-3, -2.6e-3, -1.3e-3, -2.6e-3]
    assert batch.read_a.tolist() == [1e-4, 2e-4, 1e-4, 2e-4]
    assert batch.integration_s == 3e-3
    neurons.fire(device, current)
    assert (neurons.frames, len(bench.played), neurons.failed_resets) == (8, 2, 2)
    assert neurons.pulses == {"a": (4, 4), "b": (4, 4)}
    assert neurons.bench_time_s == pytest.approx(8e-3)


def test_few_spoiled_readings_are_counted_and_many_stop_the_run() -> None:
    bench = TwoDevices()
    neurons = BenchNeurons(bench, ("a", "b"), READOUT)
    bench.spoil = np.array([1, 2])
    bits = neurons.fire(np.zeros(50, dtype=int), np.full(50, 5e-3))
    assert bits[[1, 2]].tolist() == [0, 0]
    assert bits.sum() == 48
    assert neurons.spoiled == 2
    bench.spoil = np.arange(10)
    with pytest.raises(BenchError, match="10 of 50 readings"):
        neurons.fire(np.zeros(50, dtype=int), np.full(50, 5e-3))
    assert len(bench.played) == 2


def test_counts_survive_a_checkpoint_and_readouts_must_fit() -> None:
    neurons = BenchNeurons(TwoDevices(), ("a", "b"), READOUT)
    neurons.fire(np.array([0]), np.array([2e-3]))
    again = BenchNeurons(TwoDevices(), ("a", "b"), READOUT)
    again.restore(neurons.state())
    assert (again.frames, again.pulses) == (neurons.frames, neurons.pulses)
    with pytest.raises(ValueError, match="readout is for 2"):
        BenchNeurons(TwoDevices(), ("a",), READOUT)


def test_varied_neurons_deviate_as_the_spread_says() -> None:
    """Spread of P at the design's I50 over many calls; 5 sigma of 2,000 calls is 8 %."""
    i50_a, unit_a = np.array([1e-3, 2e-3]), np.array([1e-5, 1e-5])
    curves = Surrogate(("a", "b"), np.full(2, 2e-6), i50_a, unit_a, "logistic")
    neurons = VariedNeurons(curves, np.array([2e-5, 0.0]), np.random.default_rng(5))
    device = np.repeat([0, 1], 400)
    at_i50 = i50_a[device]
    share = np.array([neurons.fire(device, at_i50).reshape(2, 400).mean(axis=1) for _ in range(2000)])
    z = 2.0 * np.random.default_rng(6).standard_normal(200_000)
    expected = (1 / (1 + np.exp(z))).std()
    assert share[:, 0].std() == pytest.approx(np.hypot(expected, 0.5 / 20), rel=0.08)
    assert share[:, 1].std() == pytest.approx(0.5 / 20, rel=0.08)
    assert neurons.frames == 2000 * 800
    again = VariedNeurons(curves, np.array([2e-5, 0.0]), np.random.default_rng(0))
    again.restore(neurons.state())
    np.testing.assert_array_equal(again.fire(device, at_i50), neurons.fire(device, at_i50))
    with pytest.raises(ValueError, match="one spread"):
        VariedNeurons(curves, np.array([1e-5]), np.random.default_rng(0))
