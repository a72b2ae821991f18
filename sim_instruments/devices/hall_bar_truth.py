"""What a Hall bar really is and has really borne: for tests to ask, as functions of bench time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_instruments.devices import hall_bar_kernel as kernel
from sim_instruments.devices.hall_bar_law import LOG_LN2
from sim_instruments.world.slow import on_grid

if TYPE_CHECKING:
    from sim_instruments.devices.hall_bar import HallBar

FloatArray = NDArray[np.float64]
KEPT_ROWS = 100_000


@dataclass(frozen=True)
class Wear:
    """Pulses really received (above wear_from Ic0), energy (J), largest current (A), damage (1: dead)."""

    positive: int
    negative: int
    energy_j: float
    worst_a: float
    damage: float


@dataclass(frozen=True)
class Apparent:
    """A Neel-Arrhenius curve (tau0 known) with the true I50 and the true slope there; all like t."""

    i50_a: FloatArray
    slope_per_a: FloatArray
    ic0_a: FloatArray
    delta: FloatArray


class HallBarTruth:
    """Truth of one bar. Every function of t takes a scalar or an array of bench times (s).

    polarity +1 asks for the switching from -1 to +1 (a positive write after a negative reset at
    positive assist field), -1 for the other way. heat_k is what earlier pulses left of temperature rise,
    as a mean over the pulse (`heat_k(t)` tells it); a pulse's own heat comes on top by itself. residual is
    the share of frames that start with an unreversed domain: those whose one reset pulse had to reverse
    the bar, so about half where the amplitudes lie around I50, and none with two reset pulses.
    """

    def __init__(self, device: HallBar):
        self._device = device
        self._heat: list[tuple[float, float, float]] = []

    @property
    def state(self) -> int:
        """The state now: -1 or +1."""
        return int(self._device.state[kernel.SIGN])

    @property
    def level(self) -> float:
        """The Hall level now, -1 to 1."""
        return self._device.level

    @property
    def delta(self) -> float:
        """The bar's own barrier (kT), at zero field."""
        return self._device.bar.delta

    @property
    def tau0_s(self) -> float:
        return self._device.bar.tau0_s

    @property
    def r_ahe_ohm(self) -> float:
        """Opening of the field loop (ohm)."""
        return self._device.drawn.r_ahe_ohm

    @property
    def loop_ohm(self) -> float:
        """Opening of the current loop (ohm): the part that current reverses."""
        return self._device.drawn.r_ahe_ohm * self._device.drawn.reversed_part

    @property
    def wear(self) -> Wear:
        state, count = self._device.state, self._device.count
        return Wear(
            int(count[kernel.POSITIVE]),
            int(count[kernel.NEGATIVE]),
            float(state[kernel.ENERGY]),
            float(state[kernel.WORST]),
            float(state[kernel.DAMAGE]),
        )

    @property
    def dead(self) -> bool:
        return self._device.dead or bool(self._device.state[kernel.DEAD])

    def hn_t(self, t: ArrayLike = 0.0) -> FloatArray:
        """Nucleation field (T), drift included."""
        bar, times = self._device.bar, np.asarray(t, dtype=np.float64)
        drift = self._device.drift.upto(float(np.max(times)))
        return np.asarray(bar.hn_t * on_grid(drift, times))

    def stray_t(self, t: ArrayLike = 0.0) -> FloatArray:
        """Perpendicular field (T) at zero coil current: tilted assist field and stray field."""
        field = self._device.field
        return np.asarray(field.offset_t + field.stray_drift.at(t))

    def h(self, current_a: ArrayLike, t: ArrayLike = 0.0, heat_k: ArrayLike = 0.0) -> FloatArray:
        """The reduced drive at zero coil current."""
        bar = self._device.bar
        push = bar.torque_t_per_a * np.asarray(current_a, dtype=np.float64) + self.stray_t(t)
        return np.asarray(push / (self.hn_t(t) * (1 + bar.per_kelvin * np.asarray(heat_k))))

    def ic0_a(self, t: ArrayLike = 0.0, polarity: int = 1) -> FloatArray:
        """Critical current (A, positive number) for switching to `polarity`, cold, at these times."""
        torque = abs(self._device.bar.torque_t_per_a)
        with np.errstate(divide="ignore"):
            return np.asarray((self.hn_t(t) - polarity * self.stray_t(t)) / torque)

    def delta_at(self, t: ArrayLike = 0.0, polarity: int = 1) -> FloatArray:
        """Barrier at zero current as a pulse of this polarity finds it: stray field shifts it."""
        return np.asarray(self.delta * (1 - polarity * self.stray_t(t) / self.hn_t(t)))

    def p_switch(
        self,
        current_a: ArrayLike,
        width_s: ArrayLike,
        t: ArrayLike = 0.0,
        *,
        heat_k: ArrayLike = 0.0,
        residual: ArrayLike = 0.5,
    ) -> FloatArray:
        """Probability that one pulse of current_a switches a bar that its torque drives away.

        Self-heating within the pulse, pinning and failures are inside; back-switching above its onset
        is not (it happens after the switching).
        """
        bar = self._device.bar
        current, width = np.asarray(current_a, dtype=np.float64), np.asarray(width_s, dtype=np.float64)
        h = self._drive(current, width, t, heat_k) * np.sign(bar.torque_t_per_a * current)
        log_time = np.log(width / bar.tau0_s)
        law = chance = self._law(h, log_time, residual)
        pinned = h < bar.depinning * (1 - (log_time - LOG_LN2) / bar.delta)
        chance = np.where(pinned, bar.floor + (bar.ceiling - bar.floor) * chance, chance)
        driven = np.abs(current) > bar.driven_from_a
        return np.asarray(np.where(driven, chance * (1 - bar.failure), law))

    def i50_a(
        self,
        width_s: float,
        t: ArrayLike = 0.0,
        polarity: int = 1,
        *,
        heat_k: ArrayLike = 0.0,
        residual: float = 0.5,
    ) -> FloatArray:
        """Current (A, positive number) at which the barrier law gives one half, self-heating included."""
        times, heat = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(heat_k, dtype=float))
        way = polarity * np.sign(self._device.bar.torque_t_per_a)
        low, high = np.zeros(times.shape), 2 * self.ic0_a(times, polarity)
        log_time = np.log(width_s / self.tau0_s)
        for _ in range(60):
            middle = 0.5 * (low + high)
            drive = polarity * self._drive(way * middle, np.asarray(width_s), times, heat)
            above = self._law(drive, log_time, residual) > 0.5
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.asarray(0.5 * (low + high))

    def apparent(
        self,
        width_s: float,
        t: ArrayLike = 0.0,
        polarity: int = 1,
        *,
        heat_k: ArrayLike = 0.0,
        residual: float = 0.5,
    ) -> Apparent:
        """What the Neel-Arrhenius law without heating looks like at the true I50 and slope."""
        i50 = self.i50_a(width_s, t, polarity, heat_k=heat_k, residual=residual)
        way = polarity * np.sign(self._device.bar.torque_t_per_a)
        log_time = float(np.log(width_s / self.tau0_s))
        step = 1e-4 * i50
        ends = [
            self._law(polarity * self._drive(way * at, np.asarray(width_s), t, heat_k), log_time, residual)
            for at in (i50 - step, i50 + step)
        ]
        slope = (ends[1] - ends[0]) / (2 * step)
        steepness = slope / (0.5 * np.log(2))
        ic0 = i50 + (log_time - LOG_LN2) / steepness
        return Apparent(i50, slope, ic0, steepness * ic0)

    def heat_k(self, t: ArrayLike, polarity: int = 1) -> FloatArray:
        """Mean rise (K) left from earlier pulses in those of this polarity, in the trains around t."""
        times = np.asarray(t, dtype=np.float64)
        if not self._heat:
            return np.zeros(times.shape)
        rows = np.array(self._heat)
        index = np.clip(np.searchsorted(rows[:, 0], times), 0, len(rows) - 1)
        return np.asarray(rows[index, 1 if polarity > 0 else 2])

    def _drive(self, current: FloatArray, width: FloatArray, t: ArrayLike, heat_k: ArrayLike) -> FloatArray:
        """h at the mean temperature of a pulse: heat_k from before and its own."""
        heat, bar = self._device.heat, self._device.bar
        rise = np.asarray(heat_k, dtype=np.float64)
        if heat.on:
            power = heat.r_ohm * current**2
            for k_per_w, tau in zip(heat.k_per_w, heat.tau_s, strict=True):
                rise = rise + k_per_w * power * (1 + np.expm1(-width / tau) * tau / width)
        push = bar.torque_t_per_a * current + self.stray_t(t)
        return np.asarray(push / (self.hn_t(t) * (1 + bar.per_kelvin * rise)))

    def _law(self, h: FloatArray, log_time: ArrayLike, residual: ArrayLike) -> FloatArray:
        """The bare two-state law for bars that h drives away, a share of them with a residual domain."""
        share, lowers = np.asarray(residual, dtype=np.float64), self._device.bar.lowers
        clean = self._leaves(h, log_time, self.delta)
        return np.asarray(clean + share * (self._leaves(h, log_time, self.delta * (1 - lowers)) - clean))

    def _leaves(self, h: FloatArray, log_time: ArrayLike, barrier: float) -> FloatArray:
        out = np.exp(np.asarray(log_time) - barrier * np.maximum(0.0, 1 - h))
        back = np.exp(np.asarray(log_time) - self.delta * np.maximum(0.0, 1 + h))
        return np.asarray(out / (out + back) * -np.expm1(-(out + back)))

    # ---- kept by the device ---------------------------------------------------------------------------

    def heat_sums(self) -> tuple[int, float, int, float]:
        """Pulses so far and the sum of the rises that they found, of each polarity."""
        state, count = self._device.state, self._device.count
        return (
            int(count[kernel.POSITIVE]),
            float(state[kernel.HEAT_SUM_POSITIVE]),
            int(count[kernel.NEGATIVE]),
            float(state[kernel.HEAT_SUM_NEGATIVE]),
        )

    def note_heat(self, stop_s: float, before: tuple[int, float, int, float]) -> None:
        """A train ended: keep the mean rise at its pulses, from the sums before it."""
        after = self.heat_sums()
        up, down = after[0] - before[0], after[2] - before[2]
        warm_up = (after[1] - before[1]) / up if up else 0.0
        warm_down = (after[3] - before[3]) / down if down else 0.0
        if warm_up or warm_down:
            self._heat.append((stop_s, warm_up, warm_down))
            del self._heat[:-KEPT_ROWS]

    def heat_history(self) -> FloatArray:
        return np.array(self._heat, dtype=np.float64).reshape(-1, 3)

    def set_heat_history(self, rows: FloatArray) -> None:
        self._heat = [(float(a), float(b), float(c)) for a, b, c in rows]
