"""Training and evaluation as generators of small records, so that a protocol can relay progress and stop."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from hilab.frames import IntArray
from hilab.learning.idx import ImageSet
from hilab.learning.network import Network
from hilab.learning.neurons import Resumable


@dataclass(frozen=True)
class TrainingSettings:
    """Adam with cross entropy; `order_seed` fixes the order of the images in every epoch."""

    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 2e-3
    order_seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(
                f"training needs epochs >= 0, batch_size >= 1 and learning_rate > 0, "
                f"got {self.epochs}, {self.batch_size}, {self.learning_rate}"
            )


@dataclass(frozen=True)
class TrainStep:
    """One mini-batch. epoch from 0, step of steps in it, images seen in all, loss and share of right answers
    of this batch (one sample), share of neurons clipped so far."""

    epoch: int
    step: int
    steps: int
    images: int
    loss: float
    accuracy: float
    clipped_fraction: float

    @property
    def ends_epoch(self) -> bool:
        return self.step == self.steps


@dataclass(frozen=True)
class Evaluation:
    """Accuracy (share of 1) on a set: at one sample (mean over the samples taken) and with the outputs of
    all samples averaged; standard_error: binomial, of accuracy_one."""

    accuracy_one: float
    accuracy_mean: float
    samples: int
    images: int
    clipped_fraction: float

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self.accuracy_one * (1 - self.accuracy_one) / max(self.images, 1)))


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: two on a busy machine are up to a hundred times slower on small batches."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def epoch_order(seed: int, epoch: int, count: int) -> IntArray:
    """Order of the images in an epoch: a function of seed and epoch alone, so a position resumes it."""
    key = [*b"order", epoch]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)).permutation(count)


class Training:
    """A training in progress: network, optimiser, position. `state()` between two steps resumes it."""

    def __init__(self, network: Network, data: ImageSet, settings: TrainingSettings):
        if len(data) < 1:
            raise ValueError("there are no images to train on")
        self.network = network
        self.settings = settings
        self.images = torch.from_numpy(data.images)
        self.labels = torch.from_numpy(data.labels)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        self.epoch = 0
        self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.labels) // self.settings.batch_size)

    @property
    def done(self) -> bool:
        return self.epoch >= self.settings.epochs

    def state(self) -> dict[str, Any]:
        """Plain values: weights, optimiser, position, and what the hidden layer and its bench hold."""
        state: dict[str, Any] = {
            "weights": self.network.weights(),
            "optimiser": self._optimiser_state(),
            "epoch": self.epoch,
            "step": self.step,
            "order_seed": self.settings.order_seed,
        }
        for number, layer in enumerate(self.network.device_layers):
            backward = layer.backward_curves
            state[f"layer {number}"] = {
                "assignment": layer.assignment.state(),
                "forward": layer.forward_curves.state(),
                "backward": backward.state() if backward is not None else {},
                "fired": layer.fired,
                "clipped": layer.clipped,
            }
            if isinstance(layer.bench, Resumable):
                state[f"bench {number}"] = layer.bench.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of an equal training. Raises ValueError if it belongs to another one."""
        if int(state["order_seed"]) != self.settings.order_seed:
            raise ValueError("the checkpoint belongs to a training with another order of the images")
        self.network.set_weights(state["weights"])
        self._restore_optimiser(state["optimiser"])
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        for number, layer in enumerate(self.network.device_layers):
            held = state.get(f"layer {number}")
            if held is None or tuple(held["assignment"]["devices"]) != layer.assignment.devices:
                raise ValueError("the checkpoint belongs to a training on other devices")
            layer.fired, layer.clipped = int(held["fired"]), int(held["clipped"])
            if isinstance(layer.bench, Resumable) and f"bench {number}" in state:
                layer.bench.restore(state[f"bench {number}"])

    def _optimiser_state(self) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for name, parameter in self.network.named_parameters():
            held = self.optimiser.state.get(parameter)
            if held:
                entries[name] = {key: np.array(value.detach().numpy()) for key, value in held.items()}
        return entries

    def _restore_optimiser(self, entries: Mapping[str, Any]) -> None:
        for name, parameter in self.network.named_parameters():
            if name in entries:
                self.optimiser.state[parameter] = {
                    key: torch.from_numpy(np.array(value)) for key, value in entries[name].items()
                }


def train(training: Training) -> Generator[TrainStep, None, None]:
    """Train to the end of the settings' epochs, one record for each mini-batch. Stop by closing the
    generator.

    Sets one torch thread while it runs and restores the number when it ends.
    """
    with one_thread():
        settings = training.settings
        while not training.done:
            order = epoch_order(settings.order_seed, training.epoch, len(training.labels))
            while training.step < training.steps_per_epoch:
                first = training.step * settings.batch_size
                index = torch.from_numpy(order[first : first + settings.batch_size])
                loss, right = _mini_batch(training, index)
                training.step += 1
                step = training.step
                if step == training.steps_per_epoch:
                    training.epoch, training.step = training.epoch + 1, 0
                yield _record(training, settings, step, loss, right / len(index))
                if training.step == 0:
                    break


def _mini_batch(training: Training, index: torch.Tensor) -> tuple[float, int]:
    labels = training.labels[index]
    training.optimiser.zero_grad(set_to_none=True)
    logits = training.network(training.images[index])
    loss = cross_entropy(logits, labels)
    loss.backward()
    training.optimiser.step()
    return float(loss.detach()), int((logits.detach().argmax(dim=1) == labels).sum())


def _record(
    training: Training, settings: TrainingSettings, step: int, loss: float, accuracy: float
) -> TrainStep:
    steps, count = training.steps_per_epoch, len(training.labels)
    epoch = training.epoch - 1 if step == steps else training.epoch
    clipped, fired = _clipped_and_fired(training.network)
    seen = epoch * count + min(step * settings.batch_size, count)
    return TrainStep(epoch, step, steps, seen, loss, accuracy, clipped / max(fired, 1))


def _clipped_and_fired(network: Network) -> tuple[int, int]:
    """Neurons clipped and fired so far, in all layers."""
    layers = network.device_layers
    return sum(layer.clipped for layer in layers), sum(layer.fired for layer in layers)


@dataclass(frozen=True)
class EvaluationStep:
    """done of total image samples evaluated."""

    done: int
    total: int


def evaluate_steps(
    network: Network, data: ImageSet, samples: int = 1, batch_size: int = 500
) -> Generator[EvaluationStep, None, Evaluation]:
    """Evaluate on all images; yields after each batch and sample, returns the Evaluation.

    `samples` whole passes are taken for each image, each with new outcomes of every hidden neuron (one for a
    deterministic network).
    """
    if samples < 1 or len(data) < 1:
        raise ValueError(f"an evaluation needs images and samples, got {len(data)} and {samples}")
    taken = 1 if network.deterministic else samples
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    before = _clipped_and_fired(network)
    right_one = right_mean = done = 0
    with one_thread():
        for first in range(0, len(labels), batch_size):
            answer = labels[first : first + batch_size]
            total = torch.zeros(())
            with torch.no_grad():
                z = network.first_z(images[first : first + batch_size])
            for _ in range(taken):
                with torch.no_grad():
                    logits = network.sample(z)
                right_one += int((logits.argmax(dim=1) == answer).sum())
                total = total + logits
                done += len(answer)
                yield EvaluationStep(done, taken * len(labels))
            right_mean += int((total.argmax(dim=1) == answer).sum())
    clipped, fired = (now - then for now, then in zip(_clipped_and_fired(network), before, strict=True))
    count = len(labels)
    return Evaluation(right_one / (count * taken), right_mean / count, taken, count, clipped / max(fired, 1))


def evaluate(network: Network, data: ImageSet, samples: int = 1, batch_size: int = 500) -> Evaluation:
    """`evaluate_steps` to its end."""
    steps = evaluate_steps(network, data, samples, batch_size)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Evaluation = end.value
            return result
