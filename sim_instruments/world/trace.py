"""What a pulse train did: currents, and what readers saw meanwhile (computed when asked for)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sim_instruments.world.circuit import Node, pulses_v
from sim_instruments.world.contracts import BoolArray, FloatArray, PulseTrain
from sim_instruments.world.windows import window_means
from sim_instruments.world.wiring import Pad

if TYPE_CHECKING:
    from sim_instruments.world.world import World

NO_LEVELS: FloatArray = np.empty(0)


@dataclass(frozen=True)
class DeviceTrace:
    """One device in a train: current in pulses (n,) and between; level and warmth after each (n,), before.

    A shunt has neither: its arrays are empty.
    """

    current_a: FloatArray
    base_a: float
    level: FloatArray
    warm_k: FloatArray
    level_before: float
    warm_before_k: float


@dataclass(frozen=True)
class Trace:
    """Implements `contracts.PlayTrace`."""

    world: World
    terminal: str
    train: PulseTrain
    connections: Mapping[str, tuple[Pad, ...]]
    played: Mapping[str, DeviceTrace]
    node: Node
    current_a: FloatArray
    compliance: BoolArray
    base_v: float
    alive: int

    @cached_property
    def voltage_v(self) -> FloatArray:
        """(n,) voltage across the source's terminals during each pulse."""
        return pulses_v(self.node, self.train, self.current_a, self.alive)

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

    def window_v(self, terminal: str, start_s: FloatArray, stop_s: FloatArray) -> FloatArray:
        """(m,) mean true voltage over windows, pulses and gaps by their share; they open in ascending order.

        A window may reach beyond the train: the source is at base_a there. ValueError if they do not ascend.
        """
        if terminal == self.terminal:
            own = DeviceTrace(self.voltage_v, self.base_v, NO_LEVELS, NO_LEVELS, 0.0, 0.0)
            return self._means(start_s, stop_s, own)[0]
        middle = 0.5 * (start_s + stop_s)
        return self._joined(terminal, len(middle), lambda pad: self._pad_mean_v(pad, start_s, stop_s, middle))

    def _sensed(self, terminal: str, time_s: FloatArray, during: bool) -> FloatArray:
        return self._joined(terminal, len(time_s), lambda pad: self._pad_v(pad, time_s, during))

    def _joined(self, terminal: str, count: int, pad_v: Callable[[Pad], FloatArray]) -> FloatArray:
        """What a terminal sees of the pads on its line: their voltages, weighed by their conductance."""
        pads = self.connections.get(terminal, ())
        if not pads:
            return np.full(count, np.nan)
        if len(pads) == 1:
            return pad_v(pads[0])
        weights = [1.0 / self.world.part(name).load(port, 0.0, self.world.now).ohm for name, port in pads]
        if not sum(weights):
            return np.full(count, np.nan)
        voltages = [np.nan_to_num(pad_v(pad)) for pad in pads]
        return np.asarray(np.average(voltages, axis=0, weights=weights))

    def _pad_mean_v(
        self, pad: Pad, start_s: FloatArray, stop_s: FloatArray, middle_s: FloatArray
    ) -> FloatArray:
        name, port = pad
        part, mine = self.world.part(name), self.played.get(pad[0])
        if mine is None:
            current = np.full(len(middle_s), self.world.standing_a(name))
            return part.port_v(port, current, part.level, middle_s)
        current, of_state, warm_k = self._means(start_s, stop_s, mine)
        return part.mean_v(port, current, of_state, middle_s, warm_k)

    def _means(
        self, start_s: FloatArray, stop_s: FloatArray, mine: DeviceTrace
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        count = len(start_s)
        means = np.empty(count), np.empty(count), np.empty(count)
        if not window_means(
            self.train.start_s,
            self.train.width_s,
            mine.current_a,
            mine.level,
            mine.warm_k,
            mine.base_a,
            mine.level_before,
            mine.warm_before_k,
            start_s,
            stop_s,
            *means,
        ):
            raise ValueError("windows must open in ascending order, and none may close before it opens")
        return means

    def _pad_v(self, pad: Pad, time_s: FloatArray, during: bool) -> FloatArray:
        name, port = pad
        device = self.world.part(name)
        mine = self.played.get(name)
        if mine is None:
            current = np.full(len(time_s), self.world.standing_a(name))
            return device.port_v(port, current, device.level, time_s)
        current = mine.current_a if during else np.full(len(time_s), mine.base_a)
        return device.port_v(port, current, mine.level, time_s, mine.warm_k)
