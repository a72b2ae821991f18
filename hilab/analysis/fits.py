"""Maximum-likelihood fits of the switching probability against the amplitude of the write pulse.

Neel-Arrhenius law of one barrier (device-model section 1), for a pulse of width t_p from the reset state:

    P(I) = 1 - exp( -t_p / tau0 * exp( -Delta max(0, 1 - I/Ic0) ) )

ln(-ln(1 - P)) is a straight line in I below Ic0, so alpha + beta I is fitted and everything else follows:
beta = Delta/Ic0, alpha = ln(t_p/tau0) - Delta. tau0 only divides alpha into two parts: I50, the slope and the
logistic unit do not depend on it, Delta and Ic0 do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from hilab.analysis.binomial import (
    CLOGLOG,
    LOGIT,
    Lines,
    Link,
    deviance_moments,
    deviance_terms,
    fit_lines,
    lapsed_cloglog,
)
from hilab.frames import FloatArray

LN2 = float(np.log(2.0))
ETA_HALF = float(np.log(LN2))  # predictor at P = 1/2
LOGISTIC_PER_BETA = (
    1.52  # slope of the logistic curve nearest to a Gompertz of slope 1 (device-model section 1)
)
LEAST_SIGNIFICANCE = 3.0  # the slope must lie this many standard errors above zero


@dataclass(frozen=True)
class Estimate:
    """Value, standard error and 95 % interval of one quantity for each device: arrays (D,)."""

    value: FloatArray
    standard_error: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class SwitchingFits:
    """Fits of D devices; nan where `reason` says why there is none.

    i50_a: amplitude at P = 1/2, signed like the pulses; slope_per_a: dP/dI there; unit_a: one logistic unit;
    delta, ic0_a: barrier and critical current at the assumed tau0_s (nan for the logistic curve).
    i50_a carries the drift term if one was given. deviance (D,) with its expected value if the curve is
    true (`expected_deviance`), p_value (D,) of the goodness of fit.
    """

    law: str
    width_s: float
    tau0_s: float
    polarity: FloatArray
    i50_a: Estimate
    slope_per_a: Estimate
    unit_a: Estimate
    delta: Estimate
    ic0_a: Estimate
    deviance: FloatArray
    expected_deviance: FloatArray
    p_value: FloatArray
    reason: tuple[str, ...]
    lapse: FloatArray = field(default_factory=lambda: np.zeros(1))

    @property
    def ok(self) -> NDArray[np.bool_]:
        """(D,) True where there is a fit."""
        return np.array([not text for text in self.reason], dtype=bool)

    @property
    def assumption(self) -> str:
        """What Delta and Ic0 rest on, to be printed beside them."""
        return f"tau0 = {self.tau0_s:.3g} s is assumed; I50, slope and logistic unit do not depend on it"

    def probability(self, current_a: ArrayLike) -> FloatArray:
        """(D, ...) fitted switching probability at current_a: (D, A), or (A,) for all devices alike."""
        current = np.asarray(current_a, dtype=np.float64)
        current = np.broadcast_to(current, (len(self.reason), current.shape[-1]))
        steepness = 4.0 if self.law == "logistic" else 2 / LN2
        offset = 0.0 if self.law == "logistic" else ETA_HALF
        eta = offset + steepness * self.slope_per_a.value[:, None] * (current - self.i50_a.value[:, None])
        return (1 - self.lapse[:, None]) * _link(self.law).probability(eta)


def fit_arrhenius(
    write_a: ArrayLike,
    k: ArrayLike,
    n: ArrayLike,
    *,
    width_s: float,
    tau0_s: float = 1e-9,
    drift_a: ArrayLike = 0.0,
    lapse: ArrayLike = 0.0,
) -> SwitchingFits:
    """Fit the Neel-Arrhenius law to k switchings in n samples at write_a, each (A,) or (D, A).

    Points with n = 0 are padding. Pulses of a device must have one sign. drift_a ((D,) or scalar) is the
    standard deviation of I50 that drift adds to the fit (`drift.DriftTerm.fit_a`); it widens the intervals
    of I50 and Ic0. Raises ValueError on shapes and counts that cannot be; a device that cannot be fitted
    gets a reason.
    """
    if not (width_s > tau0_s > 0):
        raise ValueError(
            f"the pulse width must exceed tau0 and both be positive, got {width_s} s and {tau0_s} s"
        )
    return _fit("arrhenius", write_a, k, n, width_s, tau0_s, drift_a, lapse)


def fit_logistic(write_a: ArrayLike, k: ArrayLike, n: ArrayLike, *, width_s: float) -> SwitchingFits:
    """Fit P = 1/(1 + exp(-(I - I50)/u)). Its I50 lies beside the true one: compare it with
    `nearest_logistic`, never use it as I50."""
    return _fit("logistic", write_a, k, n, width_s, np.nan, 0.0)


def nearest_logistic(fits: SwitchingFits, write_a: ArrayLike, n: ArrayLike) -> SwitchingFits:
    """The logistic curve that many repetitions of the same amplitudes would find if `fits` were the truth."""
    amplitude, samples = np.atleast_2d(np.asarray(write_a, float)), np.atleast_2d(np.asarray(n, float))
    expected = np.nan_to_num(fits.probability(amplitude)) * samples
    return _fit("logistic", amplitude, expected, samples, fits.width_s, np.nan, 0.0)


def _link(law: str) -> Link:
    return LOGIT if law == "logistic" else CLOGLOG


def _fit(
    law: str,
    write_a: ArrayLike,
    k: ArrayLike,
    n: ArrayLike,
    width_s: float,
    tau0_s: float,
    drift_a: ArrayLike,
    lapse: ArrayLike = 0.0,
) -> SwitchingFits:
    amplitude, successes, samples = _checked(write_a, k, n)
    polarity = np.where(np.where(samples > 0, amplitude, 0).sum(axis=1) < 0, -1.0, 1.0)
    current = amplitude * polarity[:, None]
    reasons = [_why_not(*row) for row in zip(current, successes, samples, strict=True)]
    missed = np.broadcast_to(np.asarray(lapse, dtype=np.float64), polarity.shape)
    if not ((missed >= 0) & (missed < 0.5)).all():
        raise ValueError("lapse is a share of failed reversals, from 0 to below 1/2")
    link = lapsed_cloglog(missed) if missed.any() else _link(law)
    lines = fit_lines(current, successes, samples, link)
    reasons = [text or late for text, late in zip(reasons, _late_reasons(lines), strict=True)]
    good = np.array([not text for text in reasons])
    drift = np.broadcast_to(np.asarray(drift_a, dtype=np.float64), good.shape)
    p = link.probability(lines.eta(current))
    deviance, expected, p_value = _goodness(successes, samples, p)
    half = 0.0 if law == "logistic" else ETA_HALF
    per_b = 0.25 if law == "logistic" else LN2 / 2
    unit_per_b = 1.0 if law == "logistic" else 1 / LOGISTIC_PER_BETA
    top = np.log(width_s / tau0_s)
    rate = _positive(lines.b / lines.scale, np.sqrt(lines.covariance[:, 1, 1]) / lines.scale)
    return SwitchingFits(
        law,
        width_s,
        tau0_s,
        polarity,
        i50_a=_signed(_crossing(lines, half, drift), polarity, good),
        slope_per_a=_signed(_scaled(rate, per_b), polarity, good),
        unit_a=_signed(_inverted(rate, unit_per_b), np.ones_like(polarity), good),
        delta=_signed(_barrier(lines, top), np.ones_like(polarity), good),
        ic0_a=_signed(_crossing(lines, top, drift), polarity, good),
        deviance=np.where(good, deviance, np.nan),
        expected_deviance=np.where(good, expected, np.nan),
        p_value=np.where(good, p_value, np.nan),
        reason=tuple(reasons),
        lapse=missed,
    )


def _checked(write_a: ArrayLike, k: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    arrays = np.broadcast_arrays(
        *(np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (write_a, k, n))
    )
    amplitude, successes, samples = arrays
    if amplitude.ndim != 2:
        raise ValueError(
            f"amplitudes and counts must be (amplitudes,) or (devices, amplitudes), got {amplitude.shape}"
        )
    if not all(np.isfinite(values).all() for values in arrays):
        raise ValueError("amplitudes and counts must be finite")
    if (successes < 0).any() or (successes > samples).any():
        raise ValueError("k must lie between 0 and n")
    return amplitude, successes, samples


def _why_not(current: FloatArray, k: FloatArray, n: FloatArray) -> str:
    """Why one device's counts have no finite maximum of the likelihood ('' if they have)."""
    used = n > 0
    current, k, n = current[used], k[used], n[used]
    if current.size == 0:
        return "no samples"
    if (current < 0).any():
        return "pulses of both signs are mixed: fit each polarity by itself"
    span = f"between {current.min():.4g} A and {current.max():.4g} A"
    if k.sum() == 0:
        return f"no transition seen {span}: the device never switched, go to larger amplitudes"
    if (k == n).all():
        return f"no transition seen {span}: the device always switched, go to smaller amplitudes"
    if np.unique(current).size < 2:
        return "one amplitude alone does not determine a curve"
    first_switched, last_failed = current[k > 0].min(), current[k < n].max()
    if first_switched >= last_failed:
        return (
            f"the probability jumps from 0 to 1 near {last_failed:.4g} A to {first_switched:.4g} A: "
            "put more amplitudes between"
        )
    return ""


def _late_reasons(lines: Lines) -> list[str]:
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = lines.b / np.sqrt(lines.covariance[:, 1, 1])
    reasons = []
    for converged, ratio in zip(lines.converged, significance, strict=True):
        if not converged:
            reasons.append("the fit did not converge: the counts do not determine a curve")
        elif not ratio > LEAST_SIGNIFICANCE:
            reasons.append("no transition seen: the probability does not rise clearly with the amplitude")
        else:
            reasons.append("")
    return reasons


def _goodness(k: FloatArray, n: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(deviance, its expected value, p-value) of each device, against a scaled chi-square."""
    deviance = np.where(n > 0, deviance_terms(k, n, p), 0.0).sum(axis=1)
    mean, variance = (moment.sum(axis=1) for moment in deviance_moments(n.astype(np.int64), p))
    left = np.maximum(mean - 2, 1e-3)  # two parameters were fitted
    variance = np.maximum(variance * left / np.maximum(mean, 1e-12), 1e-12)
    return deviance, left, chi2.sf(deviance * 2 * left / variance, 2 * left**2 / variance)


Z95 = float(norm.ppf(0.975))


def _positive(value: FloatArray, error: FloatArray) -> Estimate:
    """A quantity that cannot be negative: symmetric on the logarithm."""
    with np.errstate(all="ignore"):
        factor = np.exp(Z95 * error / value)
        return Estimate(value, error, value / factor, value * factor)


def _scaled(rate: Estimate, factor: float) -> Estimate:
    return Estimate(*(factor * part for part in (rate.value, rate.standard_error, rate.low, rate.high)))


def _inverted(rate: Estimate, factor: float) -> Estimate:
    with np.errstate(all="ignore"):
        value = factor / rate.value
        return Estimate(
            value, value * rate.standard_error / rate.value, factor / rate.high, factor / rate.low
        )


def _barrier(lines: Lines, top: float) -> Estimate:
    """Delta = top - alpha, where alpha is the predictor at zero current."""
    place = -lines.centre / lines.scale
    value = top - (lines.a + lines.b * place)
    c = lines.covariance
    error = np.sqrt(c[:, 0, 0] + 2 * place * c[:, 0, 1] + place**2 * c[:, 1, 1])
    return Estimate(value, error, value - Z95 * error, value + Z95 * error)


def _crossing(lines: Lines, eta: float, drift_a: FloatArray) -> Estimate:
    """Current at which the predictor reaches eta; interval by Fieller (exact for normal a and b)."""
    with np.errstate(all="ignore"):
        c, z2 = lines.covariance, Z95**2
        place = (eta - lines.a) / lines.b
        variance = (c[:, 0, 0] + 2 * place * c[:, 0, 1] + place**2 * c[:, 1, 1]) / lines.b**2
        # (a + b t - eta)^2 <= z^2 var(a + b t), a quadratic in t
        square = lines.b**2 - z2 * c[:, 1, 1]
        linear = (lines.a - eta) * lines.b - z2 * c[:, 0, 1]
        constant = (lines.a - eta) ** 2 - z2 * c[:, 0, 0]
        root = np.sqrt(np.maximum(linear**2 - square * constant, 0.0))
        value = lines.centre + lines.scale * place
        low = lines.centre + lines.scale * (-linear - root) / square
        high = lines.centre + lines.scale * (-linear + root) / square
        error = np.hypot(lines.scale * np.sqrt(variance), drift_a)
        low, high = (
            value - np.hypot(value - low, Z95 * drift_a),
            value + np.hypot(high - value, Z95 * drift_a),
        )
    return Estimate(value, error, low, high)


def _signed(estimate: Estimate, polarity: FloatArray, good: NDArray[np.bool_]) -> Estimate:
    """The estimate in the pulses' own sign, nan where there is no fit."""
    low = np.where(polarity > 0, estimate.low, -estimate.high)
    high = np.where(polarity > 0, estimate.high, -estimate.low)
    values = (polarity * estimate.value, estimate.standard_error, low, high)
    return Estimate(*(np.where(good, part, np.nan) for part in values))


def summary(fits: SwitchingFits, names: Sequence[str]) -> list[dict[str, float | str]]:
    """One plain row for each device, for result tables and JSON."""
    rows: list[dict[str, float | str]] = []
    quantities = ("i50_a", "slope_per_a", "unit_a", "delta", "ic0_a")
    for number, name in enumerate(names):
        row: dict[str, float | str] = {"device": name, "reason": fits.reason[number]}
        for quantity in quantities:
            estimate: Estimate = getattr(fits, quantity)
            row[quantity] = float(estimate.value[number])
            row[f"{quantity}_se"] = float(estimate.standard_error[number])
        row["p_value"] = float(fits.p_value[number])
        rows.append(row)
    return rows
