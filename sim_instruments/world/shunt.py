"""A resistor in series with a source's line: its taps show the current that really flows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim_instruments.world import streams
from sim_instruments.world.circuit import Load
from sim_instruments.world.contracts import FloatArray
from sim_instruments.world.wiring import ShuntWire


@dataclass(frozen=True)
class Shunt:
    """A shunt as it is. To a reader its taps are a pad like one of a device."""

    terminal: str
    ohm: float

    @property
    def level(self) -> float:
        """It has no state."""
        return 0.0

    def load(self, port: str, current_a: float, time_s: float) -> Load:
        """What lies at the taps while current_a flows through the shunt."""
        return Load(current_a * self.ohm, self.ohm)

    def mean_v(
        self,
        port: str,
        current_a: ArrayLike,
        current_level_a: ArrayLike,
        time_s: ArrayLike,
        warm_k: ArrayLike | None = None,
    ) -> FloatArray:
        """Voltage at the taps."""
        return np.asarray(current_a, dtype=np.float64) * self.ohm

    def port_v(
        self,
        port: str,
        current_a: ArrayLike,
        level: ArrayLike,
        time_s: ArrayLike,
        warm_k: ArrayLike | None = None,
    ) -> FloatArray:
        """Voltage at the taps."""
        return np.asarray(current_a, dtype=np.float64) * self.ohm


def drawn(wire: ShuntWire, sample_seed: int) -> Shunt:
    """The shunt that was soldered in: within its tolerance of what is printed on it."""
    random = np.random.default_rng(streams.sequence(sample_seed, wire.name))
    return Shunt(wire.terminal, wire.ohm * (1 + wire.tolerance * float(random.uniform(-1.0, 1.0))))
