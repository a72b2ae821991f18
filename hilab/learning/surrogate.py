"""Surrogates: the fitted switching curves of devices, for calibration and for the backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from hilab.analysis.fits import ETA_HALF, LOGISTIC_PER_BETA, SwitchingFits
from hilab.frames import FloatArray, IntArray

Law = Literal["arrhenius", "logistic"]


@dataclass(frozen=True)
class Surrogate:
    """Switching curves of D devices: P(I50) = 1/2. Logistic unit unit_a (negative for negative pulses).

    arrhenius: P = 1 - exp(-ln 2 exp((I - I50)/(1.52 u))), the Neel-Arrhenius law below Ic0;
    logistic: P = 1/(1 + exp(-(I - I50)/u)). All arrays (D,).
    """

    devices: tuple[str, ...]
    width_m: FloatArray
    i50_a: FloatArray
    unit_a: FloatArray
    law: Law = "arrhenius"

    def __post_init__(self) -> None:
        count = len(self.devices)
        for name in ("width_m", "i50_a", "unit_a"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (count,) or not np.isfinite(values).all():
                raise ValueError(
                    f"surrogate: {name} must hold one finite number for each of the {count} devices"
                )
            object.__setattr__(self, name, values)
        if not np.all(self.unit_a != 0):
            raise ValueError("surrogate: a logistic unit of zero would be an infinitely steep curve")
        if self.law not in ("arrhenius", "logistic"):
            raise ValueError(f"surrogate: the law is 'arrhenius' or 'logistic', not {self.law!r}")

    @staticmethod
    def ideal(count: int) -> Surrogate:
        """The software neuron: the current is z itself and P the logistic function."""
        names = tuple(f"software{number}" for number in range(count))
        return Surrogate(names, np.zeros(count), np.zeros(count), np.ones(count), "logistic")

    @staticmethod
    def from_fits(fits: SwitchingFits, devices: Sequence[str], width_m: ArrayLike) -> Surrogate:
        """From the fits of these devices. Raises ValueError naming each device that has no fit."""
        missing = [f"{name}: {why}" for name, why in zip(devices, fits.reason, strict=True) if why]
        if missing:
            raise ValueError("no surrogate without a fit: " + "; ".join(missing))
        law: Law = "logistic" if fits.law == "logistic" else "arrhenius"
        width = np.asarray(width_m, dtype=np.float64)
        return Surrogate(tuple(devices), width, fits.i50_a.value, fits.polarity * fits.unit_a.value, law)

    @staticmethod
    def from_arrhenius(
        devices: Sequence[str],
        width_m: ArrayLike,
        ic0_a: ArrayLike,
        delta: ArrayLike,
        *,
        pulse_s: float,
        tau0_s: float = 1e-9,
    ) -> Surrogate:
        """From critical current and barrier, for pulses of pulse_s (device-model section 1)."""
        ic0, barrier = np.asarray(ic0_a, dtype=np.float64), np.asarray(delta, dtype=np.float64)
        i50 = ic0 * (1 - (np.log(pulse_s / tau0_s) - ETA_HALF) / barrier)
        width = np.asarray(width_m, dtype=np.float64)
        return Surrogate(tuple(devices), width, i50, ic0 / (LOGISTIC_PER_BETA * barrier))

    def choose(self, devices: Sequence[str]) -> Surrogate:
        """The curves of these devices, in this order."""
        index = [self.devices.index(name) for name in devices]
        return replace(
            self,
            devices=tuple(devices),
            width_m=self.width_m[index],
            i50_a=self.i50_a[index],
            unit_a=self.unit_a[index],
        )

    def per_width(self) -> Surrogate:
        """Every device gets the mean curve of the measured devices of its width."""
        i50, unit = self.i50_a.copy(), self.unit_a.copy()
        for width in np.unique(self.width_m):
            mine = self.width_m == width
            i50[mine], unit[mine] = self.i50_a[mine].mean(), self.unit_a[mine].mean()
        return replace(self, i50_a=i50, unit_a=unit)

    def shifted(self, units: ArrayLike) -> Surrogate:
        """Curves moved by so many logistic units ((D,) or scalar): drift or a bias error."""
        return replace(self, i50_a=self.i50_a + np.asarray(units) * self.unit_a)

    def steepness(self) -> FloatArray:
        """(D,) slope of the predictor per ampere."""
        return 1.0 / (self.unit_a if self.law == "logistic" else LOGISTIC_PER_BETA * self.unit_a)

    def probability(self, device: IntArray, current_a: FloatArray) -> FloatArray:
        """(M,) switching probability of device (M,) at current_a (M,)."""
        rate = self.steepness()[device]
        return _probability(self.law, rate * (current_a - self.i50_a[device]))

    def slope_per_a(self, device: IntArray, current_a: FloatArray) -> FloatArray:
        """(M,) dP/dI of device (M,) at current_a (M,)."""
        rate = self.steepness()[device]
        return rate * _derivative(self.law, rate * (current_a - self.i50_a[device]))

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint or a run file."""
        return {
            "devices": list(self.devices),
            "width_m": self.width_m,
            "i50_a": self.i50_a,
            "unit_a": self.unit_a,
            "law": self.law,
        }

    @staticmethod
    def restored(state: Mapping[str, Any]) -> Surrogate:
        law: Law = "logistic" if state["law"] == "logistic" else "arrhenius"
        return Surrogate(tuple(state["devices"]), state["width_m"], state["i50_a"], state["unit_a"], law)


def _probability(law: Law, eta: FloatArray) -> FloatArray:
    """P at the predictor eta, which is 0 at P = 1/2."""
    if law == "logistic":
        return np.asarray(expit(eta))
    return np.asarray(-np.expm1(-np.exp(np.clip(eta, -40.0, 6.0) + ETA_HALF)))


def _derivative(law: Law, eta: FloatArray) -> FloatArray:
    if law == "logistic":
        p = expit(eta)
        return np.asarray(p * (1 - p))
    m = np.exp(np.clip(eta, -40.0, 6.0) + ETA_HALF)
    return np.asarray(m * np.exp(-m))


CALIBRATIONS = ("ideal", "nominal", "per-width", "per-device")


@dataclass(frozen=True)
class Calibrations:
    """The switch {ideal, nominal, per-width, per-device} for one set of devices.

    nominal: the design values, known without measuring these devices; measured: their own fits; true: the
    simulator's parameters if they are known ("ideal" on devices), else None.
    """

    nominal: Surrogate
    measured: Surrogate
    true: Surrogate | None = None

    def get(self, name: str) -> Surrogate:
        """The curves for one setting. Raises ValueError for an unknown or unavailable one."""
        if name == "nominal":
            return self.nominal
        if name == "per-width":
            return self.measured.per_width()
        if name == "per-device":
            return self.measured
        if name == "ideal" and self.true is not None:
            return self.true
        if name == "ideal":
            raise ValueError("calibration 'ideal' needs the true parameters, which only a simulation knows")
        raise ValueError(f"unknown calibration {name!r}: choose one of {', '.join(CALIBRATIONS)}")
