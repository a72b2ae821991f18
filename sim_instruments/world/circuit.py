"""What a source does into the pads on its line: divided currents, compliance, open leads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim_instruments.world import passes
from sim_instruments.world.contracts import BoolArray, FloatArray, Level, PulseTrain


class Load(NamedTuple):
    """A pad as a source sees it: its open voltage (V) behind a resistance (ohm, inf where it is open)."""

    emf_v: float
    ohm: float


class Node(NamedTuple):
    """All pads on one line in parallel: open voltage, resistance, and each pad's share of the current."""

    emf_v: float
    ohm: float
    shares: tuple[float, ...]

    @property
    def open(self) -> bool:
        return not math.isfinite(self.ohm)

    def behind(self, series_ohm: float) -> Node:
        """The same node behind a resistor (a shunt in the line)."""
        return Node(self.emf_v, self.ohm + series_ohm, self.shares) if series_ohm else self


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


def drive_pulses(node: Node, train: PulseTrain) -> tuple[FloatArray, BoolArray]:
    """(current_a, compliance), each (n,), of a train's pulses into a node; see `drive`."""
    level, limit = train.level_a, train.limit_v
    if node.open:
        limited = np.zeros(len(level), np.bool_) if train.voltage_mode else level != 0
        return np.zeros(len(level)), limited
    if train.voltage_mode:
        current, siemens = np.empty(len(level)), 1.0 / (train.series_ohm + node.ohm)
        if passes.driven_by_volts(level, node.emf_v, siemens, limit, current):
            return current, np.abs(level - node.emf_v) * siemens > limit
        return current, np.zeros(len(level), np.bool_)
    if passes.largest(level) * node.ohm + abs(node.emf_v) <= limit:
        return level, np.zeros(len(level), np.bool_)
    voltage = node.emf_v + level * node.ohm
    limited = (np.abs(voltage) > limit) & (level != 0)
    held = (np.copysign(limit, voltage) - node.emf_v) / node.ohm
    return np.where(limited, held, level), limited


def pulses_v(node: Node, train: PulseTrain, current_a: FloatArray, alive: int) -> FloatArray:
    """(n,) voltage across the source's terminals in each pulse; the line is open from pulse `alive` on."""
    if node.open:
        alive = 0
    voltage = current_a * node.ohm if alive else np.empty(len(current_a))
    voltage += node.emf_v
    level = train.level_a[alive:]
    railed = np.where(level == 0, 0.0, np.copysign(train.limit_v, level))
    voltage[alive:] = level if train.voltage_mode else railed
    return voltage
