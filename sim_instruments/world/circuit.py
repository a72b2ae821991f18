"""What a source does into the pads on its line: divided currents, compliance, open leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim_instruments.world.contracts import Level, PulseTrain

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

    def behind(self, series_ohm: float) -> Node:
        """The same node behind a resistor (a shunt in the line)."""
        return replace(self, ohm=self.ohm + series_ohm) if series_ohm else self


def parallel(loads: Sequence[Load]) -> Node:
    """Join pads on one line. Without any closed path the node is open (shares are 0)."""
    conductance = [1.0 / load.ohm for load in loads]
    total = sum(conductance)
    if not loads or total == 0.0:
        return Node(0.0, float("inf"), tuple(0.0 for _ in loads))
    emf = sum(load.emf_v * each for load, each in zip(loads, conductance, strict=True)) / total
    return Node(emf, 1.0 / total, tuple(each / total for each in conductance))


def drive(node: Node, level: Level) -> tuple[float, float, bool]:
    """(voltage_v, current_a, in compliance) of a source at a constant level into a node.

    The voltage is that across the source's terminals: behind its own series resistance.
    """
    if not level.connected:
        return 0.0, 0.0, False
    if level.voltage_mode:
        if node.open:
            return level.value, 0.0, False
        current = (level.value - node.emf_v) / (level.series_ohm + node.ohm)
        limited = abs(current) > level.limit
        if limited:
            current = float(np.copysign(level.limit, current))
        return node.emf_v + current * node.ohm, current, limited
    if node.open:
        voltage = float(np.copysign(level.limit, level.value)) if level.value else 0.0
        return voltage, 0.0, level.value != 0
    voltage = node.emf_v + level.value * node.ohm
    if abs(voltage) <= level.limit or level.value == 0:
        return voltage, level.value, False
    voltage = float(np.copysign(level.limit, voltage))
    return voltage, (voltage - node.emf_v) / node.ohm, True


def drive_pulses(node: Node, train: PulseTrain) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """(current_a, voltage_v, compliance), each (n,), of a train's pulses into a node; see `drive`."""
    if train.voltage_mode:
        return _drive_volts(node, train)
    level_a, limit_v = train.level_a, train.limit_v
    if node.open:
        return open_line(train)
    voltage = node.emf_v + level_a * node.ohm
    compliance = (np.abs(voltage) > limit_v) & (level_a != 0)
    if not compliance.any():
        return level_a, voltage, compliance
    voltage = np.where(compliance, np.copysign(limit_v, voltage), voltage)
    return np.where(compliance, (voltage - node.emf_v) / node.ohm, level_a), voltage, compliance


def open_line(train: PulseTrain) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """The same where nothing is connected: a current source rails, a voltage source stays."""
    nothing = np.zeros_like(train.level_a)
    if train.voltage_mode:
        return nothing, train.level_a, np.zeros(len(nothing), np.bool_)
    on = train.level_a != 0
    return nothing, np.where(on, np.copysign(train.limit_v, train.level_a), 0.0), on


def _drive_volts(node: Node, train: PulseTrain) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    if node.open:
        return open_line(train)
    current = (train.level_a - node.emf_v) * (1.0 / (train.series_ohm + node.ohm))
    compliance = np.abs(current) > train.limit_v
    if compliance.any():
        current = np.where(compliance, np.copysign(train.limit_v, current), current)
    return current, node.emf_v + current * node.ohm, compliance
