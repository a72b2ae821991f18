"""What a source does into the pads on its line: divided currents, compliance, open leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.contracts import Level

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """A pad as a source sees it: its open voltage (V) behind a resistance (ohm, inf where it is open)."""

    emf_v: float
    ohm: float


@dataclass(frozen=True)
class Node:
    """All pads on one line in parallel: open voltage, resistance, and each pad's share of the current."""

    emf_v: float
    ohm: float
    shares: tuple[float, ...]

    @property
    def open(self) -> bool:
        return not np.isfinite(self.ohm)


def parallel(loads: Sequence[Load]) -> Node:
    """Join pads on one line. Without any closed path the node is open (shares are 0)."""
    conductance = [1.0 / load.ohm for load in loads]
    total = sum(conductance)
    if not loads or total == 0.0:
        return Node(0.0, float("inf"), tuple(0.0 for _ in loads))
    emf = sum(load.emf_v * each for load, each in zip(loads, conductance, strict=True)) / total
    return Node(emf, 1.0 / total, tuple(each / total for each in conductance))


def drive(node: Node, level: Level) -> tuple[float, float, bool]:
    """(voltage_v, current_a, in compliance) of a source at a constant level into a node."""
    if not level.connected:
        return 0.0, 0.0, False
    if level.voltage_mode:
        if node.open:
            return level.value, 0.0, False
        current = (level.value - node.emf_v) / node.ohm
        if abs(current) <= level.limit:
            return level.value, current, False
        current = float(np.copysign(level.limit, current))
        return node.emf_v + current * node.ohm, current, True
    if node.open:
        voltage = float(np.copysign(level.limit, level.value)) if level.value else 0.0
        return voltage, 0.0, level.value != 0
    voltage = node.emf_v + level.value * node.ohm
    if abs(voltage) <= level.limit or level.value == 0:
        return voltage, level.value, False
    voltage = float(np.copysign(level.limit, voltage))
    return voltage, (voltage - node.emf_v) / node.ohm, True


def drive_pulses(
    node: Node, level_a: FloatArray, limit_v: float
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """(current_a, voltage_v, compliance), each (n,), of current pulses into a node."""
    if node.open:
        return np.zeros_like(level_a), np.sign(level_a) * limit_v, level_a != 0
    voltage = node.emf_v + level_a * node.ohm
    compliance = (np.abs(voltage) > limit_v) & (level_a != 0)
    if not compliance.any():
        return level_a, voltage, compliance
    voltage = np.where(compliance, np.copysign(limit_v, voltage), voltage)
    return np.where(compliance, (voltage - node.emf_v) / node.ohm, level_a), voltage, compliance
