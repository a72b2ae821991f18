"""Magnetic field at the sample: coil with its lag, assist magnet, tilt, stray field and ripple."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim_instruments.world.slow import OrnsteinUhlenbeck

FloatArray = NDArray[np.float64]
SETTLED = 1e-9  # a coil this close to its target (of the step) stands still
STEP_T = 0.25e-3  # steps of a moving field: its exponential is taken as linear between them


@dataclass(frozen=True)
class FieldParameters:
    """What surrounds the sample. Angles in degree, fields in tesla."""

    tesla_per_ampere: float
    coil_time_constant_s: float
    assist_t: float
    tilt_deg: float = 0.0
    stray_t: float = 0.0
    stray_drift_t: float = 0.0
    stray_correlation_s: float = 3600.0
    ripple_rel: float = 0.0
    mains_hz: float = 50.0


class Field:
    """Perpendicular and in-plane field as functions of time since the coil's last command."""

    def __init__(self, parameters: FieldParameters, seed: int):
        self.parameters = parameters
        self._since_s, self._start_a, self._target_a = 0.0, 0.0, 0.0
        self._lag_s = parameters.coil_time_constant_s
        self._path: tuple[float, float, FloatArray, FloatArray] | None = None
        self.stray_drift = OrnsteinUhlenbeck(
            seed, "field:stray", parameters.stray_drift_t, parameters.stray_correlation_s
        )
        tilt = np.deg2rad(parameters.tilt_deg)
        self.in_plane_t = parameters.assist_t * float(np.cos(tilt))
        self.offset_t = parameters.stray_t + parameters.assist_t * float(np.sin(tilt))

    def set_coil(self, now: float, current_a: float, time_constant_s: float) -> None:
        """Head for current_a; the slower of coil and supply sets the lag."""
        self._path = None
        self._start_a = self.coil_now_a(now)
        self._since_s, self._target_a = now, float(current_a)
        self._lag_s = max(time_constant_s, self.parameters.coil_time_constant_s, 1e-9)

    def coil_a(self, time_s: ArrayLike) -> FloatArray:
        """Current in the coil (A) at these times; before the last command the value it started from."""
        age = np.maximum(np.asarray(time_s, dtype=np.float64) - self._since_s, 0.0)
        return np.asarray(self._target_a + (self._start_a - self._target_a) * np.exp(-age / self._lag_s))

    def coil_now_a(self, time_s: float) -> float:
        """The same for one time, cheaply."""
        age = max(time_s - self._since_s, 0.0)
        return self._target_a + (self._start_a - self._target_a) * math.exp(-age / self._lag_s)

    def largest_t(self, start_s: float, stop_s: float) -> float:
        """Upper bound of the perpendicular field's size between two times (s)."""
        coil = max(abs(self.coil_now_a(start_s)), abs(self.coil_now_a(stop_s)))
        p = self.parameters
        return coil * p.tesla_per_ampere * (1 + p.ripple_rel) + abs(self.offset_t) + 6 * p.stray_drift_t

    def coil_t(self, time_s: ArrayLike) -> FloatArray:
        """Perpendicular field of the coil alone (T), without ripple."""
        return self.parameters.tesla_per_ampere * self.coil_a(time_s)

    def moving(self, time_s: float) -> bool:
        """True while the coil is still on its way."""
        age = time_s - self._since_s
        return self._start_a != self._target_a and age < -self._lag_s * math.log(SETTLED)

    def quiet(self, time_s: float) -> bool:
        """True if one number describes the coil's field from here on: settled, and no ripple on it."""
        return not self.moving(time_s) and (self._target_a == 0 or self.parameters.ripple_rel == 0)

    def ripple_t(self, time_s: ArrayLike) -> FloatArray:
        """Mains ripple of the coil supply (T): in proportion to the current, at twice the mains frequency."""
        phase = 4 * np.pi * self.parameters.mains_hz * np.asarray(time_s, dtype=np.float64)
        return self.parameters.ripple_rel * self.coil_t(time_s) * np.sin(phase)

    def field_at(self, time_s: ArrayLike) -> FloatArray:
        """Everything perpendicular at the sample (T): coil, ripple, tilt of the assist field, stray field."""
        return self.coil_t(time_s) + self.ripple_t(time_s) + self.offset_t + self.stray_drift.at(time_s)

    def path(self, start_s: float, stop_s: float) -> tuple[FloatArray, FloatArray]:
        """(times, coil field in T) between which the coil's field is close to linear in time.

        It moves by at most STEP_T from one to the next; near the target the distance from it halves.
        """
        if self._path is None or self._path[:2] != (start_s, stop_s):
            times = self._path_times(start_s, stop_s)
            self._path = (start_s, stop_s, times, self.coil_t(times))
        return self._path[2:]

    def _path_times(self, start_s: float, stop_s: float) -> FloatArray:
        scale = self.parameters.tesla_per_ampere
        far = abs(self.coil_now_a(start_s) - self._target_a) * scale
        near = max(abs(self.coil_now_a(stop_s) - self._target_a) * scale, 1e-3 * STEP_T)
        if far <= near:
            return np.array([start_s, stop_s])
        even = np.linspace(far, near, max(2, math.ceil((far - near) / STEP_T) + 1))
        halves = min(far, STEP_T) * 0.5 ** np.arange(12)
        distance = np.concatenate([even, halves[(halves > near) & (halves < far)]])
        begin = max(start_s, self._since_s)
        times = np.clip(begin - self._lag_s * np.log(distance / far), start_s, stop_s)
        return np.unique(np.concatenate([[start_s], times, [stop_s]]))

    def snapshot(self) -> dict[str, Any]:
        return {
            "since_s": self._since_s,
            "start_a": self._start_a,
            "target_a": self._target_a,
            "lag_s": self._lag_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._since_s, self._start_a = float(state["since_s"]), float(state["start_a"])
        self._target_a, self._lag_s = float(state["target_a"]), float(state["lag_s"])
        self._path = None
