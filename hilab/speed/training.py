"""Training a 784-100-10 network: on the simulated bench, on surrogates, and in plain torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hilab.speed.benches import DEVICES, FRAME, OVERDRIVE, WAVEFORM_READ_S, simulated, standard_batch
from hilab.speed.rows import Row

if TYPE_CHECKING:
    from hilab.bench import Bench
    from hilab.frames import FloatArray
    from hilab.learning.idx import ImageSet
    from hilab.learning.neurons import NeuronBench, Readout
    from hilab.learning.surrogate import Surrogate

HIDDEN, BATCH_SIZE = 100, 100
IMAGES = 60_000
ROUNDS = 3
LEARNING_FRAMES = 40
SET = 0.9  # of the envelope: switches every device
EPOCH_S = 15.0


def training_rows(steps: int, bench_name: str = "sot_waveform") -> Iterator[Row]:
    """Images a second, one torch thread. `steps` mini-batches of 100 are timed, three times in turn."""
    from hilab.learning.idx import load_mnist
    from hilab.learning.neurons import BenchNeurons, SurrogateNeurons
    from hilab.learning.plain import plain_rate
    from hilab.learning.training import one_thread

    data = load_mnist(None, train_images=IMAGES, test_images=1).train
    with one_thread(), simulated(bench_name) as bench:
        curves = nominal_curves(bench)
        rates: dict[str, list[float]] = {"bench": [], "surrogate": [], "plain": []}
        neurons = BenchNeurons(bench, DEVICES, readout(bench))
        for number in range(ROUNDS):
            surrogate = SurrogateNeurons(curves, np.random.default_rng(number))
            rates["plain"].append(plain_rate(data, HIDDEN, BATCH_SIZE, steps))
            rates["surrogate"].append(training_rate(data, surrogate, curves, steps))
            rates["bench"].append(training_rate(data, neurons, curves, steps))
        device = np.arange(BATCH_SIZE * HIDDEN) % len(DEVICES)
        player = bench.plan(neurons.batch(device, curves.i50_a[device])).player
    best = {place: max(found) for place, found in rates.items()}
    how = (
        f"784-100-10, mini-batches of {BATCH_SIZE}, one torch thread, best of {ROUNDS} x {steps} mini-batches"
    )
    yield Row(
        "training on the simulated bench, an epoch of 60,000 images",
        IMAGES / best["bench"],
        "s",
        EPOCH_S,
        f"{how}; {bench_name}, player {player}, {len(DEVICES)} devices; {best['bench']:.4g} images/s",
        IMAGES / best["plain"],
        "plain torch, Bernoulli of a sigmoid",
        at_most=True,
    )
    yield Row(
        "training on the surrogate",
        best["surrogate"],
        "images/s",
        0.5,
        how,
        best["plain"],
        "plain torch, Bernoulli of a sigmoid",
        "ratio",
    )


def training_rate(data: ImageSet, neurons: NeuronBench, curves: Surrogate, steps: int) -> float:
    """Images a second of hilab's training with these neurons."""
    from hilab.learning.assignment import Assignment
    from hilab.learning.layer import DeviceLayer
    from hilab.learning.network import Network, initialise
    from hilab.learning.training import Training, TrainingSettings, train

    layer = DeviceLayer(neurons, Assignment.round_robin(HIDDEN, curves.devices), curves, curves)
    network = Network(data.images.shape[1], 10, (HIDDEN,), (layer,))
    initialise(network, np.random.default_rng(0))
    progress = train(Training(network, data, TrainingSettings(1, BATCH_SIZE)))
    for _ in range(10):
        next(progress)
    start = time.perf_counter()
    for _ in range(steps):
        next(progress)
    return steps * BATCH_SIZE / (time.perf_counter() - start)


def nominal_curves(bench: Bench) -> Surrogate:
    """The design's switching curves of the devices: good enough to see how fast training is."""
    from hilab.learning.surrogate import Surrogate

    cards = [bench.card(name) for name in DEVICES]
    nominal = [card.nominal for card in cards]
    return Surrogate(
        DEVICES,
        np.array([card.width_m for card in cards]),
        np.array([curve.i50_a if curve else np.nan for curve in nominal]),
        np.array([curve.unit_a if curve else np.nan for curve in nominal]),
    )


def readout(bench: Bench) -> Readout:
    """Thresholds of the devices from a few frames that switch and a few that do not."""
    from hilab.learning.neurons import Readout

    times: dict[str, Any] = dict(FRAME)
    times["integration_s"] = WAVEFORM_READ_S if bench.has_role("digitiser") else bench.file.integration_s
    count = LEARNING_FRAMES * len(DEVICES)
    batch = standard_batch(bench, count, np.random.default_rng(0), **times)
    limits = [bench.card(name).limits.current_max_a(batch.write_width_s) for name in DEVICES]
    write_a = SET * np.array(limits)[batch.device]
    write_a[: count // 2] *= 0.05
    readings = bench.play(bench.plan(replace(batch, write_a=write_a)))
    halves = slice(None, count // 2), slice(count // 2, None)
    low_v, high_v = (_each(batch.device, readings.voltage_v, half) for half in halves)
    i50_a = np.array([c.nominal.i50_a if c.nominal else np.nan for c in map(bench.card, DEVICES)])
    read_a = np.array([0.6 * bench.card(name).limits.read_max_a for name in DEVICES])
    return Readout((low_v + high_v) / 2, high_v > low_v, -OVERDRIVE * i50_a, read_a, **times)


def _each(device: Any, voltage_v: FloatArray, part: slice) -> FloatArray:
    """Mean voltage of each device in a part of the frames."""
    return np.array([voltage_v[part][device[part] == number].mean() for number in range(len(DEVICES))])
