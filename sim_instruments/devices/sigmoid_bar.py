"""A Hall bar that switches with a logistic probability of the current, and no more: for studies of speed.

It is drawn, wired, read and worn as `hall_bar`; its I50 and width are those of the drawn bar's law at
REFERENCE_S. What it leaves out: pulse width, heat, drift of the barrier, residual domains, incomplete and
failing reversal, back-switching, damage, thermal switching by a field (a field beyond Hc just sets it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sim_instruments.devices import sigmoid_bar_kernel as kernel
from sim_instruments.devices.hall_bar import HallBar, sizes, surroundings
from sim_instruments.devices.hall_bar_kernel import HIGH, LEVEL, SIGN
from sim_instruments.devices.hall_bar_law import LOG_LN2
from sim_instruments.devices.hall_bar_truth import Apparent, FloatArray, HallBarTruth
from sim_instruments.world.device import Chip, DeviceModel, Lived
from sim_instruments.world.field import Field

REFERENCE_S = 100e-6  # pulse width at which the logistic curve is that of the barrier law
HELD_S = 1.0  # time at which the coercive field is that of the barrier law
STEEPNESS = 1.52  # a logistic with Ic0 / (1.52 Delta) is closest to the barrier law; device-model.md 1


class SigmoidBar(HallBar):
    """One such bar. Built by `make`."""

    def __init__(self, name: str, width_m: float, length_m: float, chip: Chip, field: Field):
        super().__init__(name, width_m, length_m, chip, field)
        bar = self.bar
        torque = bar.torque_t_per_a
        ic0 = bar.hn_t / abs(torque) if torque else math.inf
        i50 = ic0 * self._lowered(REFERENCE_S)
        self.curve = kernel.Curve(
            i50_a=i50,
            unit_a=ic0 / (STEEPNESS * bar.delta),
            floor=bar.floor,
            ceiling=bar.ceiling,
            reads_to_a=bar.driven_from_a,
            depins_at_a=bar.depinning * i50,
            way=float(np.sign(torque)),
            r_ohm=self.heat.r_ohm,
        )
        self.coercive_t = bar.hn_t * self._lowered(HELD_S)
        self._curve = np.array(self.curve, dtype=np.float64)
        self.truth = SigmoidBarTruth(self)

    def _lowered(self, time_s: float) -> float:
        return 1.0 - (math.log(time_s / self.bar.tau0_s) - LOG_LN2) / self.bar.delta

    def settle(self, until_s: float, current_a: float, field: Field) -> None:
        """A field beyond Hc sets the state, and so does a standing current above I50."""
        since = self._time
        if until_s <= since:
            return
        self._time = until_s
        if current_a:
            self._wear_standing(current_a, until_s - since)
        else:
            self._state[HIGH] = 0.0
        outside_t = field.parameters.tesla_per_ampere * field.coil_now_a(until_s) + field.offset_t
        if abs(outside_t) > self.coercive_t:
            self._state[[SIGN, LEVEL]] = np.sign(outside_t)
        elif abs(current_a) > self.curve.i50_a:
            self._state[[SIGN, LEVEL]] = self.curve.way * np.sign(current_a)

    def play(
        self, current_a: FloatArray, start_s: FloatArray, width_s: FloatArray, base_a: float, field: Field
    ) -> Lived:
        """Live through rectangular pulses; the bar survives them all and stays cold."""
        level = np.empty(len(current_a))
        if len(level):
            self.settle(float(start_s[0]), base_a, field)
            kernel.play(self._curve, self._state, self._count, self._key, current_a, width_s, level)
            self._time = max(self._time, float(start_s[-1] + width_s[-1]))
        return Lived(level, len(level), np.zeros(len(level)))


class SigmoidBarTruth(HallBarTruth):
    """Truth of one logistic bar: its curve does not depend on time, width or heat."""

    def __init__(self, device: SigmoidBar):
        super().__init__(device)
        self._curve = device.curve

    @property
    def unit_a(self) -> float:
        """The logistic unit (A)."""
        return self._curve.unit_a

    def p_switch(
        self,
        current_a: ArrayLike,
        width_s: ArrayLike,
        t: ArrayLike = 0.0,
        *,
        heat_k: ArrayLike = 0.0,
        residual: ArrayLike = 0.5,
    ) -> FloatArray:
        """Probability that one pulse of current_a switches a bar that its torque drives away."""
        curve, size = self._curve, np.abs(np.asarray(current_a, dtype=np.float64))
        law = 0.5 * (1.0 + np.tanh(0.5 * (size - curve.i50_a) / curve.unit_a))
        pinned = curve.floor + (curve.ceiling - curve.floor) * law
        chance = np.where(size < curve.depins_at_a, pinned, law)
        return np.asarray(np.where(size > curve.reads_to_a, chance, 0.0))

    def i50_a(
        self,
        width_s: float,
        t: ArrayLike = 0.0,
        polarity: int = 1,
        *,
        heat_k: ArrayLike = 0.0,
        residual: float = 0.5,
    ) -> FloatArray:
        """Current (A) at which the logistic gives one half."""
        return np.full(np.shape(t), self._curve.i50_a)

    def apparent(
        self,
        width_s: float,
        t: ArrayLike = 0.0,
        polarity: int = 1,
        *,
        heat_k: ArrayLike = 0.0,
        residual: float = 0.5,
    ) -> Apparent:
        """What the Neel-Arrhenius law looks like at I50 with the logistic's slope there."""
        i50 = self.i50_a(width_s, t)
        slope = np.full(np.shape(t), 0.25 / self._curve.unit_a)
        steepness = slope / (0.5 * np.log(2))
        ic0 = i50 + (math.log(width_s / self.tau0_s) - LOG_LN2) / steepness
        return Apparent(i50, slope, ic0, steepness * ic0)


def make(name: str, card: Mapping[str, Any], chip: Chip, field: Field) -> SigmoidBar:
    """The device model `sigmoid_bar`; see `hall_bar.make`."""
    return SigmoidBar(name, *sizes(name, card), chip, field)


MODEL = DeviceModel(make=make, surroundings=surroundings)
