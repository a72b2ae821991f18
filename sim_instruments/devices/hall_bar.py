"""The simulated SOT Hall bar: two states, one barrier for field and current."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_instruments.devices import hall_bar_kernel as kernel
from sim_instruments.devices import hall_bar_law as law
from sim_instruments.devices.counter_random import uniform
from sim_instruments.devices.hall_bar_parameters import draw, physics, torque_efficiency
from sim_instruments.devices.hall_bar_truth import HallBarTruth
from sim_instruments.world import passes, streams
from sim_instruments.world.circuit import Load
from sim_instruments.world.device import Chip, DeviceModel, Lived
from sim_instruments.world.field import Field
from sim_instruments.world.slow import STEP_S, OrnsteinUhlenbeck

FloatArray = NDArray[np.float64]
NEGLIGIBLE = 1e-9  # probability below which a standing segment need not be lived through
DAMAGED_R = 0.1  # relative rise of the line's resistance before it blows
# times after a new standing current between which its heat may be taken as linear
CURRENT_STEPS_S = np.array([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0])


class HallBar:
    """One Hall bar. Built by `make`; the physics stands in device-model.md and hall_bar.toml."""

    def __init__(self, name: str, width_m: float, length_m: float, chip: Chip, field: Field):
        p = physics(chip.setting, chip.options)
        self.name = name
        self.physics = p
        self.drawn = draw(p, name, width_m, length_m, chip.sample_seed, chip.shape)
        self.field = field
        self.dead = False
        self.open_ports: set[str] = set()
        self._key = streams.key(chip.seed, f"device:{name}")
        torque = self.drawn.tesla_per_ampere * torque_efficiency(p, field.in_plane_t)
        reference = self.drawn.tesla_per_ampere * torque_efficiency(p, p["ic0_reference_assist_t"])
        self.ic0_nominal_a = self.drawn.hn_t / reference
        self.bar = self._switching(torque)
        self.heat = self._thermal()
        self._law, self._hot = law.packed(self.bar, self.heat)
        self._notes = kernel.memory()
        self.drift = Drift(p, chip.seed, name)
        self.emf = OrnsteinUhlenbeck(chip.seed, f"emf:{name}", p["emf_drift_v"], p["emf_correlation_s"])
        self._time = 0.0
        self._state = np.zeros(kernel.STATE_SIZE)
        self._state[[kernel.SIGN, kernel.LEVEL]] = -1.0
        self._count = np.zeros(kernel.COUNT_SIZE, np.int64)
        self._state[kernel.HAZARD] = -np.log(uniform(self._key, 0, law.LANE_HAZARD))
        self._count[kernel.FLIPS] = 1
        self.truth: HallBarTruth = HallBarTruth(self)

    @property
    def level(self) -> float:
        """Magnetisation as the Hall arms see it, -1 to 1."""
        return float(self._state[kernel.LEVEL])

    @property
    def warm_k(self) -> float:
        """Slow rise of temperature after the last pulse (K)."""
        return float(self._state[kernel.HEAT_3])

    @property
    def state(self) -> NDArray[np.float64]:
        """The kernel's state vector."""
        return self._state

    @property
    def count(self) -> NDArray[np.int64]:
        """The kernel's counters."""
        return self._count

    def set_state(self, sign: int) -> None:
        """Put the bar into a saturated state (for tests)."""
        self._state[[kernel.SIGN, kernel.LEVEL, kernel.RESIDUAL]] = float(sign), float(sign), 0.0

    # ---- what sources and readers see ---------------------------------------------------------------

    def load(self, port: str, current_a: float, time_s: float) -> Load:
        """What a source sees at a port while current_a flows through the current line."""
        if port in self.open_ports:
            return Load(0.0, float("inf"))
        if port == "current":
            return Load(0.0, self._line_ohm())
        emf = float(self.port_v(port, current_a, self.level, time_s))
        return Load(emf, self.drawn.r_arm_ohm if port == "hall" else self.drawn.r_tap_ohm)

    def port_v(
        self,
        port: str,
        current_a: ArrayLike,
        level: ArrayLike,
        time_s: ArrayLike,
        warm_k: ArrayLike | None = None,
    ) -> FloatArray:
        """Open voltage at a port while current_a flows through the current line; nan where it is open."""
        current = np.asarray(current_a, dtype=np.float64)
        return self.mean_v(port, current, current * np.asarray(level), time_s, warm_k)

    def mean_v(
        self,
        port: str,
        current_a: ArrayLike,
        current_level_a: ArrayLike,
        time_s: ArrayLike,
        warm_k: ArrayLike | None = None,
    ) -> FloatArray:
        """The same as means over windows of time: mean current, mean of current times level (A), warmth (K).

        Without warm_k the bar is as warm as it is now.
        """
        current, when = np.asarray(current_a, dtype=np.float64), np.asarray(time_s, dtype=np.float64)
        if port in self.open_ports:
            return np.full(np.broadcast(current, when).shape, np.nan)
        if port == "current":
            return current * self._line_ohm() if np.isfinite(self._line_ohm()) else np.zeros_like(current)
        if port == "longitudinal":
            return current * self.drawn.tap_ohm
        of_state = np.asarray(current_level_a, dtype=np.float64)
        warm = self._warm_k(when) if warm_k is None else np.asarray(warm_k, dtype=np.float64)
        if not current.shape == of_state.shape == when.shape == warm.shape:
            current, of_state, when, warm = np.broadcast_arrays(current, of_state, when, warm)
        return self._hall_v(current, of_state, when, warm)

    def _warm_k(self, when: FloatArray) -> FloatArray:
        """What the chip's slow heat is now, and what is left of it later."""
        age = np.maximum(when - self._state[kernel.HEAT_TIME], 0.0)
        return np.asarray(self._state[kernel.HEAT_3] * np.exp(-age / self.heat.tau_s[2]))

    def _hall_v(
        self, current: FloatArray, of_state: FloatArray, when: FloatArray, warm: FloatArray
    ) -> FloatArray:
        """At the Hall arms; heat adds to their thermal voltage."""
        if not when.size:
            return np.empty(when.shape)
        drawn, ordinary = self.drawn, self.physics["ordinary_hall_ohm_per_t"]
        first = float(when.flat[0])
        moving = self.field.moving(first)
        coil_t = 0.0 if moving else self.field.parameters.tesla_per_ampere * self.field.coil_now_a(first)
        volts = np.empty(when.size)
        passes.hall_v(
            current.ravel(),
            of_state.ravel(),
            when.ravel(),
            warm.ravel(),
            0.5 * drawn.r_ahe_ohm,
            drawn.leak_ohm + ordinary * (coil_t + self.field.offset_t),
            drawn.offset_v,
            self.emf.upto(float(when.max())),
            STEP_S,
            self.physics["emf_per_kelvin_v"],
            volts,
        )
        seen: FloatArray = volts.reshape(when.shape)
        return seen + current * ordinary * self.field.coil_t(when) if moving else seen

    def _line_ohm(self) -> float:
        if self.dead or self._state[kernel.DEAD] > 0:
            return float("inf")
        damaged = 1 + DAMAGED_R * float(self._state[kernel.DAMAGE])
        return self.drawn.r_xx_ohm * damaged + self.drawn.r_contact_ohm

    # ---- life ------------------------------------------------------------------------------------------

    def settle(self, until_s: float, current_a: float, field: Field) -> None:
        """Live under a standing current and the field until that time."""
        since = self._time
        if until_s <= since:
            return
        self._time = until_s
        if current_a:
            self._wear_standing(current_a, until_s - since)
        else:
            self._state[kernel.HIGH] = 0.0
        drift, stray = self.drift.upto(until_s), field.stray_drift.upto(until_s)
        if self._negligible(since, until_s, current_a, field):
            if current_a:
                kernel.warm_up(self._hot, self._state, current_a, until_s)
            return
        if not current_a:
            kernel.warm_up(self._hot, self._state, 0.0, since)
        times, coil_t = field.path(since, until_s)
        if current_a or until_s - since > STEP_S:
            times = self._finer(times, current_a)
            coil_t = field.coil_t(times)
        kernel.settle(
            self._law,
            self._hot,
            self._state,
            self._count,
            self._key,
            times,
            coil_t + field.offset_t,
            current_a,
            drift,
            stray,
        )

    def play(
        self, current_a: FloatArray, start_s: FloatArray, width_s: FloatArray, base_a: float, field: Field
    ) -> Lived:
        """Live through rectangular pulses."""
        level, warm = np.empty(len(current_a)), np.empty(len(current_a))
        if not len(current_a):
            return Lived(level, 0, warm)
        first, stop = float(start_s[0]), float(start_s[-1] + width_s[-1])
        drift, stray = self.drift.upto(stop), field.stray_drift.upto(stop)
        if field.quiet(first):
            coil_t = field.parameters.tesla_per_ampere * field.coil_now_a(first)
            outside = np.array([coil_t + field.offset_t])
        else:
            outside = field.coil_t(start_s) + field.ripple_t(start_s) + field.offset_t
        before = self.truth.heat_sums()
        survived = kernel.play(
            self._law,
            self._hot,
            self._state,
            self._count,
            self._key,
            current_a,
            start_s,
            width_s,
            base_a,
            not self._negligible(first, stop, base_a, field),
            outside,
            drift,
            stray,
            self._notes,
            level,
            warm,
        )
        self._time = max(self._time, stop)
        self.truth.note_heat(stop, before)
        if survived < len(level):  # a dead bar stays as it was
            level[survived:], warm[survived:] = level[survived - 1], warm[survived - 1]
        return Lived(level, int(survived), warm)

    def _negligible(self, since: float, until: float, current_a: float, field: Field) -> bool:
        """True if nothing can switch between the two times under this standing current."""
        push = abs(self.bar.torque_t_per_a * current_a)
        barrier = self.bar.hn_t * self.drift.smallest
        if current_a:
            barrier *= 1 + self.bar.per_kelvin * self._hottest(current_a)
        h = (field.largest_t(since, until) + push) / barrier
        expected = self.bar.delta * (1 - self.bar.lowers) * max(0.0, 1 - h)
        return (until - since) / self.bar.tau0_s * math.exp(-expected) < NEGLIGIBLE

    def _hottest(self, current_a: float) -> float:
        standing = sum(self.heat.k_per_w) * self.heat.r_ohm * current_a**2
        return standing + float(self._state[kernel.HEAT_1 : kernel.HEAT_3 + 1].sum())

    def _finer(self, times: FloatArray, current_a: float) -> FloatArray:
        """More times, between which heat and drift may be taken as linear too."""
        since, until = float(times[0]), float(times[-1])
        slow = np.linspace(since, until, min(200, int((until - since) / STEP_S) + 2))
        early = since + CURRENT_STEPS_S if current_a else slow[:1]
        return np.unique(np.concatenate([times, slow, early[early < until]]))

    def _wear_standing(self, current_a: float, duration_s: float) -> None:
        """Standing current wears too: above the limit of a read it is one long pulse."""
        state, size = self._state, abs(current_a)
        state[kernel.ENERGY] += self.heat.r_ohm * current_a**2 * duration_s
        state[kernel.WORST] = max(state[kernel.WORST], size)
        sign = float(np.sign(current_a)) if size > self.bar.driven_from_a else 0.0
        if sign and state[kernel.HIGH] != sign:
            self._count[kernel.POSITIVE if sign > 0 else kernel.NEGATIVE] += 1
        state[kernel.HIGH] = sign
        if size > kernel.DAMAGES_FROM * self.heat.blow_a:
            rate = (size / self.heat.blow_a) ** self.heat.blow_power / self.heat.blow_s
            state[kernel.DAMAGE] += rate * duration_s
            state[kernel.DEAD] = float(state[kernel.DAMAGE] >= 1)

    # ---- snapshot ----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        return {
            "time_s": self._time,
            "state": self._state.copy(),
            "count": self._count.copy(),
            "dead": self.dead,
            "open_ports": sorted(self.open_ports),
            "heat_history": self.truth.heat_history(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._time = float(state["time_s"])
        self._state[:] = state["state"]
        self._count[:] = state["count"]
        self.dead = bool(state["dead"])
        self.open_ports = set(state["open_ports"])
        self.truth.set_heat_history(state["heat_history"])

    # ---- parameters of the kernel -----------------------------------------------------------------------

    def _switching(self, torque: float) -> law.Switching:
        p, drawn = self.physics, self.drawn
        return law.Switching(
            tau0_s=p["tau0_s"],
            delta=drawn.delta,
            hn_t=drawn.hn_t,
            torque_t_per_a=torque,
            driven_from_a=p["wear_from"] * self.ic0_nominal_a,
            reversed_part=drawn.reversed_part,
            intermediate=drawn.intermediate,
            failure=drawn.failure,
            lowers=p["residual_lowers"],
            floor=drawn.floor,
            ceiling=drawn.ceiling,
            depinning=p["depinning"],
            back_from=p["back_switching_from"],
            back=p["back_switching"],
            per_kelvin=p["ic0_per_kelvin"],
        )

    def _thermal(self) -> law.Thermal:
        p, drawn = self.physics, self.drawn
        local = p["ic0_reference_width_m"] / drawn.width_m
        return law.Thermal(
            on=bool(p["heating"] > 0),
            r_ohm=drawn.r_xx_ohm,
            k_per_w=(p["heat_1_k_per_w"] * local, p["heat_2_k_per_w"] * local, p["heat_3_k_per_w"]),
            tau_s=(p["heat_tau_1_s"], p["heat_tau_2_s"], p["heat_tau_3_s"]),
            blow_a=p["blow_a_per_m"] * drawn.width_m,
            blow_s=p["blow_s"],
            blow_power=p["blow_power"],
        )


class Drift:
    """Relative change of a bar's barrier field with time: its own wandering and the chuck's temperature."""

    def __init__(self, p: Mapping[str, float], seed: int, name: str):
        self._own = OrnsteinUhlenbeck(seed, f"drift:{name}", p["ic0_drift"], p["ic0_correlation_s"])
        self._swing = 0.5 * p["chuck_swing_k"] * p["ic0_per_kelvin"]
        self._turn = 2 * np.pi / p["chuck_period_s"]
        self._phase = 2 * np.pi * float(np.random.default_rng(streams.sequence(seed, "chuck")).random())
        self._values: FloatArray = np.empty(0)
        self.smallest = 1.0 - 6 * p["ic0_drift"] - abs(self._swing)

    def upto(self, time_s: float) -> FloatArray:
        """Factor on the grid of slow processes, from 0 to beyond time_s."""
        if len(self._values) * STEP_S < time_s + 2 * STEP_S:
            own = self._own.upto(time_s)
            times = np.arange(len(own)) * STEP_S
            self._values = (1 + own) * (1 + self._swing * np.sin(self._turn * times + self._phase))
        return self._values


def make(name: str, card: Mapping[str, Any], chip: Chip, field: Field) -> HallBar:
    """The device model `hall_bar`: card is the device's table of the bench file.

    ValueError names a geometry that makes no bar.
    """
    return HallBar(name, *sizes(name, card), chip, field)


def sizes(name: str, card: Mapping[str, Any]) -> tuple[float, float]:
    """Width and length (m) from a device's table. ValueError names one that makes no bar."""
    found = []
    for key in ("width_m", "length_m"):
        value = card.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e-2:
            raise ValueError(f"device {name}: {key} must be a length in metre, got {value!r}")
        found.append(float(value))
    return found[0], found[1]


def surroundings(chip: Chip) -> dict[str, float]:
    """What the setting says about the field around the sample (names of `FieldParameters`)."""
    p = physics(chip.setting, chip.options)
    side = 1.0 if streams.sequence(chip.sample_seed, "tilt").generate_state(1)[0] % 2 else -1.0
    return {
        "tilt_deg": side * p["tilt_deg"],
        "stray_t": p["stray_t"],
        "stray_drift_t": p["stray_drift_t"],
        "stray_correlation_s": p["stray_correlation_s"],
        "ripple_rel": p["ripple"],
    }


MODEL = DeviceModel(make=make, surroundings=surroundings)
