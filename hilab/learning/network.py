"""The network: inputs, one or more hidden layers of devices (or of software neurons), ten outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hilab.learning.arms import ArmSpec
from hilab.learning.assignment import Assignment
from hilab.learning.layer import DeviceLayer
from hilab.learning.neurons import NeuronBench
from hilab.learning.surrogate import Calibrations, Surrogate


class SigmoidLayer(nn.Module):
    """Deterministic neurons: the logistic function itself."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)


class BinaryLayer(nn.Module):
    """Deterministic binary neurons: 1 where z > 0; straight-through gradient where |z| < 1."""

    def forward(self, z: Tensor) -> Tensor:
        ramp = (z.clamp(-1, 1) + 1) / 2
        return ramp + ((z > 0).to(z.dtype) - ramp).detach()


class Network(nn.Module):
    """inputs - hidden layers - outputs; each of `neurons` maps z (B, H) to activations.

    hidden: the size of each hidden layer, in order; neurons: as many modules.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], neurons: Sequence[nn.Module]):
        super().__init__()
        if not hidden or len(hidden) != len(neurons):
            raise ValueError(f"{len(hidden)} hidden layers were sized, {len(neurons)} given")
        sizes = [inputs, *hidden, outputs]
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.neurons = nn.ModuleList(neurons)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, outputs) of one sample for images (B, inputs)."""
        return self.sample(self.first_z(images))

    def first_z(self, images: Tensor) -> Tensor:
        """Pre-activations (B, H) of the first hidden layer: the same for every sample."""
        z: Tensor = self.linear[0](images)
        return z

    def sample(self, z: Tensor) -> Tensor:
        """Logits (B, outputs) of one whole pass from the first layer's pre-activations."""
        for neurons, linear in zip(self.neurons, self.linear[1:], strict=True):
            z = linear(neurons(z))
        return z

    @property
    def device_layers(self) -> tuple[DeviceLayer, ...]:
        """The hidden layers that fire neurons, in order."""
        return tuple(layer for layer in self.neurons if isinstance(layer, DeviceLayer))

    @property
    def deterministic(self) -> bool:
        return not self.device_layers

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all weights as arrays."""
        return {name: value.detach().numpy().copy() for name, value in self.named_parameters()}

    def set_weights(self, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.from_numpy(np.array(weights[name], dtype=np.float32)))


def initialise(network: Network, random: np.random.Generator) -> None:
    """Weights and biases uniform in +-1/sqrt(fan in), torch's own default, drawn from the given stream."""
    weights = {}
    for number, layer in enumerate(network.linear):
        assert isinstance(layer, nn.Linear)
        name, bound = f"linear.{number}", layer.in_features**-0.5
        weights[f"{name}.weight"] = random.uniform(-bound, bound, (layer.out_features, layer.in_features))
        weights[f"{name}.bias"] = random.uniform(-bound, bound, layer.out_features)
    network.set_weights(weights)


def hidden_layer(
    arm: ArmSpec,
    hidden: int,
    bench: NeuronBench,
    devices: Assignment | None = None,
    calibrations: Calibrations | None = None,
    envelope_a: np.ndarray[Any, np.dtype[np.float64]] | None = None,
    *,
    on_devices: bool,
) -> nn.Module:
    """The hidden layer of an arm: deterministic, software neurons, or devices with the arm's calibrations.

    Raises ValueError if the arm needs devices and none (or no calibrations) are given.
    """
    if arm.hidden == "sigmoid":
        return SigmoidLayer()
    if arm.hidden == "binary":
        return BinaryLayer()
    if not on_devices and not arm.varied:
        ideal = Surrogate.ideal(1)
        return DeviceLayer(bench, Assignment.round_robin(hidden, ideal.devices), ideal, ideal)
    if devices is None or calibrations is None:
        raise ValueError(f"arm {arm.name} runs on devices: give it their assignment and calibrations")
    backward = None if arm.backward == "straight-through" else calibrations.get(_curve(arm.backward))
    return DeviceLayer(bench, devices, calibrations.get(arm.forward), backward, envelope_a=envelope_a)


def _curve(name: str) -> str:
    """An arm trained in software names no device curve; on devices its backward pass is not used."""
    return "nominal" if name == "ideal" else name
