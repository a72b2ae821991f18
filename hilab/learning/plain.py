"""The same network in plain torch, as anybody would write it: the peer of the speed measurements."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hilab.learning.idx import ImageSet


class _Bernoulli(torch.autograd.Function):
    """Bits drawn with the sigmoid of z, its derivative backwards."""

    @staticmethod
    def forward(context: Any, z: Tensor) -> Tensor:
        probability = torch.sigmoid(z)
        context.save_for_backward(probability)
        bits: Tensor = torch.bernoulli(probability)
        return bits

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (probability,) = context.saved_tensors
        gradient: Tensor = gradients[0] * probability * (1 - probability)
        return gradient


class StochasticSigmoid(nn.Module):
    """Hidden neurons that fire with the sigmoid's probability."""

    def forward(self, z: Tensor) -> Tensor:
        bits: Tensor = _Bernoulli.apply(z)  # type: ignore[no-untyped-call,unused-ignore]
        return bits


def plain_rate(data: ImageSet, hidden: int, batch_size: int, steps: int) -> float:
    """Images a second of so many mini-batches of Adam and cross entropy, after a few to warm up."""
    network = nn.Sequential(
        nn.Linear(data.images.shape[1], hidden), StochasticSigmoid(), nn.Linear(hidden, 10)
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    order = torch.randperm(len(labels))

    def step(number: int) -> None:
        first = number * batch_size % (len(labels) - batch_size + 1)
        mine = order[first : first + batch_size]
        loss = cross_entropy(network(images[mine]), labels[mine])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    for number in range(10):
        step(number)
    start = time.perf_counter()
    for number in range(steps):
        step(number)
    return steps * batch_size / (time.perf_counter() - start)
