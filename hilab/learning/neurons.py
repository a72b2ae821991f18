"""Where the bits come from: software, surrogates, or the devices of a bench, behind one small seam."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hilab.errors import BenchError
from hilab.frames import Flag, FloatArray, FrameBatch, FramePlan, FrameReadings, IntArray
from hilab.learning.surrogate import Surrogate

Bits = NDArray[np.uint8]


@runtime_checkable
class NeuronBench(Protocol):
    """Fires neurons: one reset-write-read frame for each."""

    def fire(self, device: IntArray, current_a: FloatArray) -> Bits:
        """Outcomes (M,) of write pulses current_a (M,) on device (M,), in the order given."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A neuron bench whose own state belongs into a training checkpoint."""

    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


def random_state(random: np.random.Generator) -> str:
    """A generator's state as text (its integers exceed 64 bits)."""
    return json.dumps(random.bit_generator.state)


def set_random_state(random: np.random.Generator, text: str) -> None:
    random.bit_generator.state = json.loads(text)


class SoftwareNeurons:
    """Ideal neurons: the current is z, P the logistic function. frames counts the draws."""

    def __init__(self, random: np.random.Generator):
        self.random = random
        self.frames = 0

    def fire(self, device: IntArray, current_a: FloatArray) -> Bits:
        z = current_a.astype(np.float32)
        draws = self.random.random(len(z), dtype=np.float32)
        self.frames += len(z)
        switched: Bits = (draws * (1 + np.exp(-z)) < 1).astype(np.uint8)  # u < 1/(1 + exp(-z))
        return switched

    def state(self) -> dict[str, Any]:
        return {"random": random_state(self.random), "frames": self.frames}

    def restore(self, state: Mapping[str, Any]) -> None:
        set_random_state(self.random, state["random"])
        self.frames = int(state["frames"])


class SurrogateNeurons:
    """Independent draws from switching curves (fitted, or a simulation's true ones); no instruments."""

    def __init__(self, curves: Surrogate, random: np.random.Generator):
        self.curves = curves
        self.random = random
        self.frames = 0

    def fire(self, device: IntArray, current_a: FloatArray) -> Bits:
        draws = self.random.random(len(current_a))
        self.frames += len(current_a)
        return (draws < self.curves.probability(device, current_a)).astype(np.uint8)

    def state(self) -> dict[str, Any]:
        return {"random": random_state(self.random), "frames": self.frames}

    def restore(self, state: Mapping[str, Any]) -> None:
        set_random_state(self.random, state["random"])
        self.frames = int(state["frames"])


class VariedNeurons:
    """Neurons in software that stand for devices nobody has measured: curves redrawn at every call.

    Each call gives every device of `curves` (the design's) an I50 that deviates by spread_a (D,) (A), so that
    a network learns to bear the spread (variation-aware training). frames counts the draws.
    """

    def __init__(self, curves: Surrogate, spread_a: FloatArray, random: np.random.Generator):
        if np.shape(spread_a) != (len(curves.devices),):
            raise ValueError("varied neurons need one spread of I50 for each device")
        self.curves = curves
        self.spread_a = np.asarray(spread_a, dtype=np.float64)
        self.random = random
        self.frames = 0

    def fire(self, device: IntArray, current_a: FloatArray) -> Bits:
        error_a = self.spread_a * self.random.standard_normal(len(self.spread_a))
        draws = self.random.random(len(current_a))
        self.frames += len(current_a)
        return (draws < self.curves.probability(device, current_a - error_a[device])).astype(np.uint8)

    def state(self) -> dict[str, Any]:
        return {"random": random_state(self.random), "frames": self.frames}

    def restore(self, state: Mapping[str, Any]) -> None:
        set_random_state(self.random, state["random"])
        self.frames = int(state["frames"])


class FrameBench(Protocol):
    """What is needed of a bench: `hilab.bench.Bench` has it."""

    def plan(self, batch: FrameBatch) -> FramePlan: ...
    def play(self, plan: FramePlan) -> FrameReadings: ...


@dataclass(frozen=True)
class Readout:
    """How devices are reset, written and read as neurons. All arrays (D,), in the order of the devices.

    threshold_v between the two states at read_a; switched_high: is the reading above the threshold after
    switching. reset_a carries its sign (opposite to the write pulses).
    """

    threshold_v: FloatArray
    switched_high: NDArray[np.bool_]
    reset_a: FloatArray
    read_a: FloatArray
    write_width_s: float = 100e-6
    reset_width_s: float = 100e-6
    reset_count: int = 1
    reset_gap_s: float = 20e-6
    reset_wait_s: float = 20e-6
    read_wait_s: float = 20e-6
    integration_s: float = 2e-3

    def __post_init__(self) -> None:
        counts = {np.shape(v) for v in (self.threshold_v, self.switched_high, self.reset_a, self.read_a)}
        if len(counts) != 1 or not np.isfinite(self.threshold_v).all():
            raise ValueError(
                "readout: one finite threshold, direction, reset and read current for each device"
            )

    def choose(self, index: Sequence[int]) -> Readout:
        """The readout of some of the devices, by their numbers."""
        arrays = ("threshold_v", "switched_high", "reset_a", "read_a")
        chosen: dict[str, Any] = {name: getattr(self, name)[list(index)] for name in arrays}
        return replace(self, **chosen)


class BenchNeurons:
    """The devices of a bench as neurons: each call is one frame batch, planned and played once, never again.

    Counted: frames and pulses (positive, negative) by device, bench_time_s as planned, spoiled readings (no
    usable voltage; their bit is 0) and failed resets. Raises BenchError when more than most_spoiled of a
    batch is spoiled.
    """

    def __init__(
        self, bench: FrameBench, devices: Sequence[str], readout: Readout, *, most_spoiled: float = 1e-3
    ):
        if len(readout.threshold_v) != len(devices):
            raise ValueError(
                f"the readout is for {len(readout.threshold_v)} devices, {len(devices)} were named"
            )
        self.bench = bench
        self.devices = tuple(devices)
        self.readout = readout
        self.most_spoiled = most_spoiled
        self.frames = 0
        self.spoiled = 0
        self.failed_resets = 0
        self.bench_time_s = 0.0
        self.pulses: dict[str, tuple[int, int]] = dict.fromkeys(self.devices, (0, 0))

    def fire(self, device: IntArray, current_a: FloatArray) -> Bits:
        plan = self.bench.plan(self.batch(device, current_a))
        readings = self.bench.play(plan)
        self._count(plan, readings)
        clean = readings.clean
        spoiled = int(len(clean) - clean.sum())
        if spoiled > max(self.most_spoiled * len(clean), 3):
            raise BenchError(
                f"{spoiled} of {len(clean)} readings of the neurons cannot be used (overload, missing ...): "
                "check contacts and read range, then go on from the last checkpoint"
            )
        threshold = self.readout.threshold_v[device]
        above = np.where(clean, readings.voltage_v, -np.inf) > threshold
        switched: Bits = ((above == self.readout.switched_high[device]) & clean).astype(np.uint8)
        return switched

    def batch(self, device: IntArray, current_a: FloatArray) -> FrameBatch:
        """The frames of one call, as they are asked of the bench."""
        r = self.readout
        return FrameBatch.of(
            self.devices,
            device,
            current_a,
            r.reset_a[device],
            r.read_a[device],
            reset_width_s=r.reset_width_s,
            write_width_s=r.write_width_s,
            reset_count=r.reset_count,
            reset_gap_s=r.reset_gap_s,
            reset_wait_s=r.reset_wait_s,
            read_wait_s=r.read_wait_s,
            integration_s=r.integration_s,
        )

    def _count(self, plan: FramePlan, readings: FrameReadings) -> None:
        self.frames += len(readings)
        self.spoiled += int((~readings.clean).sum())
        self.failed_resets += int((readings.flags & np.uint16(Flag.RESET_FAILED) != 0).sum())
        self.bench_time_s += plan.duration_s
        for name, (positive, negative) in plan.pulses.items():
            before = self.pulses.get(name, (0, 0))
            self.pulses[name] = (before[0] + positive, before[1] + negative)

    def state(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "spoiled": self.spoiled,
            "failed_resets": self.failed_resets,
            "bench_time_s": self.bench_time_s,
            "pulses": {name: list(counts) for name, counts in self.pulses.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.frames, self.spoiled = int(state["frames"]), int(state["spoiled"])
        self.failed_resets, self.bench_time_s = int(state["failed_resets"]), float(state["bench_time_s"])
        self.pulses = {name: (int(pair[0]), int(pair[1])) for name, pair in state["pulses"].items()}
