"""What a pulse train did: currents, and what readers saw meanwhile (computed when asked for)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim_instruments.world.contracts import BoolArray, FloatArray, PulseTrain
from sim_instruments.world.wiring import Pad

if TYPE_CHECKING:
    from sim_instruments.world.world import World


@dataclass(frozen=True)
class DeviceTrace:
    """One device in a train: current during the pulses (n,), between them, and its level after each (n,)."""

    current_a: FloatArray
    base_a: float
    level: FloatArray


@dataclass(frozen=True)
class Trace:
    """Implements `contracts.PlayTrace`."""

    world: World
    terminal: str
    train: PulseTrain
    connections: Mapping[str, tuple[Pad, ...]]
    played: Mapping[str, DeviceTrace]
    current_a: FloatArray
    voltage_v: FloatArray
    compliance: BoolArray
    base_v: float

    def sensed_v(self, terminal: str) -> FloatArray:
        """(n,) true voltage at a terminal pair during each pulse (with the state that it leaves)."""
        if terminal == self.terminal:
            return self.voltage_v
        return self._sensed(terminal, self.train.start_s + 0.5 * self.train.width_s, during=True)

    def sensed_base_v(self, terminal: str) -> FloatArray:
        """(n,) the same just after each pulse, with the source at base_a."""
        if terminal == self.terminal:
            return np.full(len(self.current_a), self.base_v)
        return self._sensed(terminal, self.train.start_s + self.train.width_s, during=False)

    def _sensed(self, terminal: str, time_s: FloatArray, during: bool) -> FloatArray:
        pads = self.connections.get(terminal, ())
        if not pads:
            return np.full(len(time_s), np.nan)
        if len(pads) == 1:
            return self._pad_v(pads[0], time_s, during)
        weights = []
        for name, port in pads:
            weights.append(1.0 / self.world.devices[name].load(port, 0.0, self.world.now).ohm)
        if not sum(weights):
            return np.full(len(time_s), np.nan)
        voltages = [np.nan_to_num(self._pad_v(pad, time_s, during)) for pad in pads]
        return np.asarray(np.average(voltages, axis=0, weights=weights))

    def _pad_v(self, pad: Pad, time_s: FloatArray, during: bool) -> FloatArray:
        name, port = pad
        device = self.world.devices[name]
        mine = self.played.get(name)
        if mine is None:
            current = np.full(len(time_s), self.world.standing_a(name))
            return device.port_v(port, current, device.level, time_s)
        current = mine.current_a if during else np.full(len(time_s), mine.base_a)
        return device.port_v(port, current, mine.level, time_s)
